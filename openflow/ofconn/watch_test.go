package ofconn

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/ovloom/ovloom/integration/ovstest"
	"github.com/ovloom/ovloom/openflow"
)

// These tests change a real Open vSwitch from the side.

// next waits for a change and returns what was gathered until then.
func next(t *testing.T, w *FlowWatch) FlowChanges {
	t.Helper()
	select {
	case <-w.C():
		return w.Take()
	case <-time.After(10 * time.Second):
		t.Fatal("no change of flows was told within 10 s")
	}
	return FlowChanges{}
}

// numbered returns n flows of a table with different matches.
func numbered(n int, table uint8) []openflow.Mod {
	mods := make([]openflow.Mod, n)
	for i := range mods {
		mods[i] = &openflow.FlowMod{Flow: openflow.Flow{Table: table, Priority: 7, Cookie: uint64(i),
			Match: openflow.MatchOf(openflow.Exact(openflow.FieldReg4, uint64(i)))}}
	}
	return mods
}

func TestWatchTellsOfOthersOnly(t *testing.T) {
	s := ovstest.StartBridge(t)
	c := dialOVS(t, s, Config{})
	w, err := c.WatchFlows(t.Context(), 0, 5)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.WatchFlows(t.Context(), 0); err == nil {
		t.Error("a second watch was begun")
	}
	// Our own, in bundles, and those of a table that is not watched.
	if err := c.Apply(t.Context(), numbered(3000, 5)); err != nil {
		t.Fatal(err)
	}
	if err := c.Apply(t.Context(), []openflow.Mod{&openflow.FlowMod{Command: openflow.FlowDelete, Flow: openflow.Flow{Table: 5}}}); err != nil {
		t.Fatal(err)
	}
	if err := c.Apply(t.Context(), numbered(100, 5)); err != nil {
		t.Fatal(err)
	}
	s.Ofctl("add-flow", "br0", "table=6,cookie=9,actions=drop")
	if err := c.Barrier(t.Context()); err != nil {
		t.Fatal(err)
	}
	if seen := w.Take(); seen.Added+seen.Removed+seen.Modified > 0 || seen.Incomplete {
		t.Errorf("told of %+v", seen)
	}
	s.Ofctl("add-flow", "br0", "table=0,priority=100,cookie=0x77,in_port=3,actions=drop")
	if seen := next(t, w); seen.Added != 1 || seen.Removed+seen.Modified != 0 || len(seen.First) != 1 || seen.First[0].Flow.Cookie != 0x77 {
		t.Errorf("after a flow was added: %+v", seen)
	}
	s.Ofctl("mod-flows", "br0", "table=0,in_port=3,actions=output:4")
	if seen := next(t, w); seen.Modified != 1 || seen.Added+seen.Removed != 0 {
		t.Errorf("after a flow was modified: %+v", seen)
	}
	s.Ofctl("del-flows", "br0")
	total := FlowChanges{}
	eventually(t, "all 101 flows are told to be gone", func() bool {
		total.Removed += w.Take().Removed
		return total.Removed == 101
	})
}

// TestWatchOfMany has somebody else delete more flows than the switch is willing to tell of.
func TestWatchOfMany(t *testing.T) {
	s := ovstest.StartBridge(t)
	c := dialOVS(t, s, Config{})
	w, err := c.WatchFlows(t.Context(), 0, 5)
	if err != nil {
		t.Fatal(err)
	}
	const many = 30000
	if err := c.Apply(t.Context(), numbered(many, 5)); err != nil {
		t.Fatal(err)
	}
	if seen := w.Take(); seen.Added+seen.Removed+seen.Modified > 0 || seen.Incomplete {
		t.Errorf("our own changes are told: %+v", seen)
	}
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	s.Ofctl("del-flows", "br0", "table=5")
	var total FlowChanges
	eventually(t, "the changes are told", func() bool {
		seen := w.Take()
		total.Removed += seen.Removed
		total.Incomplete = total.Incomplete || seen.Incomplete
		return total.Removed == many || total.Incomplete
	})
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 4<<20 {
		t.Errorf("%d changes keep %d bytes", many, grown)
	}
	t.Logf("told of %d removals, incomplete: %v", total.Removed, total.Incomplete)
	if c.Err() != nil {
		t.Errorf("the connection ended: %v", c.Err())
	}
	// Many additions at once, which the switch may leave out.
	var file strings.Builder
	for i := range many {
		fmt.Fprintf(&file, "table=5,priority=8,reg4=%d,actions=drop\n", i)
	}
	if _, err := s.OfctlInput(file.String(), "--bundle", "add-flows", "br0", "-"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the additions are told", func() bool {
		seen := w.Take()
		total.Added += seen.Added
		return total.Added > many/2 || seen.Incomplete
	})
	if err := c.Barrier(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestSetPorts(t *testing.T) {
	s := ovstest.StartBridge(t)
	ports := make(chan openflow.PortChange, 100)
	c := dialOVS(t, s, Config{PortChanges: ports})
	twoPorts(s)
	for set, want := range map[string]openflow.PortConfig{"no-forward": {NoForward: true}, "no-receive": {NoReceive: true}, "down": {Down: true}} {
		s.Ofctl("mod-port", "br0", "p1", set)
		var p openflow.Port
		eventually(t, "the port status says "+set, func() bool {
			p = receive(t, ports).Port
			return p.Name == "p1" && p.PortConfig == want
		})
		p.PortConfig = openflow.PortConfig{}
		if err := c.SetPorts(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		list, err := c.Ports(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range list {
			if p.Name == "p1" && p.PortConfig != (openflow.PortConfig{}) {
				t.Errorf("after %s was put back the port is %q", set, p.PortConfig)
			}
		}
	}
}
