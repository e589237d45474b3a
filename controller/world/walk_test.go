package world

import (
	"flag"
	"fmt"
	"maps"
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

// The length of the walks. After a change to what is compiled, or how, walk further:
// go test ./controller/world -walk-seeds 50 -walk-steps 300
var (
	walkSeeds = flag.Uint64("walk-seeds", 5, "random walks of each test")
	walkSteps = flag.Int("walk-steps", 100, "steps of each walk that checks after every one")
)

// newWorld returns a world of a host whose router is not used.
func newWorld(self string) *World { return New(self, nil, router.NewTable()) }

// table is a switch as tables only.
type table struct{ *switchtest.Table }

func newTable() *table { return &table{switchtest.New()} }

func uuidOf(id intent.ID) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", id) }

func portRef(name string) intent.PortRef {
	return intent.PortRef{Tenant: "acme", Network: "web", Port: name}
}

// flushed is Flush of a world without failures.
func flushed(w *World) []of.Mod {
	mods, sure := w.Flush()
	if !sure {
		panic(fmt.Sprint(w.LeftOut()))
	}
	return mods
}

// metersOf returns the wanted meters of a switch.
func metersOf(w *World) map[uint32]of.Meter {
	all := map[uint32]of.Meter{}
	for _, m := range w.meters() {
		all[m.ID] = m
	}
	return all
}

// held returns what the switch holds.
func (s *table) held() Held {
	flows, groups := s.Dump()
	return Held{flows, groups, slices.Collect(maps.Values(s.Meters))}
}

// compare brings the switch to the wanted state, as after a full comparison.
func (s *table) compare(w *World) error { return s.Apply(w.Target().Mods(s.held())) }

// diff returns the differences that a comparison finds, except for meters.
func diff(w *World, s *table) []of.Mod { return w.Target().diff(s.Dump()) }

// walker changes intent at random, with few names, so that objects are deleted, return, change
// hands and clash.
type walker struct {
	*rand.Rand
	nextID intent.ID

	tenants   map[string]*intent.Snapshot
	hosts     []intent.Host
	local     map[intent.PortRef]of.PortNo
	penalties map[of.PortNo]bool

	outside outsideFacts
}

const self = "host1"

func newWalker(seed uint64) *walker {
	w := &walker{
		Rand: rand.New(rand.NewPCG(seed, 1)), nextID: 1,
		tenants: map[string]*intent.Snapshot{}, local: map[intent.PortRef]of.PortNo{},
	}
	for i, name := range []string{"acme", "umbrella"} {
		w.tenants[name] = &intent.Snapshot{Tenant: intent.Tenant{Name: name, ID: w.id(), VRF: uint32(i + 1)}}
	}
	return w
}

func (w *walker) id() intent.ID { w.nextID++; return w.nextID }

func (w *walker) host() intent.Host {
	n := w.IntN(4) + 1
	return intent.Host{Name: fmt.Sprintf("host%d", n), ID: intent.ID(1000 + n),
		VTEP: netip.AddrFrom4([4]byte{192, 0, 2, byte(n + 10*w.IntN(2))}), UnderlayMTU: 1500 + 100*w.IntN(2)}
}

// start delivers the tenants, which exist from the beginning.
func (w *walker) start(world *World) {
	for name, s := range w.tenants {
		world.Update(intent.SpanUpdate{Tenant: name, Snapshot: s})
	}
}

// step makes one change and delivers it to the world, now and then as a whole snapshot, as a
// watch that lost its place does.
func (w *walker) step(world *World) {
	tenant := []string{"acme", "umbrella"}[w.IntN(2)]
	s := w.tenants[tenant]
	var changes []intent.Change
	switch w.IntN(18) {
	case 0: // a host appears, disappears or moves
		h := w.host()
		w.hosts = slices.DeleteFunc(w.hosts, func(x intent.Host) bool { return x.Name == h.Name })
		if w.IntN(3) > 0 {
			w.hosts = append(w.hosts, h)
		}
		world.SetHosts(w.hosts)
		return
	case 1, 2: // an interface appears, disappears or takes another's OpenFlow port
		ref := w.ref(tenant)
		p := of.PortNo(0)
		if w.IntN(3) > 0 {
			p = of.PortNo(w.IntN(4) + 2)
			for other, n := range w.local {
				if n == p && other != ref {
					delete(w.local, other)
					world.SetLocal(other, 0)
				}
			}
		}
		if p == 0 {
			delete(w.local, ref)
		} else {
			w.local[ref] = p
		}
		world.SetLocal(ref, p)
		w.penalties = map[of.PortNo]bool{of.PortNo(w.IntN(6)): true}
		world.SetPenalties(w.penalties)
		return
	case 3, 4:
		changes = w.network(s)
	case 5, 6, 7:
		changes = w.port(s)
	case 10:
		changes = w.peer(s)
	case 11, 12:
		changes = w.route(s)
	case 13: // a change outside of tenants
		w.change(world)
		return
	case 14, 15, 16, 17:
		changes = w.nat(s)
	default:
		changes = w.claim(s)
	}
	if w.IntN(20) == 0 {
		snapshot := intent.Snapshot{Tenant: s.Tenant, Networks: slices.Clone(s.Networks), Ports: slices.Clone(s.Ports), Bindings: slices.Clone(s.Bindings), Peers: slices.Clone(s.Peers), Routes: slices.Clone(s.Routes),
			SNATs: slices.Clone(s.SNATs), Floatings: slices.Clone(s.Floatings), Forwards: slices.Clone(s.Forwards), NATAddresses: slices.Clone(s.NATAddresses)}
		world.Update(intent.SpanUpdate{Tenant: tenant, Snapshot: &snapshot})
		return
	}
	world.Update(intent.SpanUpdate{Tenant: tenant, Changes: changes})
}

func (w *walker) ref(tenant string) intent.PortRef {
	return intent.PortRef{Tenant: tenant, Network: []string{"web", "db"}[w.IntN(2)], Port: fmt.Sprintf("c%d", w.IntN(4))}
}

func (w *walker) network(s *intent.Snapshot) []intent.Change {
	ref := w.ref(s.Tenant.Name).NetworkRef()
	var n intent.Network
	n.Tenant, n.Name, n.ID = ref.Tenant, ref.Network, w.id()
	i := slices.IndexFunc(s.Networks, func(x intent.Network) bool { return x.Ref() == ref })
	if i >= 0 {
		if w.IntN(3) > 0 {
			n.ID = s.Networks[i].ID // changed, not created again
		}
		s.Networks = slices.Delete(s.Networks, i, i+1)
	}
	if i >= 0 && w.IntN(3) == 0 {
		return []intent.Change{{Deleted: true, Object: n}}
	}
	n.VNI = uint32(n.ID) // as in the store: one VNI per network
	n.Unknown = []intent.Unknown{intent.UnknownDrop, intent.UnknownFlood}[w.IntN(2)]
	n.Learning = w.IntN(2) == 0
	n.MTU = []int{0, 1300}[w.IntN(2)]
	n.EtherTypes = [][]intent.EtherType{nil, {0x88b5}, {0x8863, 0x8864}}[w.IntN(3)]
	n.VLANTransparent = w.IntN(4) == 0
	for _, p := range []string{"10.0.0.0/24", "10.1.0.0/24", "fd00::/64", "fd01::/64"} {
		prefix := netip.MustParsePrefix(p)
		// The store gives each prefix to one network of a tenant at a time.
		taken := slices.ContainsFunc(s.Networks, func(x intent.Network) bool {
			return slices.ContainsFunc(x.Subnets, func(y intent.Subnet) bool { return y.Prefix == prefix })
		})
		if !taken && w.IntN(2) > 0 {
			n.Subnets = append(n.Subnets, intent.Subnet{Prefix: prefix, Gateway: intent.DefaultGateway(prefix)})
		}
	}
	s.Networks = append(s.Networks, n)
	return []intent.Change{{Object: n}}
}

func (w *walker) port(s *intent.Snapshot) []intent.Change {
	ref := w.ref(s.Tenant.Name)
	var changes []intent.Change
	gone := func(match func(intent.Port) bool) {
		for i := 0; i < len(s.Ports); i++ {
			if match(s.Ports[i]) {
				changes = append(changes, intent.Change{Deleted: true, Object: s.Ports[i]})
				s.Ports = slices.Delete(s.Ports, i, i+1)
				i--
			}
		}
	}
	if w.IntN(3) == 0 {
		gone(func(p intent.Port) bool { return p.Ref() == ref })
		return changes
	}
	p := intent.Port{Tenant: ref.Tenant, Network: ref.Network, Name: ref.Port, ID: w.id(), Learn: w.IntN(3)}
	n := byte(2 + w.IntN(5)) // 1 is the gateway
	p.MAC = intent.MAC{2, 0, 0, 0, 0, n}
	for _, a := range w.addrs(n) {
		if w.IntN(4) > 0 {
			p.Addrs = append(p.Addrs, a)
		}
	}
	// The store gives each MAC to one port of a network at a time.
	gone(func(x intent.Port) bool {
		return x.Network == p.Network && (x.MAC == p.MAC || x.Name == p.Name)
	})
	s.Ports = append(s.Ports, p)
	return append(changes, intent.Change{Object: p})
}

// addrs returns one address of each family, with n as the last byte.
func (w *walker) addrs(n byte) []netip.Addr {
	net := byte(w.IntN(2))
	return []netip.Addr{netip.AddrFrom4([4]byte{10, net, 0, n}), netip.AddrFrom16([16]byte{0: 0xfd, 1: net, 15: n})}
}

func (w *walker) route(s *intent.Snapshot) []intent.Change {
	r := intent.Route{Tenant: s.Tenant.Name, ID: w.id(),
		Prefix: netip.MustParsePrefix([]string{"10.9.0.0/16", "10.9.1.0/24", "0.0.0.0/0", "fd09::/48"}[w.IntN(4)])}
	s.Routes = slices.DeleteFunc(s.Routes, func(x intent.Route) bool {
		if x.Prefix == r.Prefix && w.IntN(2) == 0 {
			r.ID = x.ID // changed, not created again
		}
		return x.Prefix == r.Prefix
	})
	if w.IntN(3) == 0 {
		return []intent.Change{{Deleted: true, Object: r}}
	}
	for range 1 + w.IntN(3) {
		a := w.addrs(byte(2 + w.IntN(5)))[0]
		if r.Prefix.Addr().Is6() {
			a = w.addrs(byte(2 + w.IntN(5)))[1]
		}
		r.Via = append(r.Via, a)
	}
	slices.SortFunc(r.Via, netip.Addr.Compare)
	r.Via = slices.Compact(r.Via)
	s.Routes = append(s.Routes, r)
	return []intent.Change{{Object: r}}
}

func (w *walker) peer(s *intent.Snapshot) []intent.Change {
	p := intent.Peer{Tenant: s.Tenant.Name, Network: w.ref(s.Tenant.Name).Network, Name: fmt.Sprintf("tor%d", w.IntN(3)), ID: w.id(),
		VTEP: netip.AddrFrom4([4]byte{192, 0, 2, byte(100 + w.IntN(3))})}
	gone := w.IntN(3) == 0
	var changes []intent.Change
	// The store gives each VTEP to one peer of a network at a time.
	s.Peers = slices.DeleteFunc(s.Peers, func(x intent.Peer) bool {
		if x.Ref() == p.Ref() || !gone && x.Network == p.Network && x.VTEP == p.VTEP {
			changes = append(changes, intent.Change{Deleted: true, Object: x})
			return true
		}
		return false
	})
	if !gone {
		s.Peers = append(s.Peers, p)
		changes = append(changes, intent.Change{Object: p})
	}
	return changes
}

func (w *walker) claim(s *intent.Snapshot) []intent.Change {
	ref := w.ref(s.Tenant.Name)
	b := intent.Binding{Tenant: ref.Tenant, Network: ref.Network, Port: ref.Port,
		Host: fmt.Sprintf("host%d", w.IntN(4)+1), Generation: uint64(w.id())}
	s.Bindings = slices.DeleteFunc(s.Bindings, func(x intent.Binding) bool { return x.PortRef() == ref && x.Host == b.Host })
	if w.IntN(3) == 0 {
		return []intent.Change{{Deleted: true, Object: b}}
	}
	s.Bindings = append(s.Bindings, b)
	return []intent.Change{{Object: b}}
}

// fresh returns a world that gets everything at once.
func (w *walker) fresh() *World {
	f := newWorld(self)
	f.SetSwitch(pipeline.Switch{VXLANPort: 1})
	f.SetHosts(w.hosts)
	w.outside.tell(f)
	for name, s := range w.tenants {
		f.Update(intent.SpanUpdate{Tenant: name, Snapshot: s})
	}
	for ref, p := range w.local {
		f.SetLocal(ref, p)
	}
	f.SetPenalties(w.penalties)
	f.Flush()
	return f
}

// Whatever changes lead to a state, the switch then holds what a recompute gives.
func TestIncrementalEqualsRecompute(t *testing.T) {
	for seed := range *walkSeeds {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			walk := newWalker(seed)
			w := newWorld(self)
			w.SetSwitch(pipeline.Switch{VXLANPort: 1})
			walk.start(w)
			w.Flush()
			sw := newTable()
			if err := sw.compare(w); err != nil {
				t.Fatal(err)
			}
			for step := range *walkSteps {
				for range 1 + walk.IntN(3) {
					walk.step(w)
				}
				if err := sw.Apply(flushed(w)); err != nil {
					t.Fatalf("step %d: %v", step, err)
				}
				have, want := switchtest.Lines(sw.Dump()), switchtest.Lines(walk.fresh().wanted())
				if want := metersOf(walk.fresh()); !maps.Equal(sw.Meters, want) {
					t.Fatalf("step %d: the switch has meters %v, a recompute gives %v", step, sw.Meters, want)
				}
				if d := switchtest.Difference(have, want); d != "" {
					t.Fatalf("step %d: the switch is not what a recompute gives:\n%s", step, d)
				}
				base := 0
				pipeline.Base(w.sw, func(of.Flow, string) { base++ })
				if n := base + w.flowCount + w.groupCount; n != len(want) {
					t.Fatalf("step %d: counted %d flows and groups, want %d", step, n, len(want))
				}
				checkSenders(t, w)
				if mods := diff(w.Recomputed(), sw); len(mods) != 0 {
					t.Fatalf("step %d: a recompute by the same world sends %s and %d more", step, mods[0], len(mods)-1)
				}
				if clashes := w.Clashes(w.Target()); len(clashes) != 0 {
					t.Fatalf("step %d: %s", step, strings.Join(clashes, "\n"))
				}
				if mods := diff(w, sw); len(mods) != 0 {
					t.Fatalf("step %d: a resync of a right switch sends %s and %d more", step, mods[0], len(mods)-1)
				}
			}
		})
	}
}

