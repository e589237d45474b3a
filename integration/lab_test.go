package integration_test

// These tests are of the lab itself: an overlay that ovs-vsctl alone can build
// shows that hosts, wires, workloads, captures and faults are what they seem.

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/ovloom/ovloom/integration/lab"
)

// plainVNI is that of the overlay which the lab's own tests build by hand.
const plainVNI = 77

// plainOverlay builds br-phy and br-int on every host, with one workload each,
// and returns the workloads. Every bridge is a learning switch, and every pair of
// hosts has a tunnel.
func plainOverlay(t *testing.T, l *lab.Lab) []*lab.Workload {
	t.Helper()
	ctx := t.Context()
	var workloads []*lab.Workload
	for i, h := range l.Hosts {
		plainSwitch(t, l, h)
		w, err := h.NewWorkload(ctx, "w")
		if err != nil {
			t.Fatal(err)
		}
		err = w.PlugVeth(ctx, lab.Veth{
			HostIf: "w-eth0",
			MAC:    fmt.Sprintf("02:00:00:00:00:%02x", i+1),
			Addrs:  []netip.Prefix{netip.PrefixFrom(plainAddr(i), 24)},
			MTU:    1500,
		})
		if err != nil {
			t.Fatal(err)
		}
		plainFlows(t, l, h)
		workloads = append(workloads, w)
	}
	return workloads
}

func plainAddr(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}) }

func plainSwitch(t *testing.T, l *lab.Lab, h *lab.Host) {
	t.Helper()
	ctx := t.Context()
	// The userspace datapath tunnels only through a bridge of its own that has
	// the address.
	steps := [][]string{
		{"ovs-vsctl", "--timeout=20",
			"--", "add-br", "br-phy", "--", "set", "bridge", "br-phy", "datapath_type=netdev", "other_config:hwaddr=" + fmt.Sprintf("02:00:00:00:01:%02x", h.VTEP.As4()[3]),
			"--", "add-port", "br-phy", lab.UnderlayNIC,
			"--", "add-br", "br-int", "--", "set", "bridge", "br-int", "datapath_type=netdev", "fail_mode=secure"},
		{"ip", "addr", "flush", "dev", lab.UnderlayNIC},
		{"ip", "addr", "add", h.Underlay.String(), "dev", "br-phy"},
		{"ip", "link", "set", "br-phy", "mtu", "1600", "up"},
	}
	for _, peer := range l.Hosts {
		if peer == h {
			continue
		}
		name := "vx-" + peer.Name
		steps = append(steps, []string{"ovs-vsctl", "--timeout=20", "add-port", "br-int", name,
			"--", "set", "interface", name, "type=vxlan", "options:remote_ip=" + peer.VTEP.String(), fmt.Sprintf("options:key=%d", plainVNI)})
	}
	for _, step := range steps {
		if _, err := h.Exec(ctx, step...); err != nil {
			t.Fatalf("%s: %v", h.Name, err)
		}
	}
}

// plainFlows makes br-int a hub: the tunnels form a full mesh, in which a learning
// switch would let broadcasts go round.
func plainFlows(t *testing.T, l *lab.Lab, h *lab.Host) {
	t.Helper()
	tunnels := ""
	for _, peer := range l.Hosts {
		if peer != h {
			tunnels += ",vx-" + peer.Name
		}
	}
	_, err := h.Exec(t.Context(), "ovs-ofctl", "add-flow", "br-int", "priority=1,actions=w-eth0")
	if err == nil {
		_, err = h.Exec(t.Context(), "ovs-ofctl", "add-flow", "br-int", "priority=2,in_port=w-eth0,actions="+tunnels[1:])
	}
	if err != nil {
		t.Fatalf("%s: %v", h.Name, err)
	}
}

func pingAll(t *testing.T, workloads []*lab.Workload) {
	t.Helper()
	for _, w := range workloads {
		for i := range workloads {
			lab.Eventually(t, 10*time.Second, fmt.Sprintf("%s to reach %s", w.Host.Name, plainAddr(i)), func() error {
				ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
				defer cancel()
				_, err := w.Ping(ctx, plainAddr(i))
				return err
			})
		}
	}
}

func TestPlainOverlay(t *testing.T) {
	for _, b := range lab.Backends {
		t.Run(string(b), func(t *testing.T) {
			start := time.Now()
			l := lab.New(t, lab.Config{Backend: b})
			t.Logf("started in %v", time.Since(start))
			workloads := plainOverlay(t, l)
			wire, err := l.CaptureUnderlay()
			if err != nil {
				t.Fatal(err)
			}
			pingAll(t, workloads)
			t.Logf("reached in %v", time.Since(start))
			wire.MustSee(t, time.Second, "a tunnelled echo", lab.Inside(plainVNI, lab.IsEcho, lab.To(plainAddr(0))))
			r, err := lab.Transfer(t.Context(), workloads[0], workloads[1], plainAddr(1), 20<<20)
			t.Logf("%+v %v", r, err)
			h := l.Hosts[1]
			if err := h.Vswitchd.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := h.StartVswitchd(t.Context()); err != nil {
				t.Fatal(err)
			}
			plainFlows(t, l, h)
			pingAll(t, workloads)
			if err := h.OVSDB.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := h.StartOVSDB(t.Context()); err != nil {
				t.Fatal(err)
			}
			pingAll(t, workloads)
			t.Logf("all in %v", time.Since(start))
		})
	}
}
