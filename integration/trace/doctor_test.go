package trace_test

// The findings of ovloom doctor in an underlay with one fault at a time, and none after the
// repair.

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/integration/overlay"
	"github.com/ovloom/ovloom/intent"
)

// examine runs ovloom doctor on a host. It must fail exactly if there are findings.
func examine(o *overlay.Overlay, h *lab.Host) intent.Health {
	o.T.Helper()
	out, err := h.Ovloom(o.T.Context(), "doctor", "-o", "json")
	var health intent.Health
	if e := json.Unmarshal([]byte(out), &health); e != nil {
		o.T.Fatalf("ovloom doctor printed no JSON: %v (%v)\n%s", e, err, out)
	}
	if want := min(len(health.Findings), 1); lab.ExitCode(err) != want {
		o.T.Errorf("%d findings, and exit code %d: %v", len(health.Findings), lab.ExitCode(err), err)
	}
	return health
}

// findings returns the findings, one per line.
func findings(h intent.Health) string {
	var lines []string
	for _, f := range h.Findings {
		lines = append(lines, fmt.Sprintf("%v: %s\n   to do: %s", f.Hosts, f.What, f.Do))
	}
	return strings.Join(lines, "\n")
}

// paths returns the state of all paths: "host1>host2 ok, …".
func paths(h intent.Health) string {
	var all []string
	for _, p := range h.Paths {
		all = append(all, fmt.Sprintf("%s>%s %s", p.From, p.To, p.State))
	}
	return strings.Join(all, ", ")
}

// healthy waits until no host has a finding: while a tunnel's neighbours resolve, a probe can
// be lost.
func healthy(o *overlay.Overlay) {
	o.T.Helper()
	for _, h := range o.Hosts {
		lab.Eventually(o.T, overlay.PollTime, "nothing to be found from "+h.Name, func() error {
			health := examine(o, h)
			if len(health.Findings) > 0 {
				return errors.New(findings(health))
			}
			if n := len(o.Hosts); len(health.Hosts) != n || len(health.Paths) != n*(n-1) {
				return fmt.Errorf("%d hosts and %d paths, want %d and %d", len(health.Hosts), len(health.Paths), n, n*(n-1))
			}
			for _, p := range health.Paths {
				if p.State != intent.PathOK || p.Passes < p.Wanted || p.RTT <= 0 {
					return fmt.Errorf("path %+v", p)
				}
			}
			return nil
		})
	}
}

// found fails the test unless the findings are the wanted ones in number, hosts and words.
func found(o *overlay.Overlay, h intent.Health, want ...wantFinding) {
	o.T.Helper()
	o.T.Logf("%s\n%s", paths(h), findings(h))
	if len(h.Findings) != len(want) {
		o.T.Errorf("%d findings, want %d", len(h.Findings), len(want))
	}
	for _, w := range want {
		if !slices.ContainsFunc(h.Findings, w.is) {
			o.T.Errorf("no finding about %v says %q", w.hosts, w.words)
		}
	}
}

type wantFinding struct {
	hosts []string
	words []string
}

func finding(hosts string, words ...string) wantFinding {
	return wantFinding{strings.Fields(hosts), words}
}

func (w wantFinding) is(f intent.Finding) bool {
	for _, word := range w.words {
		if !strings.Contains(f.What+" "+f.Do, word) {
			return false
		}
	}
	return slices.Equal(slices.Sorted(slices.Values(f.Hosts)), w.hosts)
}

// one returns the state of one path.
func one(h intent.Health, from, to string) intent.Path {
	for _, p := range h.Paths {
		if p.From == from && p.To == to {
			return p
		}
	}
	return intent.Path{}
}

