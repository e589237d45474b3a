package doctor

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ovloom/ovloom/datapath"
	"github.com/ovloom/ovloom/hostnet"
	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/ovsdb"
)

var vteps = map[string]netip.Addr{"host1": netip.MustParseAddr("192.0.2.1"), "host2": netip.MustParseAddr("192.0.2.2")}

// site is a store with two live hosts and tunnels between them.
type site struct {
	mu sync.Mutex
	// Guarded by mu.
	down    error
	cut     bool // no packet passes
	reports map[string]intent.HealthReport
	asked   map[chan uint64]bool
	packets map[netip.Addr]chan openflow.PacketIn
}

func newSite() *site {
	s := &site{reports: map[string]intent.HealthReport{}, asked: map[chan uint64]bool{}, packets: map[netip.Addr]chan openflow.PacketIn{}}
	for _, a := range vteps {
		s.packets[a] = make(chan openflow.PacketIn, ProbesQueued)
	}
	return s
}

func (s *site) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func (s *site) AskExamination(_ context.Context, _ string, run uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down != nil {
		return s.down
	}
	for c := range s.asked {
		c <- run
	}
	return nil
}

func (s *site) WatchExaminations(ctx context.Context, deliver func(uint64)) error {
	c := make(chan uint64, 1)
	s.set(func() { s.asked[c] = true })
	defer s.set(func() { delete(s.asked, c) })
	for {
		select {
		case run := <-c:
			deliver(run)
		case <-ctx.Done():
			return nil
		}
	}
}

func (s *site) AnswerExamination(_ context.Context, _ uint64, r intent.HealthReport) error {
	s.set(func() { s.reports[r.Host] = r })
	return nil
}

func (s *site) ExaminationAnswered(context.Context, uint64) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.reports)), nil
}

func (s *site) ExaminationReports(context.Context, uint64) (map[string]intent.HealthReport, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.reports), nil
}

func (s *site) Hosts(context.Context) (list []intent.HostState, err error) {
	for name, vtep := range vteps {
		list = append(list, intent.HostState{Host: intent.Host{Name: name, VTEP: vtep, UnderlayMTU: 1600}, Alive: true})
	}
	return list, nil
}

func (s *site) CopiedHosts() (intent.HostsUpdate, bool) {
	return intent.HostsUpdate{Hosts: []intent.Host{{Name: "host1", VTEP: vteps["host1"], UnderlayMTU: 1600}, {Name: "host2", VTEP: vteps["host2"], UnderlayMTU: 1600}}}, true
}

func (s *site) Tenants(context.Context) ([]intent.Tenant, error) {
	return []intent.Tenant{{Name: "acme"}, {Name: "deleted"}}, nil
}

func (s *site) Networks(_ context.Context, tenant string) ([]intent.Network, error) {
	if tenant == "deleted" {
		return nil, intent.NotFoundf("tenant deleted does not exist")
	}
	return []intent.Network{{Tenant: tenant, Name: "web", MTU: 1450}}, nil
}

// side is one host's tunnel port.
type side struct {
	*site
	vtep netip.Addr
}

func (s side) Tunnel() openflow.PortNo { return 1 }

func (s side) Send(_ context.Context, packets ...openflow.PacketOut) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range packets {
		to := netip.Addr{}
		for _, a := range p.Actions {
			if f, ok := a.(openflow.SetField); ok && f.Field == openflow.FieldTunDst {
				to = netip.AddrFrom4([4]byte(f.Value[12:]))
			}
		}
		if c := s.packets[to]; c != nil && !s.cut {
			c <- openflow.PacketIn{Packet: p.Packet, FullLen: len(p.Packet), Metadata: openflow.Match{Terms: []openflow.Term{openflow.Addr(openflow.FieldTunSrc, s.vtep)}}}
		}
	}
	return nil
}

// quietHost has no fault.
type quietHost struct {
	sockets []hostnet.UDPSocket
	devices []string
	taps    []string
	ends    map[string]hostnet.PeerEnd
	mac     string
	err     error
}

func (h *quietHost) UDPSockets(int) ([]hostnet.UDPSocket, error)     { return h.sockets, h.err }
func (h *quietHost) VXLANDevices(int) ([]string, error)              { return h.devices, nil }
func (h *quietHost) TapsLeavingChecksums([]string) ([]string, error) { return h.taps, nil }
func (h *quietHost) NeighbourMAC(string, netip.Addr) (string, error) { return h.mac, nil }
func (h *quietHost) ReadPeerEnds([]string) (map[string]hostnet.PeerEnd, error) {
	return h.ends, nil
}

func (h *quietHost) NextHop(to netip.Addr) (netip.Addr, string, error) { return to, "eth1", nil }

