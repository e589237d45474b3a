// Actions and instructions as values.

package openflow

import "net/netip"

// Action is something done to a packet (ovs-actions(7)), or an instruction of a flow,
// which ovs-ofctl lists among the actions. Only this package's types implement it.
type Action interface {
	appendText(b []byte) []byte
}

// PortNo is an OpenFlow port number.
type PortNo uint32

// Reserved ports (OpenFlow 1.5, 7.2.1).
const (
	PortInPort     PortNo = 0xfffffff8
	PortTable      PortNo = 0xfffffff9
	PortNormal     PortNo = 0xfffffffa
	PortFlood      PortNo = 0xfffffffb
	PortAll        PortNo = 0xfffffffc
	PortController PortNo = 0xfffffffd
	PortLocal      PortNo = 0xfffffffe
	PortAny        PortNo = 0xffffffff
)

// Actions.
type (
	// Output sends the packet out of a port.
	Output struct{ Port PortNo }

	// OutputReg sends the packet out of the port whose number is in Src.
	OutputReg struct{ Src Subfield }

	// ToGroup hands the packet to a group.
	ToGroup struct{ ID uint32 }

	// ToController sends the packet to the connection with controller id ID.
	ToController struct {
		MaxLen   uint16 // bytes of packet; 0xffff: all
		ID       uint16
		Reason   PacketInReason // 0 stands for ReasonAction
		Userdata string         // opaque bytes
		Pause    bool           // hold the packet until NXT_RESUME
		MeterID  uint32         // 0: none. Ignored by the switch together with Pause
	}

	// SetField writes Value under Mask into a field (set_field; load: is shown as
	// this too).
	SetField struct {
		Field       Field
		Value, Mask Bits
	}

	// CopyField copies bits; ovs-ofctl's text is move:.
	CopyField struct{ Src, Dst Subfield }

	// Push and Pop keep bits on a stack while a packet is processed.
	Push struct{ Src Subfield }
	Pop  struct{ Dst Subfield }

	// PushVLAN pushes a tag of VLAN 0 as the outermost one; SetVLAN sets its VLAN.
	PushVLAN struct{ EtherType uint16 } // 0x8100 or 0x88a8

	// PopVLAN removes the outermost VLAN tag. The flow must match on a tag.
	PopVLAN struct{}

	// DecTTL decrements the TTL of an IP packet; an expired one stops here.
	DecTTL struct{}

	// Resubmit looks the packet up in a table, then goes on with the next action.
	Resubmit struct {
		InPort PortNo // 0 or PortInPort: unchanged
		Table  uint8  // TableAll: the current one
		CT     bool   // with the conntrack fields swapped: resubmit(…,ct)
	}

	// CT sends the packet through the connection tracker.
	CT struct {
		Commit, Force bool
		Zone          uint16
		ZoneSrc       Subfield // if its Field is set, the zone is read from it instead
		Table         uint8    // where the tracked packet goes on; TableAll: nowhere
		ALG           uint16   // 0: none; 21: ftp; 69: tftp
		Actions       []Action // of NAT, SetField and CopyField (to ct_mark, ct_label)
	}

	// NAT translates a connection; only inside CT. Without Src and Dst an established
	// connection's translation is applied.
	NAT struct {
		Src, Dst         bool
		AddrMin, AddrMax netip.Addr // AddrMax may be absent
		PortMin, PortMax uint16     // PortMax may be 0
		Persistent       bool
		Hash, Random     bool
	}

	// CTClear clears the packet's conntrack state.
	CTClear struct{}

	// CheckPktLarger sets the bit Dst to whether the packet, with its Ethernet
	// header, is larger than Len bytes.
	CheckPktLarger struct {
		Len uint16
		Dst Subfield
	}

	// Conjunction marks a clause of a conjunctive match (ovs-fields(7)).
	Conjunction struct {
		ID     uint32
		Clause uint8 // from 1
		Of     uint8 // number of clauses
	}

	// Learn adds a flow when a packet passes.
	Learn struct {
		Table         uint8
		Priority      uint16
		Cookie        uint64
		IdleTimeout   uint16   // seconds
		HardTimeout   uint16   // seconds
		FinIdle       uint16   // seconds
		FinHard       uint16   // seconds
		Limit         uint32   // flows with the same table and cookie; 0: none
		LimitResult   Subfield // if its Field is set, this bit is written: 0 if Limit was reached, else 1
		SendFlowRem   bool
		DeleteLearned bool
		Specs         []LearnSpec
	}

	// Opaque is an action unknown to package ofp, as bytes. It occurs only in flows
	// decoded from a switch.
	Opaque struct{ Raw string }
)

// LearnSpec is one part of a learned flow: a match on Dst, a load into Dst, or
// an output to the port in Src. The bits come from Src if its Field is set, else
// from Value.
type LearnSpec struct {
	Kind  LearnKind
	Src   Subfield
	Value Bits
	Dst   Subfield // not for LearnOutput
}

// LearnKind is what a LearnSpec adds to the learned flow.
type LearnKind uint8

// Kinds of LearnSpec.
const (
	LearnMatch LearnKind = iota
	LearnLoad
	LearnOutput
)

// PacketInReason is why a packet came to the controller (OpenFlow 1.5, 7.4.1).
type PacketInReason uint8

// Reasons. ReasonAction is the reason of ToController.
const (
	ReasonTableMiss PacketInReason = iota
	ReasonAction
	ReasonInvalidTTL
	ReasonActionSet
	ReasonGroup
	ReasonPacketOut
)

// Instructions, listed among a flow's actions.
type (
	// Goto continues in a later table; it is the last of a flow's actions.
	Goto struct{ Table uint8 }

	// WriteMetadata writes Value under Mask into the metadata field.
	WriteMetadata struct{ Value, Mask uint64 }

	// ApplyMeter passes the packet through a meter. ovs-ofctl accepts it only as the
	// first action, the switch anywhere.
	ApplyMeter struct{ ID uint32 }

	// ClearActions empties the action set.
	ClearActions struct{}

	// WriteActions merges into the action set.
	WriteActions struct{ Actions []Action }

	// OpaqueInstruction is an instruction unknown to package ofp, as bytes. It occurs
	// only in flows decoded from a switch, after all others.
	OpaqueInstruction struct{ Raw string }
)
