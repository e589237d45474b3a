package pipeline

import (
	of "github.com/ovloom/ovloom/openflow"
)

// mtu checks the size of a routed packet, where it can exceed the MTU of the network it
// goes to.
var mtu = &Table{
	ID:      idMTU,
	Name:    "mtu",
	Purpose: "Check the packet's size where the next network's MTU may be smaller.",
	Reads:   []of.Field{of.FieldMetadata},
	Writes:  []of.Field{of.FieldReg0},
	Next:    []*Table{forward},
}

// forward does what a router does to each packet: TTL and MACs.
var forward = &Table{
	ID:      idForward,
	Name:    "forward",
	Purpose: "Decrement the TTL of a packet that fits, and forward it.",
	Reads:   []of.Field{of.FieldReg0, of.FieldMetadata, of.FieldEthType},
	Writes:  []of.Field{of.FieldReg0, of.FieldReg15, of.FieldIPTTL},
	Next:    []*Table{guard, output, drop},
}

// Priorities of forward.
const (
	forwardOversize = 50
	forwardAnswer   = 11
	forwardOutside  = 10
	forwardPass     = 0
)

// ethernetHeader is the length of an Ethernet header, in bytes.
const ethernetHeader = 14

func mtuBase(r rules) {
	r.add(mtu, 0, "nothing that is too large can come here", on(), to(forward))
}

// mtuNetwork checks packets to the network.
func mtuNetwork(r rules, v *NetworkView) {
	if v.MTU > 0 {
		r.add(mtu, 10, "measures what goes to the network", on(regNetwork.is(uint64(v.Network.VNI))), measure(v.MTU), to(forward))
	}
}

// measure sets flagOversize if the packet has more than mtu bytes.
func measure(mtu int) of.Action {
	return of.CheckPktLarger{Len: uint16(mtu + ethernetHeader), Dst: flagOversize.Sub}
}

func forwardBase(r rules, sw Switch) {
	r.add(forward, forwardOversize, "too large: ovloomd fragments it, or tells its sender", on(flagOversize.is(1)),
		refuse(sw, CauseOversize, ReasonOversize)...)
	r.add(forward, forwardAnswer, "on its way to an external, as an answer: its fragments were counted before", on(toExternal, of.IPv4, flagAnswer.is(1)),
		flagRouted.set(1), of.DecTTL{}, to(guard))
	r.add(forward, forwardOutside, "on its way to an external", on(toExternal, of.IPv4),
		append(append([]of.Action{flagRouted.set(1)}, sw.limits(ShareFragments)...), of.DecTTL{}, to(guard))...)
	for _, family := range []of.Term{of.IPv4, of.IPv6} {
		r.add(forward, forwardPass, "on its way", on(family), flagRouted.set(1), of.DecTTL{}, to(output))
	}
}