func TestDoctor(t *testing.T) {
	o := overlay.New(t, lab.Config{})
	o.Run("tenant", "add", "acme")
	o.Run("network", "add", "acme/web", "--subnet", "10.0.0.0/24")
	c1 := o.Plug(o.Hosts[0], "acme/web/c1")
	host2 := o.Hosts[1]
	healthy(o)

	check := func(name string, breakIt, mend func() error, judge func(h intent.Health)) {
		t.Helper()
		if err := breakIt(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		t.Logf("--- %s", name)
		start := time.Now()
		h := examine(o, o.Hosts[0])
		t.Logf("found after %s", time.Since(start).Round(time.Millisecond))
		judge(h)
		if err := mend(); err != nil {
			t.Fatalf("mend %s: %v", name, err)
		}
		healthy(o)
	}
	ctx := t.Context()

	check("an underlay link with a smaller MTU",
		func() error { return host2.SetPathMTU(1400) },
		func() error { return host2.SetPathMTU(1600) },
		func(h intent.Health) {
			found(o, h,
				finding("host1 host2", "between host1 and host2 is too small", "packets of 1600 bytes are lost, those of 1400 pass", "--mtu 1350"),
				finding("host2 host3", "between host2 and host3 is too small", "those of 1400 pass"))
			if p := one(h, "host1", "host3"); p.State != intent.PathOK {
				t.Errorf("the working path: %+v", p)
			}
		})
	check("UDP port 4789 dropped in both directions",
		func() error { return host2.FilterUDP(ctx, 4789, lab.FromHost, lab.ToHost) },
		func() error { return host2.FilterUDP(ctx, 4789) },
		func(h intent.Health) {
			found(o, h, finding("host2", "host host2 (172.31.0.2) is cut off", "UDP port 4789 is filtered", "udp dport 4789 accept"))
		})
	check("UDP port 4789 dropped in one direction",
		func() error { return host2.FilterUDP(ctx, 4789, lab.FromHost) },
		func() error { return host2.FilterUDP(ctx, 4789) },
		func(h intent.Health) {
			found(o, h,
				finding("host1 host2", "from host2 (172.31.0.2) to host1 (172.31.0.1); the other direction works"),
				finding("host2 host3", "from host2 (172.31.0.2) to host3 (172.31.0.3); the other direction works"))
		})
	check("a workload that leaves checksums to its card",
		func() error {
			_, err := c1.Exec(ctx, "ethtool", "-K", "eth0", "tx", "on")
			return err
		},
		func() error {
			_, err := c1.Exec(ctx, "ethtool", "-K", "eth0", "tx", "off")
			return err
		},
		func(h intent.Health) {
			found(o, h, finding("host1", "port acme/web/c1 on host1 leaves checksums", "ethtool -K eth0 tx off", c1.NetNS))
		})

	var other *lab.Process
	check("the UDP port taken by another program",
		func() (err error) {
			if other, err = host2.Start(ctx, "thief", "python3", "-c",
				"import socket,time; s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.bind(('',4789)); time.sleep(1000)"); err != nil {
				return err
			}
			awaitTaken(o, host2)
			return nil
		},
		func() error { return other.Stop() },
		func(h intent.Health) {
			found(o, h, finding("host2", "UDP port 4789 of host2", "is taken by python3", "--vxlan-port"))
		})
	check("the UDP port taken by a VXLAN device of the kernel",
		func() error {
			_, err := host2.Exec(ctx, "ip", "link", "add", "thief0", "type", "vxlan", "id", "7", "dstport", "4789", "remote", "192.0.2.9")
			return err
		},
		func() error {
			_, err := host2.Exec(ctx, "ip", "link", "del", "thief0")
			return err
		},
		func(h intent.Health) {
			found(o, h, finding("host2", "is taken by VXLAN device thief0 of the kernel", "ip link del thief0"))
		})
	check("a network whose MTU no underlay carries",
		func() error {
			o.Run("network", "set", "acme/web", "--mtu", "1550")
			_, err := o.Hosts[0].Exec(ctx, "ip", "link", "set", lab.UnderlayNIC, "mtu", "1580")
			lab.Eventually(t, overlay.PollTime, "host1 to tell its MTU", func() error {
				var h intent.HostState
				if o.Get(host2, &h, "host", "show", "host1"); h.UnderlayMTU != 1580 {
					return fmt.Errorf("it reports %d", h.UnderlayMTU)
				}
				return nil
			})
			return err
		},
		func() error {
			if _, err := o.Hosts[0].Exec(ctx, "ip", "link", "set", lab.UnderlayNIC, "mtu", "1600"); err != nil {
				return err
			}
			o.Run("network", "set", "acme/web", "--mtu", "1500")
			return nil
		},
		func(h intent.Health) {
			found(o, h, finding("host1", "network acme/web has MTU 1550", "leaves 1530", "ovloom network set acme/web --mtu 1530"))
		})
	check("a host that is down",
		func() error {
			return host2.Ovloomd.Stop()
		},
		func() error {
			_, err := host2.StartOvloomd(ctx)
			lab.Eventually(t, overlay.PollTime, "host2 to be alive", func() error {
				var h intent.HostState
				o.Get(o.Hosts[0], &h, "host", "show", "host2")
				if !h.Alive {
					return errors.New("it is not")
				}
				return nil
			})
			return err
		},
		func(h intent.Health) {
			found(o, h, finding("host2", "host host2 is down", "systemctl start ovloomd"))
			if p := one(h, "host1", "host3"); p.State != intent.PathOK || len(h.Paths) != 2 {
				t.Errorf("paths: %s", paths(h))
			}
		})
}

// awaitTaken waits until a program of the host has bound the tunnels' UDP port.
func awaitTaken(o *overlay.Overlay, h *lab.Host) {
	o.T.Helper()
	lab.Eventually(o.T, overlay.PollTime, "a program to take the port", func() error {
		out, err := h.Exec(o.T.Context(), "ss", "-Hlun", "sport", "=", "4789")
		if err == nil && out == "" {
			err = errors.New("the port is free")
		}
		return err
	})
}

// Without the store, a host still reports its own findings.
func TestDoctorWithoutStore(t *testing.T) {
	o := overlay.New(t, lab.Config{AllowLog: []string{`store does not answer`, `cannot`, `task failed`, `unavailable`}})
	healthy(o)
	if err := o.Hosts[0].Ovloomd.Stop(); err != nil {
		t.Fatal(err)
	}
	host2, host3 := o.Hosts[1], o.Hosts[2]
	if err := host2.SetPathMTU(1400); err != nil {
		t.Fatal(err)
	}
	h := examine(o, host2)
	found(o, h,
		finding("host2", "only host2 was examined", "the store does not answer", "ovloom status"),
		finding("host1 host2", "host1 (172.31.0.1) answers no tunnel packet of host2"),
		finding("host2 host3", "from host2 to host3 is too small", "packets of 1600 bytes are lost"))
	if p := one(h, host2.Name, host3.Name); p.State != intent.PathMTU || p.RTT <= 0 {
		t.Errorf("the path between the hosts that are up: %+v", p)
	}
	if err := host2.SetPathMTU(1600); err != nil {
		t.Fatal(err)
	}
	if _, err := o.Hosts[0].StartOvloomd(t.Context()); err != nil {
		t.Fatal(err)
	}
	healthy(o)
}