// examiner returns the examiner of a host of the site, after change.
func (s *site) examiner(name string, change func(*Config, *quietHost)) *Examiner {
	host := &quietHost{mac: "0a:00:00:00:00:01"}
	cfg := Config{Name: name, VXLANName: "vx0", VXLANPort: 4789, Examinations: s, Intent: s, Switch: side{s, vteps[name]}, Host: host,
		Self:       func() intent.Host { return intent.Host{Name: name, VTEP: vteps[name], UnderlayMTU: 1600} },
		Underlay:   func() (string, string) { return "", "" },
		Interfaces: func() []ovsdb.Interface { return []ovsdb.Interface{{Name: "vx0", OFPort: 1}} },
		Neighbours: func(context.Context) ([]datapath.Neighbour, error) { return nil, nil },
		Moved:      func() []datapath.Change { return nil },
		CutOff:     func() []hostnet.ExitFault { return nil },
		Log:        slog.New(slog.DiscardHandler)}
	change(&cfg, host)
	return NewExaminer(cfg)
}

// Every live host reports to the host that examines; a host that does not report is waited for,
// for a limited time.
func TestHealthOfAllHosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite()
		same := func(*Config, *quietHost) {}
		one, two := s.examiner("host1", same), s.examiner("host2", func(c *Config, _ *quietHost) {
			c.Underlay = func() (string, string) { return "interface eth1 is down", "ip link set eth1 up" }
		})
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = one.Run(ctx, s.packets[vteps["host1"]]) })
		running.Go(func() { _ = two.Run(ctx, s.packets[vteps["host2"]]) })
		synctest.Wait()
		began := time.Now()
		h, err := one.Health(ctx)
		if err != nil || time.Since(began) > reportTime/2 || len(s.reports) != 2 {
			t.Fatalf("after %s: %+v, %v", time.Since(began), h, err)
		}
		if len(h.Findings) != 1 || !strings.Contains(h.Findings[0].What, "interface eth1 is down") {
			t.Errorf("found %+v", h.Findings)
		}
		if p := s.reports["host1"].Paths; len(p) != 1 || p[0].To != "host2" {
			t.Errorf("host1 reports %+v", p)
		}

		s.set(func() { s.cut = true; clear(s.reports) })
		if h, err = one.Health(ctx); err != nil || !slices.ContainsFunc(h.Findings, func(f intent.Finding) bool {
			return slices.Contains(f.Hosts, "host1") && slices.Contains(f.Hosts, "host2")
		}) {
			t.Errorf("without a working path: found %+v, %v", h.Findings, err)
		}
		stop()
		running.Wait()

		s.set(func() { clear(s.reports) })
		began = time.Now()
		if _, err := one.Health(t.Context()); err != nil || time.Since(began) < reportTime {
			t.Errorf("nothing reports: %v after %s", err, time.Since(began))
		}
	})
}

// An ovloomd that starts is notified of examinations to which its host has reported already,
// and ignores them.
func TestReportedExaminationIsNotRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite()
		e := s.examiner("host1", func(*Config, *quietHost) {})
		if err := e.examine(t.Context(), 1); err != nil || len(s.reports) != 1 {
			t.Fatalf("%v, reports %v", err, s.reports)
		}
		probes := len(s.packets[vteps["host2"]])
		if err := e.examine(t.Context(), 1); err != nil {
			t.Error(err)
		}
		if again := len(s.packets[vteps["host2"]]) - probes; again != 0 || probes == 0 {
			t.Errorf("%d probes, and %d after a second notice", probes, again)
		}
	})
}

// Without a store, a host examines itself and its paths to the hosts that it remembers; any
// other failure is reported.
func TestHealthWithoutStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite()
		s.cut, s.down = true, intent.Unavailablef("no answer")
		e := s.examiner("host1", func(c *Config, h *quietHost) { h.devices = []string{"vxlan9"} })
		h, err := e.Health(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		text := ""
		for _, f := range h.Findings {
			text += f.What + "\n"
		}
		for _, want := range []string{"VXLAN device vxlan9", "host2"} {
			if !strings.Contains(text, want) {
				t.Errorf("no %q among %q", want, text)
			}
		}
		s.down = errors.New("refused")
		if _, err := e.Health(t.Context()); err != s.down {
			t.Errorf("%v, want %v", err, s.down)
		}
	})
}

