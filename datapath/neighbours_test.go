package datapath

import (
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestForgedNeighbourIsPutBack(t *testing.T) {
	show := func(mac string) string {
		return "IP                                            MAC                 Bridge\n====\n172.31.0.2      " + mac + "   br-phy\n"
	}
	const host, forger, third = "02:00:00:00:00:02", "02:00:00:00:00:66", "02:00:00:00:00:03"
	v := &vswitchd{answers: map[string]string{}}
	var answers, back []string
	asked := 0
	h := &Neighbourhood{Datapath: of(v, false), Log: slog.New(slog.DiscardHandler),
		WhoHas: func(link string, a netip.Addr, _ time.Duration) ([]string, error) {
			asked++
			if link != "br-phy" || a != netip.MustParseAddr("172.31.0.2") {
				t.Errorf("asked on %s for %s", link, a)
			}
			return answers, nil
		},
		PutBack: func(n Neighbour, claimed string) { back = append(back, claimed+" -> "+n.MAC) }}
	for _, c := range []struct {
		name, is string
		answers  []string
		asked    int
		back     string
	}{
		{"seen first", host, []string{host}, 1, ""},
		{"unchanged", host, nil, 0, ""},
		{"forged", forger, []string{host}, 1, forger + " -> " + host},
		{"forged, and both answer", forger, []string{forger, host}, 1, forger + " -> " + host},
		{"nobody answers: asked again", forger, nil, 1, ""},
		{"moved", third, []string{third}, 1, ""},
		{"stays moved", third, nil, 0, ""},
		{"a third one answers", forger, []string{host}, 1, forger + " -> " + host},
	} {
		v.answers["tnl/neigh/show"], answers, back, asked, v.calls = show(c.is), c.answers, nil, 0, nil
		if err := h.look(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := ""
		if len(back) > 0 {
			got = back[0]
			v.called(t, "tnl/neigh/show", "tnl/neigh/set br-phy 172.31.0.2 "+host)
		}
		if got != c.back || asked != c.asked {
			t.Errorf("%s: put back %q, want %q; asked %d times, want %d", c.name, got, c.back, asked, c.asked)
		}
	}
	if c := h.Changed(); len(c) != 1 || c[0].Was != third || c[0].MAC != forger || c[0].Addr.String() != "172.31.0.2" {
		t.Errorf("changed: %+v", c)
	}
	h.changes[Neighbour{Bridge: "br-phy", Addr: netip.MustParseAddr("172.31.0.2")}] = Change{At: time.Now().Add(-2 * changesKept)}
	if c := h.Changed(); len(c) != 0 {
		t.Errorf("changed long ago: %+v", c)
	}
}

// Forged neighbours fill neither memory nor the place of true ones.
func TestNeighboursAreBounded(t *testing.T) {
	v := &vswitchd{answers: map[string]string{}}
	h := &Neighbourhood{Datapath: of(v, false), Log: slog.New(slog.DiscardHandler),
		WhoHas: func(string, netip.Addr, time.Duration) ([]string, error) { return nil, nil }}
	show := func(from, to int) {
		var b strings.Builder
		for i := from; i < to; i++ {
			fmt.Fprintf(&b, "172.31.%d.%d 02:00:00:00:00:66 br-phy\n", i>>8, i&0xff)
		}
		v.answers["tnl/neigh/show"] = b.String()
		if err := h.look(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	show(0, neighboursMost+100)
	if len(h.known) != neighboursMost {
		t.Errorf("%d neighbours are remembered", len(h.known))
	}
	show(neighboursMost+10, neighboursMost+20)
	if len(h.known) != 10 {
		t.Errorf("when they are gone, %d neighbours are remembered", len(h.known))
	}
}

func TestMissingNeighbourIsBroughtBack(t *testing.T) {
	const host, third = "02:00:00:00:00:02", "02:00:00:00:00:03"
	for name, c := range map[string]struct {
		answers   []string
		back, set string
	}{
		"it answers":               {[]string{host}, host, "tnl/neigh/set br-phy 172.31.0.2 " + host},
		"another answers":          {[]string{third}, third, "tnl/neigh/set br-phy 172.31.0.2 " + third},
		"it answers, with another": {[]string{third, host}, host, "tnl/neigh/set br-phy 172.31.0.2 " + host},
		"no process answers":       {nil, "", ""},
	} {
		v := &vswitchd{answers: map[string]string{"tnl/neigh/show": ""}}
		back, asked := "", 0
		h := &Neighbourhood{Datapath: of(v, false), Log: slog.New(slog.DiscardHandler),
			WhoHas: func(string, netip.Addr, time.Duration) ([]string, error) { asked++; return c.answers, nil },
			PutBack: func(n Neighbour, claimed string) {
				if back = n.MAC; claimed != "" {
					t.Errorf("%s: it was not claimed by %s", name, claimed)
				}
			}}
		h.known = map[Neighbour]string{{Bridge: "br-phy", Addr: netip.MustParseAddr("172.31.0.2")}: host}
		if err := h.look(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := []string{"tnl/neigh/show"}
		if c.set != "" {
			want = append(want, c.set)
		}
		v.called(t, want...)
		if back != c.back || asked != 1 {
			t.Errorf("%s: put back %q, want %q; asked %d times", name, back, c.back, asked)
		}
		if c.back != "" {
			continue
		}
		// It is asked for again, until its host is gone for long.
		if err := h.look(t.Context()); err != nil || asked != 2 {
			t.Errorf("%s: asked %d times, want 2; %v", name, asked, err)
		}
		for key, m := range h.missing {
			m.since = time.Now().Add(-missingTime - time.Second)
			h.missing[key] = m
		}
		if err := h.look(t.Context()); err != nil || asked != 2 || len(h.known) > 0 {
			t.Errorf("%s: asked %d times, and known are %v; %v", name, asked, h.known, err)
		}
	}
}

func TestManyMissingNeighboursAreAskedForInTurn(t *testing.T) {
	v := &vswitchd{answers: map[string]string{"tnl/neigh/show": ""}}
	asked := map[netip.Addr]int{}
	h := &Neighbourhood{Datapath: of(v, false), Log: slog.New(slog.DiscardHandler), known: map[Neighbour]string{},
		WhoHas: func(_ string, a netip.Addr, _ time.Duration) ([]string, error) { asked[a]++; return nil, nil }}
	const many = 3 * missingMost
	for i := range many {
		h.known[Neighbour{Bridge: "br-phy", Addr: netip.AddrFrom4([4]byte{172, 31, 0, byte(i)})}] = "02:00:00:00:00:02"
	}
	for range 3 {
		if err := h.look(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if len(asked) != many {
		t.Errorf("%d of %d were asked for in three looks: %v", len(asked), many, asked)
	}
}

// repairs remembers what it was told, as text.
type repairs []string

func (r *repairs) Put(what string, _ int, detail string) { *r = append(*r, what+": "+detail) }

func TestNeighboursPutBackAreRecorded(t *testing.T) {
	var r repairs
	record := RecordIn(&r)
	n := Neighbour{Bridge: "br-phy", Addr: netip.MustParseAddr("192.0.2.2"), MAC: "0a:00:00:00:00:02"}
	record(n, "")
	record(n, "0a:00:00:00:00:66")
	want := repairs{
		"tunnel neighbour missing: 192.0.2.2: 0a:00:00:00:00:02",
		"tunnel neighbour claimed by another MAC on the underlay: 192.0.2.2: 0a:00:00:00:00:02, not 0a:00:00:00:00:66",
	}
	if !slices.Equal(r, want) {
		t.Errorf("recorded %q, want %q", r, want)
	}
}
