package pipeline

import of "github.com/ovloom/ovloom/openflow"

// Reason is why a packet is dropped. Its number travels in a register to table drop,
// which counts drops by it.
type Reason uint8

// Reasons. Numbers are never reused: they appear in flows that an older ovloomd
// installed.
const (
	ReasonUnknownPort   Reason = 1
	ReasonUnknownVTEP   Reason = 2
	ReasonClaimedElse   Reason = 3
	ReasonUnknownVNI    Reason = 4
	ReasonSpoofMAC      Reason = 5
	ReasonSpoofIPv4     Reason = 6
	ReasonSpoofIPv6     Reason = 7
	ReasonSpoofARP      Reason = 8
	ReasonSpoofND       Reason = 9
	ReasonRouterAd      Reason = 10
	ReasonOwnAddress    Reason = 11
	ReasonNoSuchAddress Reason = 12
	ReasonUnasked       Reason = 13
	ReasonNoRouter      Reason = 14
	ReasonNotPlugged    Reason = 15
	ReasonLearnLimit    Reason = 16
	ReasonReservedMAC   Reason = 17
	ReasonUnknownDst    Reason = 18
	ReasonSplitHorizon  Reason = 19
	ReasonNotElected    Reason = 20
	ReasonOnLink        Reason = 21
	ReasonNotRouted     Reason = 22
	ReasonExpired       Reason = 23
	ReasonGateway       Reason = 24
	ReasonNoRoute       Reason = 25
	ReasonOversize      Reason = 26
	ReasonNotOurs       Reason = 32
	ReasonInvalid       Reason = 33
	ReasonMartian       Reason = 34
	ReasonNoForward     Reason = 35
	ReasonHostAddress   Reason = 36
	ReasonVTEP          Reason = 37
	ReasonStore         Reason = 39
	ReasonForeignNAT    Reason = 40
	ReasonNoNAT         Reason = 41
	ReasonNATFull       Reason = 42
	ReasonNoUplink      Reason = 43
	ReasonNextHop       Reason = 44
	ReasonNoClaim       Reason = 53
	ReasonOtherHost     Reason = 54
	ReasonUnderlay      Reason = 55
	ReasonStormLimit    Reason = 56
	ReasonPuntLimit     Reason = 57
	ReasonFragmentLimit Reason = 58
	ReasonPenalty       Reason = 59
	ReasonNoIPv6        Reason = 60
	ReasonUnclaimed     Reason = 61
	ReasonTagged        Reason = 45
	ReasonEtherType     Reason = 46
	ReasonMalformed     Reason = 47
	ReasonHeaderChain   Reason = 48
	ReasonFragmentedND  Reason = 49
	ReasonForeignSource Reason = 50
)

