package world

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/ovloom/ovloom/controller/internal/switchtest"
	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/pipeline"
)

// Of two objects that have the same exclusive value, the later one has no flows, in whatever
// order they arrive, and the first one is unaffected.
func TestDoublesAreLeftOut(t *testing.T) {
	addr, prefix := netip.MustParseAddr, netip.MustParsePrefix
	tenant := func(name string, base intent.ID) *intent.Snapshot {
		n, last := uint32(base), byte(base/10)
		s := &intent.Snapshot{
			Tenant: intent.Tenant{Name: name, ID: base, VRF: n},
			Networks: []intent.Network{{Tenant: name, Name: "web", ID: base + 1, VNI: 5000 + n, Unknown: intent.UnknownFlood, Learning: true,
				Subnets: []intent.Subnet{{Prefix: prefix("10.0.0.0/24"), Gateway: addr("10.0.0.1")}}}},
			Peers:     []intent.Peer{{Tenant: name, Network: "web", Name: "tor1", ID: base + 4, VTEP: netip.AddrFrom4([4]byte{192, 0, 2, 100 + last})}},
			Routes:    []intent.Route{{Tenant: name, ID: base + 5, Prefix: prefix("10.9.0.0/16"), Via: []netip.Addr{addr("10.0.0.2"), addr("10.0.0.3")}}},
			SNATs:     []intent.SNAT{{Tenant: name, External: "internet", ID: base + 6, Address: netip.AddrFrom4([4]byte{100, 64, 0, 10 + last})}},
			Floatings: []intent.Floating{{Tenant: name, Network: "web", Port: "c2", External: "campus", ID: base + 7, Address: netip.AddrFrom4([4]byte{203, 0, 113, 10 + last})}},
		}
		for i := range byte(2) {
			p := fmt.Sprintf("c%d", i+2)
			s.Ports = append(s.Ports, intent.Port{Tenant: name, Network: "web", Name: p, ID: base + 2 + intent.ID(i), UUID: uuidOf(base + 2 + intent.ID(i)),
				MAC: intent.MAC{2, 0, 0, 0, last, i}, Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, i + 2})}})
			s.Bindings = append(s.Bindings, intent.Binding{Tenant: name, Network: "web", Port: p, Host: []string{self, "host2"}[i], Generation: uint64(base)})
		}
		return s
	}
	start := func() *World {
		w := newWorld(self)
		w.SetSwitch(pipeline.Switch{VXLANPort: 1})
		w.SetHosts([]intent.Host{{Name: self, ID: 101, VTEP: addr("192.0.2.1")}, {Name: "host2", ID: 102, VTEP: addr("192.0.2.2")}})
		w.SetExternals([]intent.External{
			{Name: "internet", ID: 501, Number: 1, Kind: intent.ExternalHost, Subnet: prefix("100.64.0.0/16"), Gateway: addr("100.64.0.1")},
			{Name: "campus", ID: 502, Number: 2, Kind: intent.ExternalBridge, Bridge: "br-ex", Subnet: prefix("203.0.113.0/24"), Gateway: addr("203.0.113.1"),
				Pool: intent.AddrRange{First: addr("203.0.113.10"), Last: addr("203.0.113.40")}, MTU: 1500}})
		w.SetUplinks(map[string]Uplink{"campus": {OFPort: 30}, "internet": {OFPort: 20, MAC: intent.MAC{2, 0, 0, 0, 9, 9}}})
		for i, name := range []string{"acme", "evil"} {
			w.SetLocal(intent.PortRef{Tenant: name, Network: "web", Port: "c2"}, of.PortNo(5+i))
		}
		return w
	}
	setZones := func(w *World) { // the same for each tenant in all worlds
		zones := map[string]uint16{}
		for name := range w.ZoneNames() {
			zones[name] = 16384
			if strings.Contains(name, "evil") {
				zones[name]++
			}
		}
		w.SetZones(zones)
	}
	tell := func(w *World, s *intent.Snapshot) {
		w.Update(intent.SpanUpdate{Tenant: s.Tenant.Name, Snapshot: s})
		setZones(w)
	}
	acme := tenant("acme", 10)
	for _, c := range []struct {
		name   string
		change func(s *intent.Snapshot) []intent.Object // returns what it changed
		left   string
	}{
		{"a VNI", func(s *intent.Snapshot) []intent.Object {
			s.Networks[0].VNI = 5010
			return []intent.Object{s.Networks[0]}
		}, "network evil/web: it has VNI 5010, which is that of network acme/web"},
		{"a network's id", func(s *intent.Snapshot) []intent.Object { s.Networks[0].ID = 11; return []intent.Object{s.Networks[0]} }, "network evil/web: it has id 11, which is that of network acme/web"},
		{"a VRF", func(s *intent.Snapshot) []intent.Object { s.Tenant.VRF = 10; return []intent.Object{s.Tenant} }, "tenant evil: it has VRF 10, which is that of tenant acme"},
		{"a tenant's id", func(s *intent.Snapshot) []intent.Object { s.Tenant.ID = 10; return []intent.Object{s.Tenant} }, "tenant evil: it has id 10, which is that of tenant acme"},
		{"a port's id", func(s *intent.Snapshot) []intent.Object { s.Ports[0].ID = 12; return []intent.Object{s.Ports[0]} }, "port evil/web/c2: it has id 12, which is that of port acme/web/c2"},
		{"a peer's id", func(s *intent.Snapshot) []intent.Object { s.Peers[0].ID = 14; return []intent.Object{s.Peers[0]} }, "peer evil/web/tor1: it has id 14, which is that of peer acme/web/tor1"},
		{"a route's id", func(s *intent.Snapshot) []intent.Object { s.Routes[0].ID = 15; return []intent.Object{s.Routes[0]} }, "route evil 10.9.0.0/16: it has id 15, which is that of route acme 10.9.0.0/16"},
		{"a MAC", func(s *intent.Snapshot) []intent.Object {
			s.Ports[1].MAC = s.Ports[0].MAC
			return []intent.Object{s.Ports[1]}
		}, "port evil/web/c3: it has MAC 02:00:00:00:02:00, which is that of port c2"},
		{"an address", func(s *intent.Snapshot) []intent.Object {
			s.Ports[1].Addrs = s.Ports[0].Addrs
			return []intent.Object{s.Ports[1]}
		}, "port evil/web/c3: it has address 10.0.0.2, which is that of port c2"},
		{"a floating address", func(s *intent.Snapshot) []intent.Object {
			s.Floatings[0].Address = addr("203.0.113.11")
			return []intent.Object{s.Floatings[0]}
		}, "address 203.0.113.11 of tenant evil on campus: tenant acme has it, too"},
		{"an address of SNAT", func(s *intent.Snapshot) []intent.Object {
			s.SNATs[0].Address = addr("100.64.0.11")
			return []intent.Object{s.SNATs[0]}
		},
			"address 100.64.0.11 of tenant evil on internet: tenant acme has it, too"},
	} {
		t.Run(c.name, func(t *testing.T) {
			whole, evil := tenant("evil", 20), tenant("evil", 20)
			changes := c.change(evil)
			w := start()
			tell(w, acme)
			alone := newTable() // acme alone
			if err := alone.compare(settled(w)); err != nil {
				t.Fatal(err)
			}
			both := start()
			tell(both, acme)
			tell(both, whole)
			good := newTable()
			if err := good.compare(settled(both)); err != nil {
				t.Fatal(err)
			}
			if left := both.LeftOut(); len(left) > 0 {
				t.Fatalf("left out: %+v", left)
			}

			check := func(when string, w *World, sw *table) {
				t.Helper()
				left := w.LeftOut()
				if len(left) != 1 || left[0].Object+": "+left[0].Why != c.left {
					t.Errorf("%s, left out: %+v", when, left)
				}
				if clashes := w.Clashes(w.Target()); len(clashes) > 0 {
					t.Errorf("%s: %q", when, clashes)
				}
				// The first tenant's flows are the same as without the other, except for those
				// that depend on whether there are other tenants.
				for key, f := range alone.Flows {
					if c := pipeline.Cookie(f.Cookie); c.Kind() == pipeline.KindNetwork || c.Kind() == pipeline.KindPort || c.Kind() == pipeline.KindRoute {
						if now, ok := sw.Flows[key]; !ok || now.String() != f.String() {
							t.Errorf("%s: the first tenant's flow is %s, and was %s", when, now, f)
						}
					}
				}
				for id, g := range alone.Groups {
					if now := sw.Groups[id]; now.String() != g.String() {
						t.Errorf("%s: the first tenant's group is %s, and was %s", when, now, g)
					}
				}
				if len(w.Target().diff(sw.Dump())) > 0 {
					t.Errorf("%s: the next comparison finds something", when)
				}
			}
			// In either order, at once and by changes.
			for i, order := range [][]*intent.Snapshot{{acme, evil}, {evil, acme}} {
				w, sw := start(), newTable()
				for _, s := range order {
					tell(w, s)
					if err := sw.compare(settled(w)); err != nil {
						t.Fatal(err)
					}
				}
				check(fmt.Sprint("order ", i), w, sw)
			}
			w, sw := start(), newTable()
			tell(w, acme)
			tell(w, whole)
			if err := sw.compare(settled(w)); err != nil {
				t.Fatal(err)
			}
			var list []intent.Change
			for _, o := range changes {
				list = append(list, intent.Change{Object: o})
			}
			w.Update(intent.SpanUpdate{Tenant: "evil", Changes: list})
			setZones(w)
			if err := sw.Apply(flushed(w)); err != nil {
				t.Fatal(err)
			}
			check("changed", w, sw)

			// After the correction, all is as before.
			tell(w, whole)
			if err := sw.Apply(flushed(w)); err != nil {
				t.Fatal(err)
			}
			if diff := switchtest.Difference(switchtest.Lines(sw.Dump()), switchtest.Lines(good.Dump())); diff != "" || len(w.LeftOut()) > 0 {
				t.Errorf("after the correction, left out %v:\n%s", w.LeftOut(), diff)
			}
			// If the first one goes, the second one gets its flows.
			w.Update(intent.SpanUpdate{Tenant: "evil", Changes: list})
			w.Update(intent.SpanUpdate{Tenant: "acme", Gone: true})
			setZones(w)
			if err := sw.Apply(flushed(w)); err != nil {
				t.Fatal(err)
			}
			if left := w.LeftOut(); len(left) > 0 && !strings.Contains(c.left, "port c2") {
				t.Errorf("alone, left out: %v", left)
			}
			f := start()
			tell(f, evil)
			fresh := newTable()
			if err := fresh.compare(settled(f)); err != nil {
				t.Fatal(err)
			}
			if diff := switchtest.Difference(switchtest.Lines(sw.Dump()), switchtest.Lines(fresh.Dump())); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func settled(w *World) *World { w.Settle(); return w }

func TestDoubleExternals(t *testing.T) {
	single, left := singleExternals([]intent.External{{Name: "b", ID: 2, Number: 1}, {Name: "a", ID: 1, Number: 1}, {Name: "c", ID: 3, Number: 2}, {Name: "d", ID: 3, Number: 3}})
	if len(single) != 2 || single[0].Name != "a" || single[1].Name != "c" || len(left) != 2 || left["b"] == "" || left["d"] == "" {
		t.Errorf("%v, left out %v", single, left)
	}
}
