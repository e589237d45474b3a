package world

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/pipeline"
)

// The walker's changes of externals and NAT.

// outsideFacts are what a world knows of externals, apart from tenants' NAT.
type outsideFacts struct {
	externals    []intent.External
	uplinks      map[string]Uplink
	surroundings Surroundings
	zones        map[string]uint16
}

func (o outsideFacts) tell(w *World) {
	w.SetExternals(o.externals)
	w.SetUplinks(maps.Clone(o.uplinks))
	w.SetSurroundings(o.surroundings)
	w.SetZones(maps.Clone(o.zones))
}

// external returns one of three externals: two through the host, one through a bridge.
func (w *walker) external(n int) intent.External {
	if n == 2 {
		return intent.External{Name: "campus", ID: 502, Number: 3, Kind: intent.ExternalBridge, Bridge: "br-ex",
			Subnet: netip.MustParsePrefix("203.0.113.0/24"), Gateway: netip.MustParseAddr("203.0.113.1"),
			Pool:  intent.AddrRange{First: netip.MustParseAddr("203.0.113.10"), Last: netip.MustParseAddr(fmt.Sprintf("203.0.113.%d", 40+w.IntN(2)))},
			MTU:   []int{1200, 9000}[w.IntN(2)],
			VLAN:  []uint16{0, 107}[w.IntN(2)],
			Allow: [][]netip.Prefix{nil, {netip.MustParsePrefix("192.0.2.53/32")}}[w.IntN(2)]}
	}
	return intent.External{Name: fmt.Sprintf("internet%d", n), ID: intent.ID(500 + n), Number: uint8(n + 1), Kind: intent.ExternalHost,
		Subnet: netip.MustParsePrefix(fmt.Sprintf("100.%d.0.0/16", 64+n))}.WithDefaults()
}

// change changes an external, an uplink, the guard's hosts, or zones.
func (w *walker) change(world *World) {
	o := &w.outside
	switch w.IntN(4) {
	case 0:
		e := w.external(w.IntN(3))
		o.externals = slices.DeleteFunc(slices.Clone(o.externals), func(x intent.External) bool { return x.Name == e.Name })
		if w.IntN(4) > 0 {
			o.externals = append(o.externals, e)
		}
	case 1:
		o.uplinks = map[string]Uplink{}
		if w.IntN(4) > 0 {
			host := Uplink{OFPort: of.PortNo(20 + w.IntN(2)), MAC: intent.MAC{2, 0, 0, 0, 9, 9}}
			o.uplinks["internet0"], o.uplinks["internet1"] = host, host
		}
		if w.IntN(4) > 0 {
			o.uplinks["campus"] = Uplink{OFPort: of.PortNo(30 + w.IntN(2))}
		}
	case 2:
		o.surroundings = Surroundings{
			Addresses: []netip.Addr{netip.MustParseAddr("198.51.100.7"), netip.AddrFrom4([4]byte{192, 0, 2, byte(w.IntN(4))})},
			Forwards:  []pipeline.HostPort{{Protocol: intent.TCP, Port: 8080}, {Protocol: intent.UDP, Port: 53}, {Protocol: intent.UDP, Port: 54}}[:w.IntN(4)],
		}
	case 3: // those that need one mostly have one
		o.zones = maps.Clone(PlanZones(o.zones, world.ZoneNames()).Next)
		if w.IntN(4) == 0 {
			maps.DeleteFunc(o.zones, func(string, uint16) bool { return w.IntN(2) == 0 })
		}
	}
	o.tell(world)
}

// nat changes some NAT of a tenant. As in the store, an address has one tenant and one use.
func (w *walker) nat(s *intent.Snapshot) []intent.Change {
	tenant := s.Tenant.Name
	base := byte(10)
	if tenant == "umbrella" {
		base = 20
	}
	gone := w.IntN(3) == 0
	ref := w.ref(tenant)
	switch w.IntN(4) {
	case 0:
		o := intent.SNAT{Tenant: tenant, ID: w.id(), External: []string{"internet0", "campus"}[w.IntN(2)], MaxConnections: uint32(w.IntN(2))}
		if o.External == "internet0" {
			o.Address = netip.AddrFrom4([4]byte{100, 64, 0, base})
		}
		return put(&s.SNATs, o, gone, func(x intent.SNAT) bool { return x.External == o.External })
	case 1:
		o := intent.Floating{Tenant: tenant, Network: ref.Network, Port: ref.Port, ID: w.id(), External: "campus",
			Address: netip.AddrFrom4([4]byte{203, 0, 113, base + byte(w.IntN(3))})}
		return put(&s.Floatings, o, gone, func(x intent.Floating) bool { return x.Ref() == o.Ref() || !gone && x.Address == o.Address })
	case 2:
		o := intent.Forward{Tenant: tenant, ID: w.id(), External: []string{"internet0", "campus"}[w.IntN(2)],
			Protocol: []intent.Protocol{intent.TCP, intent.UDP}[w.IntN(2)], Port: uint16(8080 + w.IntN(2)), To: ref, ToPort: 80}
		o.Address = netip.AddrFrom4([4]byte{100, 64, 0, base})
		if o.External == "campus" {
			o.Address = netip.AddrFrom4([4]byte{203, 0, 113, base + 8})
		}
		return put(&s.Forwards, o, gone, func(x intent.Forward) bool { return x.Ref() == o.Ref() })
	default:
		n := w.IntN(3)
		o := intent.NATAddress{Tenant: tenant, External: "campus", Host: fmt.Sprintf("host%d", n+1),
			Address: netip.AddrFrom4([4]byte{203, 0, 113, base + 5 + byte(n)})}
		return put(&s.NATAddresses, o, gone, func(x intent.NATAddress) bool { return x.Host == o.Host })
	}
}

// put replaces the objects that match by another one, or deletes them if gone is set.
func put[T intent.Object](list *[]T, o T, gone bool, match func(T) bool) []intent.Change {
	var changes []intent.Change
	*list = slices.DeleteFunc(slices.Clone(*list), func(x T) bool {
		if match(x) {
			changes = append(changes, intent.Change{Deleted: true, Object: x})
			return true
		}
		return false
	})
	if gone {
		return changes
	}
	*list = append(*list, o)
	return append(changes, intent.Change{Object: o})
}
