package world

import (
	"fmt"
	"maps"
	"net/netip"
	"testing"

	"github.com/ovloom/ovloom/controller/internal/switchtest"
	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/pipeline"
)

// A comparison by a world that knows only one of two tenants leaves the other's flows and
// groups unchanged, and brings the known tenant's to the wanted state.
func TestSparingComparison(t *testing.T) {
	for seed := range *walkSeeds {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			walk := newWalker(seed)
			w := newWorld(self)
			w.SetSwitch(pipeline.Switch{VXLANPort: 1})
			walk.start(w)
			sw := newTable()
			for range *walkSteps {
				walk.step(w)
			}
			w.Settle()
			if err := sw.Apply(diff(w, sw)); err != nil {
				t.Fatal(err)
			}
			// The owners: what a host with only this tenant would want.
			only := func(tenant string) *World {
				o := newWorld(self)
				o.SetSwitch(pipeline.Switch{VXLANPort: 1})
				o.SetHosts(walk.hosts)
				walk.outside.tell(o)
				o.Update(intent.SpanUpdate{Tenant: tenant, Snapshot: walk.tenants[tenant]})
				for ref, p := range walk.local {
					o.SetLocal(ref, p)
				}
				o.Settle()
				return o
			}
			theirs := map[of.FlowKey]of.Flow{}
			owners := only("umbrella").knownOwners(true)
			for k, f := range sw.Flows {
				if c := pipeline.Cookie(f.Cookie); owners[c] && c.Kind() != pipeline.KindHost && c.Kind() != pipeline.KindExternal && c.Kind() != pipeline.KindGuard {
					theirs[k] = f
				}
			}
			acme := only("acme")
			spared := acme.Target()
			spared.known = acme.knownOwners(true)
			groups := maps.Clone(sw.Groups)
			if err := sw.Apply(spared.diff(sw.Dump())); err != nil {
				t.Fatal(err)
			}
			for k, f := range theirs {
				if spared.known[pipeline.Cookie(f.Cookie)] {
					continue // of both, such as an external address that they share
				}
				if now, ok := sw.Flows[k]; !ok || now.String() != f.String() {
					t.Errorf("gone or changed: %s", f.String())
				}
			}
			for id := range groups {
				if _, ok := sw.Groups[id]; !ok {
					t.Errorf("group %d is gone", id)
				}
			}
			flows, _ := acme.wanted()
			for _, f := range flows {
				if now := sw.Flows[f.Key()]; now.String() != f.String() {
					t.Errorf("want %s, have %s", f.String(), now.String())
				}
			}
			// Now both tenants are known.
			if err := sw.Apply(diff(w, sw)); err != nil {
				t.Fatal(err)
			}
			if d := switchtest.Difference(switchtest.Lines(sw.Dump()), switchtest.Lines(w.wanted())); d != "" {
				t.Errorf("with both tenants known:\n%s", d)
			}
		})
	}
}

// Flows with a cookie of learned flows belong only into tables of learned flows.
func TestCookiesOfLearnedFlowsHideNothing(t *testing.T) {
	learned := pipeline.MakeCookie(pipeline.KindLearnedPort, 5)
	table := pipeline.LearnedTables()[0]
	flows := []of.Flow{{Table: 0, Priority: 1, Cookie: uint64(learned)}, {Table: table, Priority: 1, Cookie: uint64(learned)}}
	left := withoutLearned(flows, map[pipeline.Cookie]of.PortNo{learned: 0})
	if len(left) != 1 || left[0].Table != 0 {
		t.Errorf("compared %v", left)
	}
}

// What the switch learned when an uplink had another OpenFlow port is deleted: also when all is
// compared for another reason, and when another ovloomd starts.
func TestLearnedFlowsOfAnotherPortGo(t *testing.T) {
	w := newWorld("host1")
	w.SetSwitch(pipeline.Switch{VXLANPort: 1})
	w.SetExternals([]intent.External{{Name: "campus", ID: 502, Number: 3, Kind: intent.ExternalBridge, Bridge: "br-ex",
		Subnet: netip.MustParsePrefix("203.0.113.0/24"), Gateway: netip.MustParseAddr("203.0.113.1")}})
	learned := pipeline.MakeCookie(pipeline.KindLearnedExternal, 502)
	flowTo := func(port of.PortNo) of.Flow {
		tables := pipeline.LearnedTables()
		return of.Flow{Table: tables[len(tables)-1], Priority: 10, Cookie: uint64(learned),
			Actions: []of.Action{of.Set(of.Reg(2), uint64(port))}}
	}
	left := func() (n int) {
		for _, port := range []of.PortNo{2, 6} {
			n += len(withoutLearned([]of.Flow{flowTo(port)}, w.learnedOwners()))
		}
		return n
	}
	w.Settle()
	if n := left(); n != 0 {
		t.Errorf("the uplink is not known yet: of two learned flows %d are compared, want none", n)
	}
	w.SetUplinks(map[string]Uplink{"campus": {OFPort: 2}})
	w.Settle()
	if n := left(); n != 1 {
		t.Errorf("of two learned flows %d are compared, want the one to port 6", n)
	}
	w.SetUplinks(map[string]Uplink{"campus": {OFPort: 6}})
	w.Settle()
	if n := left(); n != 2 {
		t.Errorf("the uplink has another number: of two learned flows %d are compared, want both", n)
	}
	clear(w.forgotten) // they have been compared
	if n := left(); n != 1 {
		t.Errorf("of two learned flows %d are compared, want the one to port 2", n)
	}
}
