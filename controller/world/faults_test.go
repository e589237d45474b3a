package world

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/ovloom/ovloom/controller/internal/switchtest"
	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/pipeline"
	"github.com/ovloom/ovloom/router"
)

// poison makes the functions of a kind panic for the objects that sick selects.
func poison[K comparable, V any](k *kind[K, V], refOf func(*V) K, sick func(stage, name string) bool) {
	check := func(stage string, ref K) {
		if name := k.nameOf(ref); sick(stage, name) {
			panic(stage + " of " + name)
		}
	}
	view, flows, groups, meters := k.view, k.flows, k.groups, k.meters
	k.view = func(ref K) *V { check("view", ref); return view(ref) }
	k.flows = func(v *V, emit pipeline.Emit) {
		n := 0
		flows(v, func(f of.Flow, note string) {
			if n++; n == 2 { // halfway
				check("flows", refOf(v))
			}
			emit(f, note)
		})
	}
	if groups != nil {
		k.groups = func(v *V) []of.Group { check("groups", refOf(v)); return groups(v) }
	}
	if meters != nil {
		k.meters = func(v *V) []of.Meter { check("meters", refOf(v)); return meters(v) }
	}
}

func poisonAll(w *World, sick func(stage, name string) bool) {
	poison(w.ports, func(v *pipeline.PortView) intent.PortRef { return v.Port.Ref() }, sick)
	poison(w.networks, func(v *pipeline.NetworkView) intent.NetworkRef { return v.Network.Ref() }, sick)
	poison(w.peers, func(v *pipeline.PeerView) intent.PeerRef { return v.Peer.Ref() }, sick)
	poison(w.routes, func(v *pipeline.RouteView) intent.RouteRef { return v.Route.Ref() }, sick)
	poison(w.hosts, func(v *hostView) string { return v.Name }, sick)
	poison(w.senders, func(v *pipeline.SendersView) string { return v.Tenant.Name }, sick)
	poison(w.tenantNAT, func(v *pipeline.TenantView) string { return v.Tenant.Name }, sick)
	poison(w.snats, func(v *pipeline.SNATView) intent.SNATRef { return v.SNAT.Ref() }, sick)
	poison(w.floatings, func(v *pipeline.FloatingView) intent.FloatingRef { return v.Floating.Ref() }, sick)
	poison(w.forwards, func(v *pipeline.ForwardView) intent.ForwardRef { return v.Forward.Ref() }, sick)
	poison(w.externals, func(v *pipeline.ExternalView) string { return v.External.Name }, sick)
	poison(w.guards, func(*pipeline.GuardView) string { return "" }, sick)
}

// brought brings a switch to a world's wanted state, as the loop does.
func brought(sw *table, w *World) error {
	mods, sure := w.Flush()
	if sure {
		return sw.Apply(mods)
	}
	return sw.compare(w)
}

// of returns the flows of an object, sorted.
func (s *table) of(c pipeline.Cookie) []string {
	var l []string
	for _, f := range s.Flows {
		if f.Cookie == uint64(c) {
			l = append(l, f.String())
		}
	}
	slices.Sort(l)
	return l
}