// One comparison brings a switch in any state to the wanted state.
func TestResyncFromAnotherState(t *testing.T) {
	for seed := range *walkSeeds {
		walk := newWalker(seed)
		w := newWorld(self)
		w.SetSwitch(pipeline.Switch{VXLANPort: 1})
		walk.start(w)
		old := newTable()
		for range 100 {
			walk.step(w)
		}
		w.Flush()
		if err := old.compare(w); err != nil {
			t.Fatal(err)
		}
		old.Flows[of.FlowKey{Table: 99}] = of.Flow{Table: 99} // another program's
		for range 100 {
			walk.step(w)
		}
		w.Flush()
		if err := old.compare(w); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if d := switchtest.Difference(switchtest.Lines(old.Dump()), switchtest.Lines(w.wanted())); d != "" {
			t.Fatalf("seed %d:\n%s", seed, d)
		}
	}
}

func TestResyncLeavesLearnedFlowsOfLivingObjects(t *testing.T) {
	w := newWorld(self)
	w.SetSwitch(pipeline.Switch{VXLANPort: 1})
	n := intent.Network{Tenant: "acme", Name: "lab", ID: 7, VNI: 7, Learning: true}
	w.Update(intent.SpanUpdate{Tenant: "acme", Snapshot: &intent.Snapshot{Tenant: intent.Tenant{Name: "acme"}, Networks: []intent.Network{n}}})
	w.Flush()
	sw := newTable()
	if err := sw.compare(w); err != nil {
		t.Fatal(err)
	}
	learned := func(id intent.ID) *of.Flow {
		return &of.Flow{Table: pipeline.LearnedTables()[0], Priority: 10, Cookie: uint64(pipeline.MakeCookie(pipeline.KindLearnedNetwork, id)),
			Match: of.MatchOf(of.EthDst([6]byte{2, byte(id)}))}
	}
	for _, f := range []*of.Flow{learned(7), learned(8)} {
		sw.Flows[f.Key()] = *f
	}
	mods := diff(w, sw)
	if err := sw.Apply(mods); err != nil {
		t.Fatal(err)
	}
	_, kept := sw.Flows[learned(7).Key()]
	_, left := sw.Flows[learned(8).Key()]
	if !kept || left || len(mods) != 1 {
		t.Errorf("learned for a network that exists: kept %v; for one that does not: left %v; %d messages", kept, left, len(mods))
	}

	// When the network stops learning, what it learned goes.
	n.Learning = false
	w.Update(intent.SpanUpdate{Tenant: "acme", Changes: []intent.Change{{Object: n}}})
	if err := sw.Apply(flushed(w)); err != nil {
		t.Fatal(err)
	}
	if _, left := sw.Flows[learned(7).Key()]; left {
		t.Error("the network learns no more, but a learned flow is left")
	}
}

func TestMetersOfASwitchArePutRight(t *testing.T) {
	netdev := pipeline.Switch{VXLANPort: 1}
	wanted := pipeline.Meters(netdev)
	others := slices.Clone(wanted)
	others[0].Rate++
	for _, c := range []struct {
		name string
		have []of.Meter
		want of.MeterCommand
		mods int
	}{
		{"none, as after a crash", nil, of.MeterAdd, len(wanted)},
		{"right, beside another program's", append([]of.Meter{{ID: 99}}, wanted...), 0, 0},
		{"another rate", others, of.MeterModify, 1},
	} {
		mods := Target{meters: wanted}.meterMods(c.have)
		if len(mods) != c.mods {
			t.Errorf("%s: %d changes, want %d", c.name, len(mods), c.mods)
			continue
		}
		for i, m := range mods {
			if got := m.(*of.MeterMod); got.Command != c.want || got.Meter != wanted[i] {
				t.Errorf("%s: %+v", c.name, got)
			}
		}
	}
}
