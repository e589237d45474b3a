package pipeline

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
)

// behindC1 is the destination of routes through c1.
func behindC1() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("10.9.0.0/16"), netip.MustParsePrefix("fd09::/48")}
}

// routeCases are routes with none, one and three next hops.
func routeCases() map[string]RouteView {
	route := func(id intent.ID, prefix string, via ...string) RouteView {
		v := RouteView{Route: intent.Route{Tenant: "acme", ID: id, Prefix: netip.MustParsePrefix(prefix), Via: addrs(via...)}, VRF: 7}
		for _, a := range v.Route.Via {
			v.Hops = append(v.Hops, Hop{a, 5001})
		}
		return v
	}
	lost := route(0x60, "10.7.0.0/16", "10.0.0.5")
	lost.Hops = nil
	reached, reachedDefault := route(0x65, "10.9.0.0/16", "10.0.0.5"), route(0x66, "0.0.0.0/0", "10.0.0.5", "10.0.0.6")
	reached.Zone, reachedDefault.Zone = 16400, 16400
	return map[string]RouteView{
		"lost":    lost,
		"one":     route(0x61, "10.9.0.0/16", "10.0.0.5"),
		"ipv6":    route(0x62, "fd09::/48", "fd00:1::5"),
		"default": route(0x63, "0.0.0.0/0", "10.0.0.5"),
		"reached": reached, "reached-default": reachedDefault,
		"three": route(0x64, "10.8.0.0/16", "10.0.0.5", "10.0.0.6", "10.0.0.7"),
	}
}

func TestRouteGolden(t *testing.T) {
	for name, r := range routeCases() {
		var b strings.Builder
		b.WriteString(text(func(e Emit) { Route(sw, &r, e) }))
		for _, g := range RouteGroups(&r) {
			fmt.Fprintf(&b, "# group: %s\n", g)
		}
		golden(t, "route-"+name, b.String())
	}
	golden(t, "self", text(func(e Emit) {
		Self(sw, intent.Host{Name: "host1", ID: 0x0f, VTEP: netip.MustParseAddr("192.0.2.1")}, e)
	}))
	elected := networkCases()["elected"]
	golden(t, "network-kernel-elected", text(func(e Emit) { Network(kernelSw, &elected, e) }))
}

// Every next hop has its share of the slots; when one is removed, only its own slots change.
func TestNextHopsKeepTheirSlots(t *testing.T) {
	var all RouteView
	for i := range intent.RouteHopsMax {
		all.Hops = append(all.Hops, Hop{netip.AddrFrom4([4]byte{10, 0, 0, byte(2 + i)}), 5001})
		slots := map[netip.Addr]int{}
		for slot := range uint32(routeSlots) {
			slots[all.hop(slot).Addr]++
		}
		if len(slots) < min(len(all.Hops), 8) {
			t.Errorf("of %d next hops, %d have slots", len(all.Hops), len(slots))
		}
		fewer := RouteView{Hops: all.Hops[1:]}
		for slot := range uint32(routeSlots) {
			if was := all.hop(slot); len(fewer.Hops) > 0 && was != all.Hops[0] && fewer.hop(slot) != was {
				t.Errorf("%d next hops: slot %d leaves %s, which did not go", len(all.Hops), slot, was.Addr)
			}
		}
	}
}

// The longest prefix comes first; of two equal ones, the connected one; and all come before
// outgoing NAT.
func TestPrefixesAreOrdered(t *testing.T) {
	order := []uint16{
		routeMiss,
		prefixPriority(netip.MustParsePrefix("0.0.0.0/0"), false),
		prefixPriority(netip.MustParsePrefix("10.0.0.0/8"), false),
		prefixPriority(netip.MustParsePrefix("10.0.0.0/24"), false),
		prefixPriority(netip.MustParsePrefix("10.0.0.0/24"), true),
		prefixPriority(netip.MustParsePrefix("10.0.0.5/32"), false),
		prefixPriority(netip.MustParsePrefix("fd00::/64"), false),
		prefixPriority(netip.MustParsePrefix("fd00::5/128"), false),
	}
	for i := range order[1:] {
		if order[i] >= order[i+1] {
			t.Errorf("priority %d is not above %d", order[i+1], order[i])
		}
	}
}

// PlaceOf reads what flows wrote.
func TestPlaceOfAPacket(t *testing.T) {
	hop := netip.MustParseAddr("fd00:1::5")
	m := of.MatchOf(of.InPort(1), of.Exact(of.FieldMetadata, 7<<24|5001), of.Exact(of.FieldReg9, 5002),
		of.Exact(of.FieldReg0, flagFromTunnel.mask()|flagFromPeer.mask()), of.Addr(of.FieldTunSrc, netip.MustParseAddr("192.0.2.40")),
		isHop(hop))
	got := PlaceOf(m)
	want := Place{Network: 5001, Tenant: 7, Source: 5002, FromTunnel: true, FromPeer: true,
		TunnelSource: netip.MustParseAddr("192.0.2.40"), Hop4: netip.MustParseAddr("253.0.0.1"), Hop6: hop}
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}

	in := of.PacketIn{Packet: []byte{1}, Metadata: of.MatchOf(of.InPort(3), of.Exact(of.FieldMetadata, 5001),
		of.Exact(of.FieldReg0, flagOversize.mask()|flagFromTunnel.mask()), of.Exact(of.FieldCTMark, 5))}
	out := SendOn(in, []byte{2})
	if out.InPort != 3 || !out.Metadata.Equal(of.MatchOf(of.Exact(of.FieldMetadata, 5001), of.Exact(of.FieldReg0, flagFromTunnel.mask()))) {
		t.Errorf("a fragment goes on as %s, from port %d", out.Metadata, out.InPort)
	}
	if out := LookAgain(in); out.Packet[0] != 1 || of.ActionsString(out.Actions) != "resubmit(,64)" {
		t.Errorf("a held packet goes on by %s", of.ActionsString(out.Actions))
	}
}
