package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ovloom/ovloom/intent"
)

func TestProbeAsBytes(t *testing.T) {
	want := probe{Kind: request, Size: 1600, Run: 1<<63 + 5, Sent: 123456789, Back: 0}
	b := want.append(nil, 1600)
	if len(b) != 1600-tunnelOverhead {
		t.Fatalf("a frame of %d bytes", len(b))
	}
	got, err := parse(b[:frameMin], len(b))
	if err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := parse(b, len(b)-1); err == nil {
		t.Error("a truncated probe was accepted")
	}
	for n := range frameMin {
		if _, err := parse(b[:n], n); err == nil {
			t.Errorf("%d bytes were taken for a probe", n)
		}
	}
	if n := len(probe{Kind: answer}.append(nil, sizeMin)); n != frameMin {
		t.Errorf("the smallest frame has %d bytes", n)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(probe{Kind: request, Size: 1600}.append(nil, 1600), 1564)
	f.Add(probe{Kind: answer, Back: -1}.append(nil, sizeMin), frameMin)
	f.Fuzz(func(t *testing.T, b []byte, frameLen int) {
		p, err := parse(b, frameLen)
		if err != nil {
			return
		}
		again, err := parse(p.append(nil, max(int(p.Size), sizeMin)), int(p.Size)-tunnelOverhead)
		if err != nil || again != p {
			t.Errorf("%+v became %+v, %v", p, again, err)
		}
	})
}

func TestClockOffset(t *testing.T) {
	sent := time.Unix(1000, 0)
	p := probe{Sent: sent.UnixNano(), Back: sent.Add(-time.Minute + 2*time.Millisecond).UnixNano()}
	offset, rtt := p.offset(sent.Add(4 * time.Millisecond))
	if offset != -time.Minute || rtt != 4*time.Millisecond {
		t.Errorf("offset %v, rtt %v", offset, rtt)
	}
}

// wire carries frames that fit between probers.
type wire struct {
	mu      sync.Mutex
	probers map[netip.Addr]*Prober
	fits    func(from, to netip.Addr, size int) bool
	loseOne map[netip.Addr]bool // the first packet to it is lost, as while a neighbour is resolved
}

func (w *wire) add(a netip.Addr) *Prober {
	p := NewProber(func(ctx context.Context, packets []Packet) error {
		for _, packet := range packets {
			w.mu.Lock()
			to, lose := w.probers[packet.To], w.loseOne[packet.To]
			delete(w.loseOne, packet.To)
			w.mu.Unlock()
			n := len(packet.Frame)
			if to == nil || lose || !w.fits(a, packet.To, n+tunnelOverhead) {
				continue
			}
			go func() { _ = to.Receive(ctx, a, packet.Frame[:frameMin], n) }() // truncated, as by the switch
		}
		return nil
	})
	w.probers[a] = p
	return p
}

func TestExamineMeasuresEachDirection(t *testing.T) {
	a, b, c := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.3")
	w := &wire{probers: map[netip.Addr]*Prober{}, loseOne: map[netip.Addr]bool{b: true}}
	w.fits = func(from, to netip.Addr, size int) bool {
		switch {
		case from == a && to == b:
			return size <= 1437
		case from == a && to == c:
			return false
		}
		return true
	}
	pa, pc := w.add(a), w.add(c)
	w.add(b)
	var reports [2][]intent.PathReport
	var both sync.WaitGroup
	both.Go(func() {
		reports[0] = pa.Examine(t.Context(), 7, []Target{{"b", b, 1600}, {"c", c, 1600}})
	})
	both.Go(func() {
		reports[1] = pc.Examine(t.Context(), 7, []Target{{"a", a, 1600}, {"b", b, 1600}})
	})
	both.Wait()
	says := func(r intent.PathReport) string { return fmt.Sprint(r.To, " ", r.Passes, " ", r.HeardOf) }
	for got, want := range map[string]string{
		says(reports[0][0]): "b 1437 false",
		says(reports[0][1]): "c 0 true",
		says(reports[1][0]): "a 0 false",
		says(reports[1][1]): "b 1600 false",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestAnswersThatNobodyAskedForAreNotKept(t *testing.T) {
	p := NewProber(func(context.Context, []Packet) error { return nil })
	frame := probe{Kind: answer, Run: 9}.append(nil, sizeMin)
	if err := p.Receive(t.Context(), netip.MustParseAddr("192.0.2.1"), frame, len(frame)); err != nil || len(p.runs) != 0 {
		t.Errorf("%d examinations, %v", len(p.runs), err)
	}
	for run := range uint64(3 * runsKept) {
		frame := probe{Kind: request, Size: sizeMin, Run: run}.append(nil, sizeMin)
		if err := p.Receive(t.Context(), netip.MustParseAddr("192.0.2.1"), frame, len(frame)); err != nil {
			t.Fatal(err)
		}
	}
	if len(p.runs) != runsKept || len(p.order) != runsKept {
		t.Errorf("%d examinations are kept", len(p.runs))
	}
}

// overlay returns the input of Judge: hosts a, b, c… whose paths all work.
type overlay struct {
	hosts    []intent.HostState
	networks []intent.Network
	reports  map[string]intent.HealthReport
}

func newOverlay(names ...string) *overlay {
	o := &overlay{reports: map[string]intent.HealthReport{}}
	for i, name := range names {
		o.hosts = append(o.hosts, intent.HostState{Alive: true, Host: intent.Host{Name: name, VTEP: netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}), UnderlayMTU: 1500}})
		r := intent.HealthReport{Host: name, VXLANPort: 4789}
		for _, to := range names {
			if to != name {
				r.Paths = append(r.Paths, intent.PathReport{To: to, Wanted: 1500, Passes: 1500, RTT: time.Millisecond, HeardOf: true})
			}
		}
		o.reports[name] = r
	}
	return o
}

func (o *overlay) path(from, to string) *intent.PathReport {
	paths := o.reports[from].Paths
	for i := range paths {
		if paths[i].To == to {
			return &paths[i]
		}
	}
	panic("no path from " + from + " to " + to)
}

// cut blocks the packets from one host to another, and so the answers too.
func (o *overlay) cut(from, to string) {
	o.path(from, to).Passes, o.path(to, from).Passes = 0, 0
	o.path(to, from).HeardOf = false
}

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		name  string
		wrong func(o *overlay)
		want  []string // one per finding
	}{
		{"all right", func(*overlay) {}, nil},
		{"a host down", func(o *overlay) { o.hosts[1].Alive = false; delete(o.reports, "b") }, []string{"[b] host b is down"}},
		{"a host silent", func(o *overlay) { delete(o.reports, "b") }, []string{"[b] host b is alive, but did not report in time"}},
		{"one direction", func(o *overlay) { o.cut("a", "b") }, []string{"[a b] no tunnel packet passes from a (192.0.2.1) to b (192.0.2.2); the other direction works"}},
		{"both directions", func(o *overlay) { o.cut("a", "b"); o.cut("b", "a") }, []string{"[a b] no tunnel packet passes between a (192.0.2.1) and b (192.0.2.2), in either direction"}},
		{"a host cut off", func(o *overlay) { o.cut("a", "b"); o.cut("b", "a"); o.cut("c", "b"); o.cut("b", "c") }, []string{"[b] host b (192.0.2.2) is cut off"}},
		{"a host that cannot send", func(o *overlay) {
			o.cut("a", "b")
			o.cut("b", "a")
			o.cut("c", "b")
			o.cut("b", "c")
			o.path("b", "a").SendFail = "no switch"
		}, []string{"[b] host b cannot send anything through its tunnels: no switch"}},
		{"loss", func(o *overlay) { o.path("a", "b").Passes = 0 }, []string{"[a b] tunnel packets between a and b pass only now and then"}},
		{"a small MTU there", func(o *overlay) { o.path("b", "c").Passes = 1404 }, []string{"[b c] the underlay from b to c is too small: packets of 1500 bytes are lost, those of 1404 pass"}},
		{"a small MTU both ways", func(o *overlay) { o.path("b", "c").Passes, o.path("c", "b").Passes = 1404, 1400 },
			[]string{"[b c] the underlay between b and c is too small: packets of 1500 bytes are lost, those of 1400 pass"}},
		{"other UDP ports", func(o *overlay) { r := o.reports["c"]; r.VXLANPort = 8472; o.reports["c"] = r },
			[]string{"[a b c] the hosts' tunnels use different UDP ports: a, b 4789; c 8472"}},
		{"a clock", func(o *overlay) {
			o.path("a", "b").Skew, o.path("c", "b").Skew = -time.Minute, -time.Minute
			o.path("b", "a").Skew, o.path("b", "c").Skew = time.Minute, time.Minute
		}, []string{"[b a] the clock of b is 1m0s behind that of a"}},
		{"a clock a little off", func(o *overlay) { o.path("a", "b").Skew = clockLimit }, nil},
		{"a network too large", func(o *overlay) {
			o.networks = []intent.Network{{Tenant: "acme", Name: "web", MTU: 1451}, {Tenant: "acme", Name: "db", MTU: 1450}}
		}, []string{"[a] network acme/web has MTU 1451, but the underlay of a (1500) leaves 1450"}},
		{"underlays that differ, with a network that follows", func(o *overlay) {
			o.hosts[2].UnderlayMTU = 9000
			o.networks = []intent.Network{{Tenant: "acme", Name: "web"}}
		}, []string{"[a c] the underlays' MTU differs (a 1500, c 9000)"}},
		{"underlays that differ, with a network that fits all", func(o *overlay) {
			o.hosts[2].UnderlayMTU = 9000
			o.networks = []intent.Network{{Tenant: "acme", Name: "web", MTU: 1450}}
		}, nil},
		{"a host's own findings", func(o *overlay) {
			r := o.reports["b"]
			r.Findings = []intent.Finding{{Hosts: []string{"b"}, What: "the port is taken", Do: "give it back"}}
			o.reports["b"] = r
		}, []string{"[b] the port is taken"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := newOverlay("a", "b", "c")
			c.wrong(o)
			h := Judge(o.hosts, o.networks, o.reports)
			if len(h.Findings) != len(c.want) {
				t.Errorf("%d findings, want %d: %v", len(h.Findings), len(c.want), h.Findings)
			}
			for i, f := range h.Findings {
				if got := fmt.Sprint(f.Hosts, " ", f.What); i < len(c.want) && !strings.HasPrefix(got, c.want[i]) {
					t.Errorf("got  %s\nwant %s", got, c.want[i])
				}
				if f.Do == "" {
					t.Errorf("%q has no remedy", f.What)
				}
			}
		})
	}
}