func TestWhatIsWrongOnThisHost(t *testing.T) {
	port := ovsdb.Interface{Name: "tap1", IfaceID: "u1", PluggedFor: "acme/web/c1"}
	for _, c := range []struct {
		name   string
		change func(*Config, *quietHost)
		want   []string // in each finding, and its remedy
	}{
		{"nothing", func(*Config, *quietHost) {}, nil},
		{"the tunnel port does not open", func(c *Config, _ *quietHost) {
			c.Interfaces = func() []ovsdb.Interface {
				return []ovsdb.Interface{{Name: "vx0", Error: "could not add port"}}
			}
		}, []string{"cannot open the tunnel port vx0: could not add port"}},
		{"programs have the tunnels' port", func(_ *Config, h *quietHost) {
			h.sockets = []hostnet.UDPSocket{{Program: "flanneld", PID: 7}, {}}
		}, []string{"taken by flanneld (process 7)", "taken by another program"}},
		{"sockets cannot be read", func(_ *Config, h *quietHost) { h.err = errors.New("no /proc") }, []string{"could not be examined: no /proc"}},
		{"a guest leaves checksums", func(c *Config, h *quietHost) {
			c.Userspace, h.taps = true, []string{"tap1"}
			c.Interfaces = func() []ovsdb.Interface { return []ovsdb.Interface{port} }
		}, []string{"the guest of port acme/web/c1 on host1 may leave checksums"}},
		{"a container leaves checksums", func(c *Config, h *quietHost) {
			c.Userspace, h.ends = true, map[string]hostnet.PeerEnd{"tap1": {Name: "eth0", Namespace: "/run/netns/w", ChecksumsLeft: true}}
			c.Interfaces = func() []ovsdb.Interface { return []ovsdb.Interface{port} }
		}, []string{"port acme/web/c1 on host1 leaves checksums to a network card (interface eth0"}},
		{"on the kernel's datapath they may", func(c *Config, h *quietHost) {
			h.taps = []string{"tap1"}
			c.Interfaces = func() []ovsdb.Interface { return []ovsdb.Interface{port} }
		}, nil},
		{"tenants cannot leave", func(c *Config, _ *quietHost) {
			c.CutOff = func() []hostnet.ExitFault {
				return []hostnet.ExitFault{{What: "forwarding is off", Do: "sysctl"}, {What: "nft drops", Do: "nft", ByHand: true}}
			}
		}, []string{"forwarding is off; to do: ovloom status --fix on host1, or by hand: sysctl", "nft drops; to do: nft"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := newSite().examiner("host1", c.change).examineHost()
			if len(got) != len(c.want) {
				t.Fatalf("found %+v, want %q", got, c.want)
			}
			for i, f := range got {
				if text := f.What + "; to do: " + f.Do; !strings.Contains(text, c.want[i]) || f.Do == "" || !slices.Equal(f.Hosts, []string{"host1"}) {
					t.Errorf("found %+v, want %q", f, c.want[i])
				}
			}
		})
	}
}

// The next hops of tunnels come from the switch on the userspace datapath, and from the kernel
// on the kernel's.
func TestNextHopsAreLookedAt(t *testing.T) {
	hosts := []intent.Host{{Name: "host1", VTEP: vteps["host1"]}, {Name: "host2", VTEP: vteps["host2"]}}
	neighbour := datapath.Neighbour{Addr: vteps["host2"], MAC: "0a:00:00:00:00:02"}
	for _, c := range []struct {
		name   string
		change func(*Config, *quietHost)
		want   string // "": nothing
	}{
		{"the kernel knows it", func(*Config, *quietHost) {}, ""},
		{"the kernel does not", func(_ *Config, h *quietHost) { h.mac = "" }, "nothing answers ARP for 192.0.2.2 (host2) on eth1"},
		{"the switch does not", func(c *Config, _ *quietHost) { c.Userspace = true }, "nothing answers ARP"},
		{"the switch knows it", func(c *Config, _ *quietHost) {
			c.Userspace = true
			c.Neighbours = func(context.Context) ([]datapath.Neighbour, error) { return []datapath.Neighbour{neighbour}, nil }
		}, ""},
		{"the switch is away", func(c *Config, _ *quietHost) {
			c.Userspace = true
			c.Neighbours = func(context.Context) ([]datapath.Neighbour, error) { return nil, errors.New("no answer") }
		}, ""},
		{"it has moved", func(c *Config, _ *quietHost) {
			c.Userspace = true
			c.Moved = func() []datapath.Change { return []datapath.Change{{Neighbour: neighbour, Was: "0a:00:00:00:00:66"}} }
		}, "had 0a:00:00:00:00:66 before"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := newSite().examiner("host1", c.change).examineNeighbours(t.Context(), hosts)
			if c.want == "" && len(got) > 0 || c.want != "" && (len(got) != 1 || !strings.Contains(got[0].What, c.want)) {
				t.Errorf("found %+v, want %q", got, c.want)
			}
		})
	}
}
