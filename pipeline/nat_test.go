package pipeline

import (
	"net/netip"
	"testing"

	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
)

// A natCase is one object of externals and NAT.
type natCase struct {
	name string
	emit func(Emit)
}

func internet() intent.External {
	return intent.External{Name: "internet", ID: 0x50, Number: 1, Kind: intent.ExternalHost}.WithDefaults()
}

func campus() intent.External {
	return intent.External{
		Name: "campus", ID: 0x51, Number: 2, Kind: intent.ExternalBridge, Bridge: "br-ex",
		Subnet: netip.MustParsePrefix("203.0.113.0/24"), Gateway: netip.MustParseAddr("203.0.113.1"),
		Pool:  intent.AddrRange{First: netip.MustParseAddr("203.0.113.10"), Last: netip.MustParseAddr("203.0.113.200")},
		MTU:   1400,
		Allow: []netip.Prefix{netip.MustParsePrefix("192.0.2.53/32")},
	}
}

// segmentOf is the segment of an external that shares its bridge with no other external.
func segmentOf(e *intent.External) uint32 {
	if e.Kind == intent.ExternalHost {
		return intent.VNIReserved
	}
	return e.VNI()
}

func natCases() []natCase {
	host, bridge, tagged := internet(), campus(), campus()
	tagged.VLAN = 100
	city := campus() // behind the same bridge
	city.Name, city.ID, city.Number = "city", 0x52, 3
	cityTagged := city // on the same port, with a VLAN
	cityTagged.ID, cityTagged.Number, cityTagged.VLAN, cityTagged.Allow = 0x53, 4, 101, nil
	city.Subnet, city.Gateway = netip.MustParsePrefix("203.0.114.0/24"), netip.MustParseAddr("203.0.114.1")
	router := intent.RouterMAC(0x11)
	inner := netip.MustParseAddr("10.0.0.5")
	hostAddr, bridgeAddr, floatAddr := netip.MustParseAddr("100.64.0.2"), netip.MustParseAddr("203.0.113.10"), netip.MustParseAddr("203.0.113.11")
	address := func(a netip.Addr, e *intent.External, here bool) func(Emit) {
		return func(emit Emit) {
			Address(sw, &AddressView{Address: a, External: e, Segment: segmentOf(e), VRF: 7, Zone: 16400, Here: here, Router: router}, emit)
		}
	}
	external := func(v ExternalView) func(Emit) {
		if v.Segment == 0 {
			v.Segment = segmentOf(&v.External)
		}
		return func(emit Emit) { External(sw, &v, emit) }
	}
	snat := func(a netip.Addr) func(Emit) {
		return func(emit Emit) {
			SNAT(&SNATView{SNAT: intent.SNAT{Tenant: "acme", External: "internet", ID: 0x60}, VNI: host.VNI(), VRF: 7, Zone: 16400, Address: a}, emit)
		}
	}
	forward := func(id intent.ID, proto intent.Protocol, port uint16, only bool) func(Emit) {
		return func(emit Emit) {
			Forward(sw, &ForwardView{
				Forward: intent.Forward{Tenant: "acme", External: "internet", Protocol: proto, Port: port, ID: id, Address: hostAddr, ToPort: 80},
				VRF:     7, Zone: 16400, Inner: inner, Entry: true, Only: only, First: !only}, emit)
		}
	}
	return []natCase{
		{"external-host", external(ExternalView{External: host, OFPort: 8, NextMAC: intent.MAC{2, 0, 0, 0, 0, 8}, Router: router, Lead: true, First: true})},
		{"external-bridge", external(ExternalView{External: bridge, OFPort: 9, Router: router, Lead: true, First: true, MTU: 1400})},
		{"external-vlan", external(ExternalView{External: tagged, OFPort: 9, Router: router, Lead: true, First: true})},
		{"address-vlan", address(bridgeAddr, &tagged, true)},
		{"external-shared-bridge", external(ExternalView{External: city, OFPort: 9, Router: router, Segment: bridge.VNI()})},
		{"external-shared-other-vlan", external(ExternalView{External: cityTagged, OFPort: 9, Router: router, Lead: true})},
		{"address-shared-bridge", func(emit Emit) {
			Address(sw, &AddressView{Address: netip.MustParseAddr("203.0.114.11"), External: &city, Segment: bridge.VNI(), Beside: []uint32{bridge.VNI()}, VRF: 7, Zone: 16400, Here: true, Router: router}, emit)
		}},
		{"external-not-here", external(ExternalView{External: bridge, Router: router})},
		{"address-host", address(hostAddr, &host, true)},
		{"address-bridge", address(bridgeAddr, &bridge, true)},
		{"address-elsewhere", address(netip.MustParseAddr("203.0.113.12"), &bridge, false)},
		{"tenant", func(emit Emit) {
			TenantNAT(sw, &TenantView{Tenant: intent.Tenant{Name: "acme", ID: 0x5, VRF: 7}, Zone: 16400, Out: bridge.VNI(),
				Subnets: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24"), netip.MustParsePrefix("10.0.1.0/24")}}, emit)
		}},
		{"snat", snat(hostAddr)},
		{"snat-without-address", snat(netip.Addr{})},
		{"floating", func(emit Emit) {
			Floating(&FloatingView{Floating: intent.Floating{Tenant: "acme", Network: "web", Port: "c1", ID: 0x61, External: "campus", Address: floatAddr},
				VNI: bridge.VNI(), VRF: 7, Zone: 16400, Inner: inner, Source: true}, emit)
		}},
		{"floating-second", func(emit Emit) {
			Floating(&FloatingView{Floating: intent.Floating{Tenant: "acme", Network: "web", Port: "c1", ID: 0x65, External: "city", Address: netip.MustParseAddr("203.0.114.11")},
				VNI: bridge.VNI() + 1, VRF: 7, Zone: 16400, Inner: inner}, emit)
		}},
		{"forward-tcp", forward(0x62, intent.TCP, 8080, false)},
		{"forward-udp-first", forward(0x66, intent.UDP, 5454, false)},
		{"forward-udp", forward(0x63, intent.UDP, 5353, true)},
		{"forward-sctp", forward(0x64, intent.SCTP, 99, true)},
		{"guard", func(emit Emit) {
			Guard(&GuardView{Denials: []Denial{
				{Prefix: netip.MustParsePrefix("192.0.2.1/32"), Reason: ReasonHostAddress},
				{Prefix: netip.MustParsePrefix("192.0.2.2/32"), Reason: ReasonVTEP},
				{Prefix: netip.MustParsePrefix("198.51.100.3/32"), Reason: ReasonStore},
				{Prefix: netip.MustParsePrefix("100.64.0.0/16"), Reason: ReasonForeignNAT},
				{Prefix: netip.MustParsePrefix("192.0.2.3/32"), Reason: ReasonOtherHost, VNI: 0xfff001},
				{Prefix: netip.MustParsePrefix("192.0.2.0/24"), Reason: ReasonUnderlay, VNI: 0xfff001},
			},
				Own:      []OwnAddress{{netip.MustParseAddr("192.0.2.1"), ReasonHostAddress}, {netip.MustParseAddr("192.0.2.2"), ReasonVTEP}},
				Forwards: []HostPort{{intent.TCP, 8080}, {intent.TCP, 8081}, {intent.UDP, 53}, {intent.SCTP, 99}},
				ByHost:   []uint32{0xfff001}}, emit)
		}},
	}
}

func TestGoldenNAT(t *testing.T) {
	for _, c := range natCases() {
		golden(t, "nat-"+c.name, text(c.emit))
	}
}

// The flows of externals and NAT that a host has at one time must not overlap with each other
// or with its other flows: the switch might use either.
func TestNoTwoFlowsOfNATCoverTheSamePacket(t *testing.T) {
	var all []of.Flow
	notes := map[of.FlowKey]string{}
	emit := func(f of.Flow, note string) {
		if was, ok := notes[f.Key()]; ok {
			t.Errorf("%q and %q are the same flow to a switch: %s", was, note, f)
		}
		notes[f.Key()] = note
		all = append(all, f)
	}
	Base(sw, emit)
	Self(sw, intent.Host{Name: "host1", ID: 0x11, VTEP: netip.MustParseAddr("192.0.2.1")}, emit)
	n := networkCases()["plain"]
	Network(sw, &n, emit)
	for _, c := range portCases() {
		if c.name == "here" {
			Port(sw, &c.view, emit)
		}
	}
	for _, c := range natCases() {
		switch c.name {
		case "external-not-here", "snat-without-address", "external-vlan", "address-vlan": // these exclude others
		default:
			c.emit(emit)
		}
	}
	for i, f := range all {
		for _, g := range all[:i] {
			if f.Table == g.Table && f.Priority == g.Priority && meet(f.Match, g.Match) {
				t.Errorf("both cover some packets:\n  %s\n  %s", f, g)
			}
		}
	}
}