// A host that is alone reports its own findings, and that it is alone.
func TestJudgeAlone(t *testing.T) {
	var hosts []intent.Host
	for i := range 6 {
		hosts = append(hosts, intent.Host{Name: fmt.Sprintf("host%d", i+1), VTEP: netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)})})
	}
	h := JudgeAlone(hosts, intent.HealthReport{Host: "host1", VXLANPort: 4789,
		Findings: []intent.Finding{{Hosts: []string{"host1"}, What: "its own"}},
		Paths: []intent.PathReport{
			{To: "host2", Wanted: 1550, Passes: 1550, RTT: time.Millisecond},
			{To: "host3", Wanted: 1550, Passes: 1400, RTT: time.Millisecond},
			{To: "host4", Wanted: 1550},
			{To: "host5", Wanted: 1550, Passes: 1550, RTT: time.Millisecond, Skew: -time.Minute},
			{To: "host6", Wanted: 1550, SendFail: "no connection"},
		}}, errors.New("the store does not answer"))
	var got []string
	for _, p := range h.Paths {
		got = append(got, fmt.Sprintf("%s>%s %s", p.From, p.To, p.State))
	}
	for _, f := range h.Findings {
		got = append(got, f.What)
	}
	want := []string{
		"host1>host2 ok", "host1>host3 mtu", "host1>host4 none", "host1>host5 ok", "host1>host6 none",
		"only host1 was examined, by itself: the store does not answer",
		"its own",
		"the underlay from host1 to host3 is too small: packets of 1550 bytes are lost, those of 1400 pass",
		"host4 (192.0.2.4) answers no tunnel packet of host1",
		"the clock of host5 is 1m0s behind that of host1",
		"host1 cannot send to host6 through its tunnel: no connection",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}
