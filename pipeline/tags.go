package pipeline

import (
	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
)

// This file holds what becomes of VLAN tags. Open vSwitch reads one tag. Behind it, the
// type of the next one is the type of the frame, and nothing further is read: what
// a table would check is not there to be checked. But a receiver may read on: Linux
// takes off any number of tags of VLAN 0, and believes the ARP reply behind them.

// priorityTag takes off the tag that says nothing but a priority (IEEE 802.1Q, 6.13):
// such a frame is an untagged one. A second one is not taken off; the frame then has
// the type of a tag.
var priorityTag = &Table{
	ID:      idPriorityTag,
	Name:    "priority_tag",
	Purpose: "Take off a tag of VLAN 0, which says a priority only.",
	Reads:   []of.Field{of.FieldReg0, of.FieldVLANVID},
	Next:    []*Table{tunnelIn, frame},
}

// tagged is port_security for frames with a tag, in networks that carry them.
var tagged = &Table{
	ID:      idTagged,
	Name:    "tagged",
	Purpose: "Let a port send tagged frames under its own MAC, where its network carries them.",
	Reads:   []of.Field{of.FieldReg1, of.FieldEthSrc},
	Writes:  []of.Field{of.FieldReg0, of.FieldReg15},
	Next:    []*Table{learn, drop},
}

func priorityTagBase(r rules) {
	fromHost := on(flagFromTunnel.is(1), flagFromPeer.is(0))
	r.add(priorityTag, 30, "a priority only: off with it; from another host", with(fromHost, of.VLAN(0)), of.PopVLAN{}, to(tunnelIn))
	r.add(priorityTag, 20, "from another host", fromHost, to(tunnelIn))
	r.add(priorityTag, 10, "a priority only: off with it", on(of.VLAN(0)), of.PopVLAN{}, to(frame))
	r.add(priorityTag, 0, "any other frame", on(), to(frame))
}

func taggedBase(r rules) {
	r.add(tagged, 0, "not the port's MAC", on(), because(ReasonSpoofMAC)...)
}

func taggedPort(r rules, p *PortView) {
	if !p.Network.VLANTransparent {
		return
	}
	from := on(regInPort.is(uint64(p.OFPort)))
	r.add(tagged, 20, "from the port's MAC", with(from, of.EthSrc(p.Port.MAC)), to(learn))
	if p.Port.Learn > 0 && p.Network.Learning {
		r.add(tagged, 10, "a MAC behind the port", with(from, unicastSource), flagLearnOK.set(1), to(learn))
	}
}

// refuseTags drops frames that still have a tag: read, or announced by the type of the
// frame.
func refuseTags(r rules, t *Table, priority uint16, note string) {
	r.add(t, priority, note, on(of.AnyVLAN()), because(ReasonTagged)...)
	for _, e := range intent.VLANTypes() {
		r.add(t, priority, note, on(of.NoVLAN(), of.EthType(uint16(e))), because(ReasonTagged)...)
	}
}

// pushTag are the actions that put an external's tag on a frame, just before it leaves;
// none if it has no VLAN.
func pushTag(e *intent.External) []of.Action {
	if e.VLAN == 0 {
		return nil
	}
	return []of.Action{of.PushVLAN{EtherType: uint16(intent.VLANTypes()[0])}, of.SetVLAN(e.VLAN)}
}
