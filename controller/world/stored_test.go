package world

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/openflow/ofp"
	"github.com/ovloom/ovloom/pipeline"
)

// storedObjects are valid objects of each kind that refer to each other.
func storedObjects() []intent.Object {
	addr, prefix := netip.MustParseAddr, netip.MustParsePrefix
	return []intent.Object{
		intent.Tenant{Name: "acme", ID: 1, VRF: 1},
		intent.Network{Tenant: "acme", Name: "web", ID: 2, VNI: 5001, Unknown: intent.UnknownFlood, Learning: true, MTU: 1400,
			Subnets: []intent.Subnet{{Prefix: prefix("10.0.0.0/24"), Gateway: addr("10.0.0.1")}, {Prefix: prefix("fd00::/64"), Gateway: addr("fd00::1")}}},
		intent.Network{Tenant: "acme", Name: "db", ID: 3, VNI: 5002, Unknown: intent.UnknownDrop,
			Subnets: []intent.Subnet{{Prefix: prefix("10.0.1.0/24"), Gateway: addr("10.0.1.1")}}},
		intent.Port{Tenant: "acme", Network: "web", Name: "c1", ID: 11, UUID: uuidOf(11), MAC: intent.MAC{2, 0, 0, 0, 0, 11}, Addrs: []netip.Addr{addr("10.0.0.11"), addr("fd00::11")}, Learn: 2},
		intent.Port{Tenant: "acme", Network: "db", Name: "d1", ID: 12, UUID: uuidOf(12), MAC: intent.MAC{2, 0, 0, 0, 0, 12}, Addrs: []netip.Addr{addr("10.0.1.12")}},
		intent.Binding{Tenant: "acme", Network: "web", Port: "c1", Host: self, Generation: 1},
		intent.Binding{Tenant: "acme", Network: "db", Port: "d1", Host: "host2", Generation: 2},
		intent.Peer{Tenant: "acme", Network: "web", Name: "tor1", ID: 13, VTEP: addr("192.0.2.99")},
		intent.Route{Tenant: "acme", ID: 14, Prefix: prefix("10.9.0.0/16"), Via: []netip.Addr{addr("10.0.0.11"), addr("10.0.1.12")}},
		intent.Route{Tenant: "acme", ID: 15, Prefix: prefix("::/0"), Via: []netip.Addr{addr("fd00::11")}},
		intent.SNAT{Tenant: "acme", External: "campus", ID: 16},
		intent.Floating{Tenant: "acme", Network: "web", Port: "c1", External: "campus", ID: 17, Address: addr("203.0.113.11")},
		intent.Forward{Tenant: "acme", External: "internet", ID: 18, Protocol: intent.TCP, Port: 80, To: portRef("c1"), ToPort: 8080, Address: addr("100.64.0.5")},
		intent.NATAddress{Tenant: "acme", External: "campus", Host: self, Address: addr("203.0.113.12")},
		intent.External{Name: "campus", ID: 19, Number: 3, Kind: intent.ExternalBridge, Bridge: "br-ex", Subnet: prefix("203.0.113.0/24"), Gateway: addr("203.0.113.1"),
			Pool: intent.AddrRange{First: addr("203.0.113.10"), Last: addr("203.0.113.40")}, MTU: 1500, VLAN: 7},
		intent.External{Name: "internet", ID: 20, Number: 4, Kind: intent.ExternalHost, Subnet: prefix("100.64.0.0/16"), Gateway: addr("100.64.0.1")},
		intent.Host{Name: self, ID: 101, VTEP: addr("192.0.2.1"), UnderlayMTU: 1600},
		intent.Host{Name: "host2", ID: 102, VTEP: addr("192.0.2.2"), UnderlayMTU: 1600},
	}
}

// storedWorld is a world that takes objects as the store's watches deliver them, and a switch
// that it brings to the wanted state.
type storedWorld struct {
	*World
	sw        *table
	hosts     map[string]intent.Host
	externals map[string]intent.External
}

func newStoredWorld() *storedWorld {
	s := &storedWorld{newWorld(self), newTable(), map[string]intent.Host{}, map[string]intent.External{}}
	s.SetSwitch(pipeline.Switch{VXLANPort: 1})
	s.SetLocal(portRef("c1"), 5)
	s.SetLocal(intent.PortRef{Tenant: "acme", Network: "db", Port: "d1"}, 6)
	s.SetUplinks(map[string]Uplink{"campus": {OFPort: 30}, "internet": {OFPort: 20, MAC: intent.MAC{2, 0, 0, 0, 9, 9}}})
	return s
}

// tell delivers an object, if the store's reader would accept it.
func (s *storedWorld) tell(o intent.Object) {
	if intent.Stored(o) != nil {
		return
	}
	switch o := o.(type) {
	case intent.Host:
		s.hosts[o.Name] = o
		s.SetHosts(slices.Collect(maps.Values(s.hosts)))
	case intent.External:
		s.externals[o.Name] = o
		s.SetExternals(slices.Collect(maps.Values(s.externals)))
	case intent.Guarded:
		s.SetGuarded(intent.GuardUpdate{Guarded: []intent.Guarded{o}})
	default:
		s.Update(intent.SpanUpdate{Tenant: "acme", Changes: []intent.Change{{Object: o}}})
	}
	s.SetZones(PlanZones(s.zones, s.ZoneNames()).Next)
}