// reasons gives every reason its short name and its meaning.
var reasons = []struct {
	Reason
	name, meaning string
}{
	{ReasonUnknownPort, "unknown-port", "the interface is not bound to any port"},
	{ReasonUnknownVTEP, "unknown-vtep", "a tunnel packet from an address that is neither a host's VTEP nor that of a peer of the packet's network"},
	{ReasonClaimedElse, "claimed-elsewhere", "the port is in force on another host"},
	{ReasonUnclaimed, "unclaimed", "the port is in force on no host yet: it was plugged this moment, or its claim waits for the store"},
	{ReasonUnknownVNI, "unknown-vni", "a tunnel packet for a network that no port here is part of"},
	{ReasonSpoofMAC, "spoof-mac", "the source MAC is not the port's"},
	{ReasonSpoofIPv4, "spoof-ipv4", "the source IPv4 address is not the port's"},
	{ReasonSpoofIPv6, "spoof-ipv6", "the source IPv6 address is not the port's"},
	{ReasonNoIPv6, "no-ipv6", "IPv6 from a link-local address or from none, which every machine sends by itself, in a network without an IPv6 subnet"},
	{ReasonSpoofARP, "spoof-arp", "an ARP packet speaks for an address that is not the port's"},
	{ReasonSpoofND, "spoof-nd", "a neighbour discovery packet speaks for an address that is not the port's"},
	{ReasonRouterAd, "router-advertisement", "a port sent a router advertisement or redirect; only gateways may"},
	{ReasonOwnAddress, "own-address", "a port asked for or announced its own address"},
	{ReasonNoSuchAddress, "no-such-address", "an address that no port of its network has"},
	{ReasonUnasked, "unasked", "an unsolicited ARP reply or neighbour advertisement"},
	{ReasonNoRouter, "no-router", "a router solicitation; gateways do not advertise themselves"},
	{ReasonNotPlugged, "not-plugged", "the destination port is not plugged on any host"},
	{ReasonLearnLimit, "learn-limit", "more MACs behind the port than its learn limit"},
	{ReasonReservedMAC, "reserved-mac", "a link-local destination that bridges do not forward (IEEE 802.1Q, table 8-1)"},
	{ReasonUnknownDst, "unknown-destination", "no port of the network has the destination MAC"},
	{ReasonNotElected, "not-elected", "a peer's packet for the gateway, which another host is for that network's peers"},
	{ReasonOnLink, "on-link", "a packet for the gateway to send on, to or from an address that has a meaning on its link only"},
	{ReasonNotRouted, "not-routed", "a frame for the gateway that is neither IPv4 nor IPv6, or one for a host's own router, which only hosts may use"},
	{ReasonExpired, "expired", "the packet's TTL or hop limit ended at the gateway"},
	{ReasonGateway, "gateway", "a packet for a gateway itself, which answers nothing but pings"},
	{ReasonNoRoute, "no-route", "the tenant has no route to the destination"},
	{ReasonOversize, "oversize", "larger than the MTU of the network that it goes to; ovloomd sends it on in fragments if it may"},
	{ReasonNotOurs, "not-ours", "from outside, for no external address that a tenant uses on this host"},
	{ReasonInvalid, "invalid", "to or from outside, part of no connection, and cannot begin one"},
	{ReasonMartian, "martian", "from outside, under an address that does not exist there: an inner one, one of NAT's, or a loopback, multicast or reserved one"},
	{ReasonNoForward, "no-forward", "from outside, to an external address or port that leads to no port of the tenant"},
	{ReasonHostAddress, "host-address", "from a tenant to an address of this host"},
	{ReasonVTEP, "vtep", "from a tenant to an address of the tunnels"},
	{ReasonStore, "store", "from a tenant to the store"},
	{ReasonForeignNAT, "foreign-nat-address", "from a tenant to an external address that is not its own"},
	{ReasonNoNAT, "no-nat", "to the outside, from a tenant or port that has neither SNAT nor a floating address"},
	{ReasonNATFull, "nat-full", "a connection beyond the tenant's limit, or for which no source port is free"},
	{ReasonNoUplink, "no-uplink", "to the outside by an external that this host has no port or no address of"},
	{ReasonNextHop, "next-hop", "to the outside, by a next hop whose MAC is not known yet; ovloomd asks for it and sends the packet on"},
	{ReasonNoClaim, "no-claim", "a tunnel packet of a tenant that its sender has no port and no address of"},
	{ReasonOtherHost, "other-host", "from a tenant to an address of another host"},
	{ReasonUnderlay, "underlay", "from a tenant to the network that the tunnels run in"},
	{ReasonStormLimit, "storm-limit", "a broadcast or multicast beyond the port's share of those"},
	{ReasonPuntLimit, "punt-limit", "for ovloomd to handle (ICMP errors, fragmenting, address resolution), beyond the share of its port or network"},
	{ReasonFragmentLimit, "fragment-limit", "a fragment to or from outside, beyond the tenant's share of fragments that are put together"},
	{ReasonPenalty, "penalty", "of a port that sent to or from so many addresses, or so many ARP requests, that it slowed down the others; its rate is limited for a while"},
	{ReasonTagged, "tagged", "a VLAN tag that the network or the external does not carry"},
	{ReasonEtherType, "ethertype", "an Ethernet type that the network does not carry"},
	{ReasonMalformed, "malformed", "an ARP or neighbour discovery packet that cannot be read, so that nothing it says can be checked"},
	{ReasonHeaderChain, "header-chain", "an IPv6 packet, or first fragment, that ends within its headers"},
	{ReasonFragmentedND, "fragmented-nd", "neighbour discovery in fragments, which receivers have to ignore"},
	{ReasonForeignSource, "foreign-source", "for a gateway to send on, from an address that is in no subnet of its network nor behind a route by it"},
	{ReasonSplitHorizon, "split-horizon", "a packet from a tunnel would have gone to a tunnel"},
}

// Reasons returns every reason.
func Reasons() []Reason {
	var all []Reason
	for _, r := range reasons {
		all = append(all, r.Reason)
	}
	return all
}

// String returns the short name of the reason, as status and flows show it.
func (r Reason) String() string {
	for _, x := range reasons {
		if x.Reason == r {
			return x.name
		}
	}
	return "unknown-reason"
}

// Meaning returns the reason in a sentence.
func (r Reason) Meaning() string {
	for _, x := range reasons {
		if x.Reason == r {
			return x.meaning
		}
	}
	return "this version does not know the reason"
}

// because drops a packet for a reason.
func because(r Reason) []of.Action {
	return []of.Action{regReason.set(uint64(r)), to(drop)}
}
