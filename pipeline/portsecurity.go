package pipeline

import (
	"net/netip"
	"slices"

	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
)

// portSecurity comes as soon as a frame can be checked, so that later tables can trust
// its source.
var portSecurity = &Table{
	ID:      idPortSecurity,
	Name:    "port_security",
	Purpose: "Let a port send only from its own MAC and addresses.",
	Reads: []of.Field{
		of.FieldReg1, of.FieldEthSrc, of.FieldEthType, of.FieldIPSrc, of.FieldIPDst, of.FieldIPProto,
		of.FieldUDPSrc, of.FieldUDPDst, of.FieldARPOp, of.FieldARPSPA, of.FieldARPSHA, of.FieldIPv6Src,
		of.FieldICMPv6Type, of.FieldNDTarget, of.FieldNDSLL, of.FieldNDTLL,
	},
	Writes: []of.Field{of.FieldReg0, of.FieldReg15},
	Next:   []*Table{arpND, drop},
}

// Priorities of port_security. An IPv6 packet from an address the port owns is
// fine unless it is neighbour discovery, which has more to be checked.
const (
	securityNever   = 200 // never valid
	securityND      = 160 // valid neighbour discovery
	securityNoIPv6  = 155 // what machines send unasked where there is no IPv6
	securityNDSpoof = 150 // any other neighbour discovery
	securityOwn     = 100 // what the port owns
	securityRouted  = 90  // from destinations of routes through the port
	securityOther   = 50  // its MAC, but not its address
	securityPlain   = 40  // its MAC, and no address to check
	securityLearn   = 20  // another MAC, where MACs may live behind the port
	securityMiss    = 0
)

// ICMPv6 message types (RFC 4861, RFC 2710, RFC 3810).
const (
	icmpv6MLDReport   = 131
	icmpv6MLDDone     = 132
	icmpv6RouterSol   = 133
	icmpv6RouterAd    = 134
	icmpv6NeighborSol = 135
	icmpv6NeighborAd  = 136
	icmpv6Redirect    = 137
	icmpv6MLDv2Report = 143
)

const (
	protoUDP    = 17
	protoICMPv6 = 58
)

var (
	anyIPv4   = netip.IPv4Unspecified()
	anyIPv6   = netip.IPv6Unspecified()
	broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

	linkLocals = netip.MustParsePrefix("fe80::/10")
)

// unicastSource matches a source MAC that one machine can have.
var unicastSource = of.MACMasked(of.FieldEthSrc, intent.MAC{}, intent.MAC{0: 1})

func icmpv6(kind uint8) []of.Term {
	return on(of.IPv6, of.IPProto(protoICMPv6), of.Exact(of.FieldICMPv6Type, uint64(kind)))
}

func portSecurityBase(r rules) {
	r.add(portSecurity, securityNever, "no port may advertise a router", icmpv6(icmpv6RouterAd), because(ReasonRouterAd)...)
	r.add(portSecurity, securityNever, "no port may redirect", icmpv6(icmpv6Redirect), because(ReasonRouterAd)...)
	r.add(portSecurity, securityMiss, "not the port's MAC", on(), because(ReasonSpoofMAC)...)
}

// portSecurityPort lists what a port may send.
//
//	port 3, 02:00:00:00:00:05, 10.0.0.5:
//	  arp from 3, as 02:..:05 and 10.0.0.5 (or 0.0.0.0: a probe)    ->  arp_nd
//	  ip  from 3, as 02:..:05 and 10.0.0.5                          ->  arp_nd
func portSecurityPort(r rules, p *PortView) {
	sender := on(regInPort.is(uint64(p.OFPort)), of.EthSrc(p.Port.MAC))
	pass := to(arpND)

	securityIPv4(r, p, sender)
	securityIPv6(r, p, sender)
	r.add(portSecurity, securityPlain, "from the port's MAC, with no address to check", sender, pass)

	if p.Port.Learn > 0 && p.Network.Learning {
		r.add(portSecurity, securityLearn, "a MAC behind the port",
			on(regInPort.is(uint64(p.OFPort)), unicastSource), flagLearnOK.set(1), pass)
	}
}

func securityIPv4(r rules, p *PortView, sender []of.Term) {
	pass := to(arpND)
	ownARP := of.MAC(of.FieldARPSHA, p.Port.MAC)
	if !managed(p.Network) {
		r.add(portSecurity, securityOwn, "ARP from the port's MAC", with(sender, of.ARP, ownARP), pass)
		r.add(portSecurity, securityOther, "ARP that names another MAC", with(sender, of.ARP), because(ReasonSpoofARP)...)
		return
	}
	for _, a := range p.addrs4() {
		r.add(portSecurity, securityOwn, "ARP as the port's own address",
			with(sender, of.ARP, ownARP, of.Addr(of.FieldARPSPA, a)), pass)
		r.add(portSecurity, securityOwn, "IPv4 from the port's own address",
			with(sender, of.IPv4, of.Addr(of.FieldIPSrc, a)), pass)
	}
	for _, prefix := range widest(p.Routed, func(x netip.Prefix) bool { return x.Addr().Is4() }) {
		r.add(portSecurity, securityRouted, "IPv4 from what is behind the port", with(sender, of.IPv4, of.Prefix(of.FieldIPSrc, prefix)), pass)
	}
	// Linux asks for its gateway from the address that it answers from.
	for _, prefix := range widest(p.Routed, func(x netip.Prefix) bool { return x.Addr().Is4() && !onLink(p.Network, x) }) {
		r.add(portSecurity, securityRouted, "asks by ARP as what is behind the port",
			with(sender, of.ARP, of.Exact(of.FieldARPOp, arpRequest), ownARP, of.Prefix(of.FieldARPSPA, prefix)), pass)
	}
	if hasFamily(p.Network, false) {
		// A host probes an address before it uses it (RFC 5227).
		r.add(portSecurity, securityOwn, "an ARP probe",
			with(sender, of.ARP, ownARP, of.Addr(of.FieldARPSPA, anyIPv4)), pass)
		r.add(portSecurity, securityOwn, "a DHCP client asks for an address",
			with(sender, of.IPv4, of.Addr(of.FieldIPSrc, anyIPv4), of.Addr(of.FieldIPDst, broadcast),
				of.IPProto(protoUDP), of.Exact(of.FieldUDPSrc, 68), of.Exact(of.FieldUDPDst, 67)), pass)
	}
	r.add(portSecurity, securityOther, "ARP as an address the port does not own", with(sender, of.ARP), because(ReasonSpoofARP)...)
	r.add(portSecurity, securityOther, "IPv4 from an address the port does not own", with(sender, of.IPv4), because(ReasonSpoofIPv4)...)
}