// bring brings the switch to the wanted state, and returns what is wrong with it.
func (s *storedWorld) bring() error {
	mods, sure := s.Flush()
	if !sure {
		return fmt.Errorf("left out: %+v", s.LeftOut())
	}
	for _, m := range mods {
		if _, err := ofp.AppendMod(nil, 1, m); err != nil {
			return fmt.Errorf("%s: %w", m, err)
		}
	}
	if left := s.faults.list(); len(left) > 0 {
		return fmt.Errorf("left out: %+v", left)
	}
	return s.sw.Apply(mods)
}

func (s *storedWorld) all(t testing.TB) {
	for _, o := range storedObjects() {
		s.tell(o)
	}
	if err := s.bring(); err != nil {
		t.Fatal(err)
	}
}

// spoil changes a field of an object, or a part of a field, at random.
func spoil(rnd *rand.Rand, o intent.Object) intent.Object {
	b, err := json.Marshal(o)
	if err != nil {
		panic(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(b, &fields); err != nil {
		panic(err)
	}
	odd := func() []any { // new values each time: a value must not contain itself
		return []any{nil, "", 0, -1, 1, 255, 4095, 4096, 65535, 1 << 24, 1<<24 - 1, 1<<48 - 1, "255.255.255.255", "10.0.0.1", "10.0.1.12", "203.0.113.1", "::", "fd00::1", "::ffff:10.0.0.1", "fe80::1",
			"0.0.0.0/0", "::/0", "10.0.0.0/24", "10.0.0.0/32", "fd00::1/128", []any{}, []any{nil}, []any{"10.0.0.1"}, []any{"fd00::1", "10.0.0.12"}, []any{0, 65535}, map[string]any{}, true, "drop", "tcp", "udp", "sctp", "host2",
			"02:00:00:00:00:01", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00"}
	}
	var change func(v any) any
	change = func(v any) any {
		switch v := v.(type) {
		case map[string]any:
			if len(v) > 0 && rnd.IntN(4) > 0 {
				name := slices.Sorted(maps.Keys(v))[rnd.IntN(len(v))]
				v[name] = change(v[name])
				return v
			}
		case []any:
			if len(v) > 0 && rnd.IntN(4) > 0 {
				i := rnd.IntN(len(v))
				v[i] = change(v[i])
				return v
			}
		}
		list := odd()
		return list[rnd.IntN(len(list))]
	}
	// Without these it is another object, or none.
	keep := map[string]any{}
	for _, name := range []string{"name", "tenant"} {
		if v, ok := fields[name]; ok {
			keep[name] = v
		}
	}
	for range 1 + rnd.IntN(2) {
		names := slices.Sorted(maps.Keys(fields))
		name := names[rnd.IntN(len(names))]
		fields[name] = change(fields[name])
	}
	maps.Copy(fields, keep)
	if b, err = json.Marshal(fields); err != nil {
		panic(err)
	}
	p := reflect.New(reflect.TypeOf(o))
	if json.Unmarshal(b, p.Interface()) != nil {
		return o
	}
	return p.Elem().Interface().(intent.Object)
}

// Every value that the store's reader accepts can be compiled and sent.
func TestRandomStoredValues(t *testing.T) {
	for seed := range *walkSeeds {
		rnd := rand.New(rand.NewPCG(seed, 3))
		s, objects := newStoredWorld(), storedObjects()
		s.all(t)
		changed := 0
		for range 10 * *walkSteps {
			o := spoil(rnd, objects[rnd.IntN(len(objects))])
			if intent.Stored(o) == nil {
				changed++
			}
			s.tell(o)
			if err := s.bring(); err != nil {
				t.Fatalf("seed %d: after %T %+v: %v", seed, o, o, err)
			}
		}
		s.all(t)
		if changed < *walkSteps {
			t.Errorf("%d values passed", changed)
		}
	}
}

func FuzzStoredToFlows(f *testing.F) {
	objects := storedObjects()
	for i, o := range objects {
		b, err := json.Marshal(o)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(i), string(b))
	}
	f.Add(uint8(3), strings.Repeat("[", 100))
	f.Fuzz(func(t *testing.T, kind uint8, value string) {
		p := reflect.New(reflect.TypeOf(objects[int(kind)%len(objects)]))
		if json.Unmarshal([]byte(value), p.Interface()) != nil {
			return
		}
		o := p.Elem().Interface().(intent.Object)
		if intent.Stored(o) != nil {
			return
		}
		s := newStoredWorld()
		s.all(t)
		s.tell(o)
		if err := s.bring(); err != nil {
			t.Fatalf("%T %+v: %v", o, o, err)
		}
		for _, whole := range storedObjects() {
			s.tell(whole)
		}
		if err := s.bring(); err != nil {
			t.Fatalf("back: %v", err)
		}
	})
}
