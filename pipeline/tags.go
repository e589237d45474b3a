package pipeline

import (
	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
)

// This file handles VLAN tags. Open vSwitch reads one tag. A second tag becomes the
// frame's type, and nothing behind it is read, so no table can check it. But a receiver
// may read on: Linux removes any number of tags of VLAN 0, and believes the ARP reply
// behind them.

// priorityTag removes a tag with a priority and no VLAN (IEEE 802.1Q, 6.13): such a
// frame counts as untagged. A second tag stays, as the frame's type.
var priorityTag = &Table{
	ID:      idPriorityTag,
	Name:    "priority_tag",
	Purpose: "Remove a tag of VLAN 0, which only has a priority.",
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

// refuseTags drops frames that still have a tag, parsed or as the frame's type.
func refuseTags(r rules, t *Table, priority uint16, note string) {
	r.add(t, priority, note, on(of.AnyVLAN()), because(ReasonTagged)...)
	for _, e := range intent.VLANTypes() {
		r.add(t, priority, note, on(of.NoVLAN(), of.EthType(uint16(e))), because(ReasonTagged)...)
	}
}

// pushTag returns the actions that add an external's tag to a frame just before it
// leaves; none without a VLAN.
func pushTag(e *intent.External) []of.Action {
	if e.VLAN == 0 {
		return nil
	}
	return []of.Action{of.PushVLAN{EtherType: uint16(intent.VLANTypes()[0])}, of.SetVLAN(e.VLAN)}
}
