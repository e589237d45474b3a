// The text of actions and instructions, as ovs-ofctl prints them (ovs-actions(7)).

package openflow

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
)

// appendActions appends a list of actions; an empty one is drop.
func appendActions(b []byte, actions []Action) []byte {
	if len(actions) == 0 {
		return append(b, "drop"...)
	}
	for i, a := range actions {
		if i > 0 {
			b = append(b, ',')
		}
		if a == nil {
			b = append(b, "<nil>"...)
			continue
		}
		b = a.appendText(b)
	}
	return b
}

// ActionsString returns actions as ovs-ofctl prints them after actions=.
func ActionsString(actions []Action) string { return string(appendActions(nil, actions)) }

func (a Output) appendText(b []byte) []byte {
	if a.Port == PortController {
		return append(b, "CONTROLLER:65535"...)
	}
	if a.Port < portUnset {
		b = append(b, "output:"...)
	}
	return a.Port.appendText(b)
}

func (a OutputReg) appendText(b []byte) []byte {
	return a.Src.appendText(append(b, "output:"...))
}

func (a ToGroup) appendText(b []byte) []byte { return appendUint(b, "group:", uint64(a.ID)) }

func (a ToController) appendText(b []byte) []byte {
	reason := a.Reason
	if reason == ReasonTableMiss {
		reason = ReasonAction
	}
	if reason == ReasonAction && a.ID == 0 && a.Userdata == "" && !a.Pause && a.MeterID == 0 {
		return appendUint(b, "CONTROLLER:", uint64(a.MaxLen))
	}
	l := openList(b, "controller(")
	if reason != ReasonAction {
		l.b = append(l.next(), "reason="...)
		l.b = reason.appendText(l.b)
	}
	if a.MaxLen != 0xffff {
		l.b = appendUint(l.next(), "max_len=", uint64(a.MaxLen))
	}
	if a.ID != 0 {
		l.b = appendUint(l.next(), "id=", uint64(a.ID))
	}
	if a.Userdata != "" {
		l.b = append(l.next(), "userdata="...)
		for i := range len(a.Userdata) {
			if i > 0 {
				l.b = append(l.b, '.')
			}
			l.b = hex.AppendEncode(l.b, []byte{a.Userdata[i]})
		}
	}
	if a.Pause {
		l.b = append(l.next(), "pause"...)
	}
	if a.MeterID != 0 {
		l.b = appendUint(l.next(), "meter_id=", uint64(a.MeterID))
	}
	return append(l.b, ')')
}

// reasonNames are ovs-ofctl's names of packet-in reasons.
var reasonNames = [...]string{"no_match", "action", "invalid_ttl", "action_set", "group", "packet_out"}

// String returns ovs-ofctl's name of the reason.
func (r PacketInReason) String() string { return string(r.appendText(nil)) }

func (r PacketInReason) appendText(b []byte) []byte {
	if int(r) < len(reasonNames) {
		return append(b, reasonNames[r]...)
	}
	return strconv.AppendUint(b, uint64(r), 10)
}

func (a SetField) appendText(b []byte) []byte {
	b = append(b, "set_field:"...)
	b = appendValue(b, a.Field, a.Value, a.Mask)
	b = append(b, "->"...)
	if a.Field == FieldInPort {
		return append(b, "in_port"...) // the settable in_port
	}
	return append(b, a.Field.String()...)
}

func (a CopyField) appendText(b []byte) []byte {
	b = a.Src.appendText(append(b, "move:"...))
	return a.Dst.appendText(append(b, "->"...))
}

func (a Push) appendText(b []byte) []byte { return a.Src.appendText(append(b, "push:"...)) }

func (a Pop) appendText(b []byte) []byte { return a.Dst.appendText(append(b, "pop:"...)) }

func (a PushVLAN) appendText(b []byte) []byte { return fmt.Appendf(b, "push_vlan:0x%04x", a.EtherType) }

func (PopVLAN) appendText(b []byte) []byte { return append(b, "pop_vlan"...) }

func (DecTTL) appendText(b []byte) []byte { return append(b, "dec_ttl"...) }