// widest returns the prefixes, without those that lie in another one.
func widest(list []netip.Prefix, want func(netip.Prefix) bool) []netip.Prefix {
	var found []netip.Prefix
	for _, p := range list {
		if want(p) && !slices.ContainsFunc(list, func(x netip.Prefix) bool {
			return want(x) && x.Bits() < p.Bits() && x.Contains(p.Addr())
		}) {
			found = append(found, p)
		}
	}
	return found
}

// onLink reports whether a prefix has addresses of the network's own subnets.
func onLink(n *intent.Network, p netip.Prefix) bool {
	return slices.ContainsFunc(n.Subnets, func(s intent.Subnet) bool { return s.Prefix.Overlaps(p) })
}

func securityIPv6(r rules, p *PortView, sender []of.Term) {
	pass := to(arpND)
	nd := func(kind uint8, terms ...of.Term) []of.Term {
		return with(with(sender, icmpv6(kind)...), terms...)
	}
	ownSLL := of.MAC(of.FieldNDSLL, p.Port.MAC)
	ownTLL := of.MAC(of.FieldNDTLL, p.Port.MAC)
	// The option may be missing; the field then reads as zero.
	noSLL := of.MAC(of.FieldNDSLL, intent.MAC{})
	noTLL := of.MAC(of.FieldNDTLL, intent.MAC{})

	if !managed(p.Network) {
		for _, option := range []of.Term{ownSLL, noSLL} {
			r.add(portSecurity, securityND, "asks for a neighbour", nd(icmpv6NeighborSol, option), pass)
		}
		for _, option := range []of.Term{ownTLL, noTLL} {
			r.add(portSecurity, securityND, "announces itself", nd(icmpv6NeighborAd, option), pass)
		}
	} else {
		for _, a := range p.addrs6() {
			from := of.Addr(of.FieldIPv6Src, a)
			target := of.Addr(of.FieldNDTarget, a)
			r.add(portSecurity, securityOwn, "IPv6 from the port's own address", with(sender, of.IPv6, from), pass)
			for _, option := range []of.Term{ownSLL, noSLL} {
				r.add(portSecurity, securityND, "asks for a neighbour", nd(icmpv6NeighborSol, from, option), pass)
			}
			for _, option := range []of.Term{ownTLL, noTLL} {
				r.add(portSecurity, securityND, "announces its own address", nd(icmpv6NeighborAd, from, target, option), pass)
			}
			r.add(portSecurity, securityND, "duplicate address detection of its own address (RFC 4862)",
				nd(icmpv6NeighborSol, of.Addr(of.FieldIPv6Src, anyIPv6), target, noSLL), pass)
		}
		for _, prefix := range widest(p.Routed, func(x netip.Prefix) bool { return x.Addr().Is6() }) {
			r.add(portSecurity, securityRouted, "IPv6 from what is behind the port", with(sender, of.IPv6, of.Prefix(of.FieldIPv6Src, prefix)), pass)
		}
		if hasFamily(p.Network, true) {
			// Before a host has an address it already sends router solicitations and
			// joins groups.
			for _, kind := range []uint8{icmpv6RouterSol, icmpv6MLDReport, icmpv6MLDDone, icmpv6MLDv2Report} {
				r.add(portSecurity, securityOwn, "a host without an address yet",
					nd(kind, of.Addr(of.FieldIPv6Src, anyIPv6)), pass)
			}
		} else {
			// A machine that boots sends router solicitations, joins groups and probes
			// its link-local address for duplicates, whatever the network has. These
			// are no spoofing attempts, and must not be counted as such.
			for _, src := range []of.Term{of.Addr(of.FieldIPv6Src, anyIPv6), of.Prefix(of.FieldIPv6Src, linkLocals)} {
				r.add(portSecurity, securityNoIPv6, "what a machine says by itself, in a network without IPv6",
					with(sender, of.IPv6, src), because(ReasonNoIPv6)...)
			}
		}
		r.add(portSecurity, securityOther, "IPv6 from an address the port does not own", with(sender, of.IPv6), because(ReasonSpoofIPv6)...)
	}
	r.add(portSecurity, securityNDSpoof, "asks for a neighbour with a source that is not its own", nd(icmpv6NeighborSol), because(ReasonSpoofND)...)
	r.add(portSecurity, securityNDSpoof, "announces an address it does not own", nd(icmpv6NeighborAd), because(ReasonSpoofND)...)
}