// An object that fails keeps its flows, also over a restart; it is reported and logged once,
// and all others go on.
func TestObjectThatFailsIsLeftOut(t *testing.T) {
	for _, stage := range []string{"view", "flows", "groups", "meters"} {
		t.Run(stage, func(t *testing.T) {
			sick := false
			isSick := func(at, name string) bool { return sick && at == stage && name == "port acme/web/c1" }
			n := intent.Network{Tenant: "acme", Name: "web", ID: 2, VNI: 5001, Unknown: intent.UnknownDrop}
			port := func(name string, id intent.ID, last byte) intent.Port {
				return intent.Port{Tenant: "acme", Network: "web", Name: name, ID: id, MAC: intent.MAC{2, 0, 0, 0, 0, byte(id)},
					Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, last})}}
			}
			snap := &intent.Snapshot{Tenant: intent.Tenant{Name: "acme", ID: 1, VRF: 1}, Networks: []intent.Network{n},
				Ports: []intent.Port{port("c1", 11, 11), port("c2", 12, 12)}}
			for i, p := range snap.Ports {
				snap.Bindings = append(snap.Bindings, intent.Binding{Tenant: "acme", Network: "web", Port: p.Name, Host: self, Generation: uint64(i + 1)})
			}
			start := func(log *slog.Logger) *World {
				w := New(self, log, router.NewTable())
				w.SetSwitch(pipeline.Switch{VXLANPort: 1})
				w.SetHosts([]intent.Host{{Name: self, ID: 100, VTEP: netip.MustParseAddr("192.0.2.1")}})
				w.SetLocal(portRef("c1"), 5)
				w.SetLocal(portRef("c2"), 6)
				poisonAll(w, isSick)
				w.Update(intent.SpanUpdate{Tenant: "acme", Snapshot: snap})
				return w
			}
			var out bytes.Buffer
			w, sw := start(slog.New(slog.NewTextHandler(&out, nil))), newTable()
			bring := func(w *World) {
				t.Helper()
				if err := brought(sw, w); err != nil {
					t.Fatal(err)
				}
				if mods := w.Target().diff(sw.Dump()); len(mods) > 0 {
					t.Errorf("the next comparison finds %v", mods)
				}
				if h := sw.held(); !w.HasGroups(h.Groups, h.Meters) {
					t.Error("groups or meters differ")
				}
				const count = 16
				for slice := range uint64(count) {
					flows, _ := sw.Dump()
					if !w.HasSlice(slice, count, slices.DeleteFunc(flows, func(f of.Flow) bool { return f.Cookie%count != slice })) {
						t.Errorf("slice %d differs", slice)
					}
				}
			}
			flush := func() { t.Helper(); bring(w) }
			if err := sw.compare(w); err != nil {
				t.Fatal(err)
			}
			flush()
			c1 := pipeline.MakeCookie(pipeline.KindPort, 11)
			good := sw.of(c1)
			if len(good) == 0 {
				t.Fatal("no flows")
			}

			sick = true
			snap.Ports[0], snap.Ports[1] = port("c1", 11, 21), port("c2", 12, 22)
			w.Update(intent.SpanUpdate{Tenant: "acme", Changes: []intent.Change{{Object: snap.Ports[0]}, {Object: snap.Ports[1]}}})
			flush()
			check := func(w *World) {
				t.Helper()
				if now := sw.of(c1); !slices.Equal(now, good) {
					t.Errorf("its flows are\n%s\nand were\n%s", strings.Join(now, "\n"), strings.Join(good, "\n"))
				}
				if now := strings.Join(sw.of(pipeline.MakeCookie(pipeline.KindPort, 12)), "\n"); !strings.Contains(now, "10.0.0.22") {
					t.Errorf("the other's flows are\n%s", now)
				}
				if left := w.LeftOut(); len(left) != 1 || left[0].Object != "port acme/web/c1" || !strings.Contains(left[0].Why, stage) {
					t.Errorf("left out: %+v", left)
				}
			}
			check(w)
			snap.Ports[1].Learn = 1
			w.Update(intent.SpanUpdate{Tenant: "acme", Changes: []intent.Change{{Object: snap.Ports[0]}, {Object: snap.Ports[1]}}})
			flush()
			check(w)
			if n := strings.Count(out.String(), "object left out"); n != 1 || !strings.Contains(out.String(), "stack=") {
				t.Errorf("logged %d times:\n%s", n, &out)
			}
			again := start(nil)
			if err := sw.compare(func() *World { again.Settle(); return again }()); err != nil {
				t.Fatal(err)
			}
			bring(again)
			check(again)

			sick = false
			snap.Ports[0] = port("c1", 11, 31)
			w = again
			w.Update(intent.SpanUpdate{Tenant: "acme", Changes: []intent.Change{{Object: snap.Ports[0]}}})
			flush()
			if left := w.LeftOut(); len(left) > 0 {
				t.Errorf("still left out: %+v", left)
			}
			if now := strings.Join(sw.of(c1), "\n"); !strings.Contains(now, "10.0.0.31") || strings.Contains(now, "10.0.0.11") {
				t.Errorf("its flows are\n%s", now)
			}
			sick = true
			w.Update(intent.SpanUpdate{Tenant: "acme", Changes: []intent.Change{{Object: port("c1", 11, 41)}}})
			flush()
			sick = false
			w.Update(intent.SpanUpdate{Tenant: "acme", Changes: []intent.Change{{Object: snap.Ports[0], Deleted: true}}})
			flush()
			if now := sw.of(c1); len(now) > 0 || len(w.LeftOut()) > 0 {
				t.Errorf("deleted, it has %v; left out: %v", now, w.LeftOut())
			}
		})
	}
}

// If the guard's list cannot be computed, tenants reach no external address at all.
func TestGuardFailsClosed(t *testing.T) {
	w := newWorld(self)
	w.SetSwitch(pipeline.Switch{VXLANPort: 1})
	poisonAll(w, func(stage, name string) bool { return stage == "view" && name == "guard " })
	w.SetExternals([]intent.External{{Name: "internet", ID: 5, Number: 1, Kind: intent.ExternalHost, Subnet: netip.MustParsePrefix("100.64.0.0/24"), Gateway: netip.MustParseAddr("100.64.0.1")}})
	sw := newTable()
	if err := brought(sw, w); err != nil {
		t.Fatal(err)
	}
	if err := sw.compare(w); err != nil {
		t.Fatal(err)
	}
	if flows := sw.of(pipeline.MakeCookie(pipeline.KindGuard, 0)); len(flows) != 1 {
		t.Errorf("flows: %q", flows)
	}
}

// Random failures lose no change: once they end, the switch holds what a recompute gives.
func TestWalkWithFailures(t *testing.T) {
	for seed := range *walkSeeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			walk := newWalker(seed)
			rnd := rand.New(rand.NewPCG(seed, 2))
			stages := map[string]int{}
			healed := false
			sick := func(stage, name string) bool {
				if healed || rnd.IntN(40) > 0 {
					return false
				}
				stages[stage]++
				return true
			}
			w, sw := newWorld(self), newTable()
			w.SetSwitch(pipeline.Switch{VXLANPort: 1})
			poisonAll(w, sick)
			walk.start(w)
			if err := sw.compare(w); err != nil {
				t.Fatal(err)
			}
			for range 3 * *walkSteps {
				walk.step(w)
				// An object that fails at random in one of its parts may refer to a part that
				// is missing: what matters is that the controller keeps running and that all is
				// right in the end.
				_ = brought(sw, w)
			}
			healed = true
			for name := range w.hostByName {
				w.hosts.touch(name)
			}
			w.touchOutside()
			for _, t := range w.tenants {
				w.touchAll(t)
			}
			w.Settle()
			for range 2 {
				if err := sw.compare(w); err != nil {
					t.Fatal(err)
				}
			}
			if left := w.LeftOut(); len(left) > 0 {
				t.Errorf("left out: %+v", left)
			}
			f := walk.fresh()
			fresh := newTable()
			if err := fresh.compare(f); err != nil {
				t.Fatal(err)
			}
			if diff := switchtest.Difference(switchtest.Lines(sw.Dump()), switchtest.Lines(fresh.Dump())); diff != "" {
				t.Error(diff)
			}
			if len(stages) < 4 {
				t.Errorf("failed: %v", stages)
			}
		})
	}
}