func (a Resubmit) appendText(b []byte) []byte {
	port := a.InPort
	if port == 0 {
		port = PortInPort
	}
	if port != PortInPort && a.Table == TableAll && !a.CT {
		return port.appendText(append(b, "resubmit:"...))
	}
	b = append(b, "resubmit("...)
	if port != PortInPort {
		b = port.appendText(b)
	}
	b = append(b, ',')
	if a.Table != TableAll {
		b = strconv.AppendUint(b, uint64(a.Table), 10)
	}
	if a.CT {
		b = append(b, ",ct"...)
	}
	return append(b, ')')
}

func (a CT) appendText(b []byte) []byte {
	l := openList(b, "ct(")
	if a.Commit {
		l.b = append(l.next(), "commit"...)
	}
	if a.Force {
		l.b = append(l.next(), "force"...)
	}
	if a.Table != TableAll {
		l.b = appendUint(l.next(), "table=", uint64(a.Table))
	}
	switch {
	case a.ZoneSrc.Field != FieldNone:
		l.b = a.ZoneSrc.appendText(append(l.next(), "zone="...))
	case a.Zone != 0:
		l.b = appendUint(l.next(), "zone=", uint64(a.Zone))
	}
	rest := a.Actions
	if len(rest) > 0 {
		if nat, ok := rest[0].(NAT); ok {
			l.b = nat.appendText(l.next())
			rest = rest[1:]
		}
	}
	if len(rest) > 0 {
		l.b = appendActions(append(l.next(), "exec("...), rest)
		l.b = append(l.b, ')')
	}
	switch a.ALG {
	case 0:
	case 21:
		l.b = append(l.next(), "alg=ftp"...)
	case 69:
		l.b = append(l.next(), "alg=tftp"...)
	default:
		l.b = appendUint(l.next(), "alg=", uint64(a.ALG))
	}
	return append(l.b, ')')
}

func (a NAT) appendText(b []byte) []byte {
	b = append(b, "nat"...)
	if !a.Src && !a.Dst {
		return b
	}
	if a.Src {
		b = append(b, "(src"...)
	} else {
		b = append(b, "(dst"...)
	}
	if a.AddrMin.IsValid() {
		b = a.appendAddr(append(b, '='), a.AddrMin)
		if a.AddrMax.IsValid() && a.AddrMax != a.AddrMin {
			b = a.appendAddr(append(b, '-'), a.AddrMax)
		}
		if a.PortMin != 0 {
			b = appendUint(b, ":", uint64(a.PortMin))
			if a.PortMax != 0 && a.PortMax != a.PortMin {
				b = appendUint(b, "-", uint64(a.PortMax))
			}
		}
	}
	if a.Persistent {
		b = append(b, ",persistent"...)
	}
	if a.Hash {
		b = append(b, ",hash"...)
	}
	if a.Random {
		b = append(b, ",random"...)
	}
	return append(b, ')')
}

// appendAddr appends an address of the range, in brackets where a port follows an
// IPv6 address.
func (a NAT) appendAddr(b []byte, addr netip.Addr) []byte {
	if addr.Is4() {
		return appendAddr(b, BitsOfAddr(addr), 32)
	}
	if a.PortMin == 0 {
		return appendAddr(b, BitsOfAddr(addr), 128)
	}
	b = appendAddr(append(b, '['), BitsOfAddr(addr), 128)
	return append(b, ']')
}

func (CTClear) appendText(b []byte) []byte { return append(b, "ct_clear"...) }

func (a CheckPktLarger) appendText(b []byte) []byte {
	b = appendUint(b, "check_pkt_larger(", uint64(a.Len))
	return a.Dst.appendText(append(b, ")->"...))
}

func (a Conjunction) appendText(b []byte) []byte {
	b = appendUint(b, "conjunction(", uint64(a.ID))
	b = appendUint(b, ",", uint64(a.Clause))
	b = appendUint(b, "/", uint64(a.Of))
	return append(b, ')')
}

func (a Learn) appendText(b []byte) []byte {
	b = appendUint(b, "learn(table=", uint64(a.Table))
	if a.IdleTimeout != 0 {
		b = appendUint(b, ",idle_timeout=", uint64(a.IdleTimeout))
	}
	if a.HardTimeout != 0 {
		b = appendUint(b, ",hard_timeout=", uint64(a.HardTimeout))
	}
	if a.FinIdle != 0 {
		b = appendUint(b, ",fin_idle_timeout=", uint64(a.FinIdle))
	}
	if a.FinHard != 0 {
		b = appendUint(b, ",fin_hard_timeout=", uint64(a.FinHard))
	}
	if a.Priority != defaultPriority {
		b = appendUint(b, ",priority=", uint64(a.Priority))
	}
	if a.SendFlowRem {
		b = append(b, ",send_flow_rem"...)
	}
	if a.DeleteLearned {
		b = append(b, ",delete_learned"...)
	}
	if a.Cookie != 0 {
		b = appendHex(append(b, ",cookie="...), BitsOf(a.Cookie))
	}
	if a.Limit != 0 {
		b = appendUint(b, ",limit=", uint64(a.Limit))
	}
	if a.LimitResult.Field != FieldNone {
		b = a.LimitResult.appendText(append(b, ",result_dst="...))
	}
	for _, s := range a.Specs {
		b = s.appendText(append(b, ','))
	}
	return append(b, ')')
}

func (s LearnSpec) appendText(b []byte) []byte {
	literal := s.Src.Field == FieldNone
	switch {
	case s.Kind == LearnOutput:
		return s.Src.appendText(append(b, "output:"...))
	case s.Kind == LearnLoad && literal:
		b = appendHex(append(b, "load:"...), s.Value)
		return s.Dst.appendText(append(b, "->"...))
	case s.Kind == LearnLoad:
		b = s.Src.appendText(append(b, "load:"...))
		return s.Dst.appendText(append(b, "->"...))
	case literal && s.Dst.Offset == 0 && int(s.Dst.Width) == s.Dst.Field.Width():
		b = append(b, s.Dst.Field.String()...)
		return appendValue(append(b, '='), s.Dst.Field, s.Value, s.Dst.Field.mask())
	case literal:
		b = s.Dst.appendText(b)
		return appendHex(append(b, '='), s.Value)
	case s.Src.Field == s.Dst.Field && s.Src.Offset == s.Dst.Offset:
		return s.Dst.appendText(b)
	}
	b = s.Dst.appendText(b)
	return s.Src.appendText(append(b, '='))
}

func (a Opaque) appendText(b []byte) []byte {
	return hex.AppendEncode(append(b, "opaque:"...), []byte(a.Raw))
}

func (a Goto) appendText(b []byte) []byte { return appendUint(b, "goto_table:", uint64(a.Table)) }

func (a WriteMetadata) appendText(b []byte) []byte {
	b = appendHex(append(b, "write_metadata:"...), BitsOf(a.Value))
	if a.Mask != ^uint64(0) {
		b = appendHex(append(b, '/'), BitsOf(a.Mask))
	}
	return b
}

func (a ApplyMeter) appendText(b []byte) []byte { return appendUint(b, "meter:", uint64(a.ID)) }

func (ClearActions) appendText(b []byte) []byte { return append(b, "clear_actions"...) }

func (a WriteActions) appendText(b []byte) []byte {
	b = appendActions(append(b, "write_actions("...), a.Actions)
	return append(b, ')')
}

func (a OpaqueInstruction) appendText(b []byte) []byte {
	return hex.AppendEncode(append(b, "opaque_instruction:"...), []byte(a.Raw))
}

// argList appends arguments separated by commas.
type argList struct {
	b     []byte
	start int
}

// openList starts a list of arguments with what comes before the first.
func openList(b []byte, open string) argList {
	b = append(b, open...)
	return argList{b: b, start: len(b)}
}

// next returns the text so far, ready for one more argument.
func (l *argList) next() []byte {
	if len(l.b) > l.start {
		l.b = append(l.b, ',')
	}
	return l.b
}

// appendUint appends a label and a decimal number.
func appendUint(b []byte, label string, v uint64) []byte {
	return strconv.AppendUint(append(b, label...), v, 10)
}
