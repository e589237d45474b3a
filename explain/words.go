package explain

import (
	"fmt"
	"net/netip"
	"strings"

	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/pipeline"
)

// describePacket describes a packet in a few words.
func describePacket(f fields) string {
	switch f.number(of.FieldEthType) {
	case 0x0806:
		asked, sender := f.addr4(of.FieldARPTPA), f.addr4(of.FieldARPSPA)
		if f.number(of.FieldARPOp) == arpReply {
			return fmt.Sprintf("ARP reply: %s is at %s", sender, f.mac(of.FieldARPSHA))
		}
		return fmt.Sprintf("ARP request of %s: who has %s?", sender, asked)
	case 0x0800:
		return describeIP(f, f.addr4(of.FieldIPSrc), f.addr4(of.FieldIPDst))
	case 0x86dd:
		src, dst := f.get(of.FieldIPv6Src), f.get(of.FieldIPv6Dst)
		return describeIP(f, netip.AddrFrom16(src), netip.AddrFrom16(dst))
	}
	return fmt.Sprintf("frame of type %#04x from %s to %s", f.number(of.FieldEthType), f.mac(of.FieldEthSrc), f.mac(of.FieldEthDst))
}

func describeIP(f fields, src, dst netip.Addr) string {
	ports := func(name string, from, to of.Field) string {
		return fmt.Sprintf("%s from %s to %s", name,
			netip.AddrPortFrom(src, uint16(f.number(from))), netip.AddrPortFrom(dst, uint16(f.number(to))))
	}
	switch f.number(of.FieldIPProto) {
	case 6:
		return ports("TCP", of.FieldTCPSrc, of.FieldTCPDst)
	case 17:
		return ports("UDP", of.FieldUDPSrc, of.FieldUDPDst)
	case 132:
		return ports("SCTP", of.FieldSCTPSrc, of.FieldSCTPDst)
	case 1:
		return fmt.Sprintf("%s from %s to %s", icmpName(f.number(of.FieldICMPType), icmpNames), src, dst)
	case 58:
		kind := f.number(of.FieldICMPv6Type)
		if kind == icmpv6NeighborSol {
			target := f.get(of.FieldNDTarget)
			return fmt.Sprintf("neighbour solicitation of %s: who has %s?", src, netip.AddrFrom16(target))
		}
		return fmt.Sprintf("%s from %s to %s", icmpName(kind, icmpv6Names), src, dst)
	}
	return fmt.Sprintf("IP protocol %d from %s to %s", f.number(of.FieldIPProto), src, dst)
}

// Types of messages (RFC 792, RFC 4443, RFC 4861) by which packets are named.
var (
	icmpNames   = map[uint64]string{0: "ICMP echo reply", 3: "ICMP unreachable", 8: "ICMP echo request", 11: "ICMP time exceeded"}
	icmpv6Names = map[uint64]string{
		1: "ICMPv6 unreachable", 2: "ICMPv6 packet too big", 3: "ICMPv6 time exceeded",
		128: "ICMPv6 echo request", 129: "ICMPv6 echo reply",
		133: "router solicitation", 134: "router advertisement", 135: "neighbour solicitation", 136: "neighbour advertisement",
		137: "redirect",
	}
)

func icmpName(kind uint64, names map[uint64]string) string {
	if name, ok := names[kind]; ok {
		return name
	}
	return fmt.Sprintf("ICMP type %d", kind)
}

// describeActions describes actions in words, for flows without a note.
func describeActions(actions []string) string {
	var words []string
	for _, text := range actions {
		if w := describeAction(text); w != "" {
			words = append(words, w)
		}
	}
	return strings.Join(words, ", ")
}

func describeAction(text string) string {
	if strings.HasPrefix(text, "nat") {
		return "" // the ct before says so
	}
	parsed, err := of.ParseActions(text)
	if err != nil || len(parsed) != 1 {
		return text
	}
	switch a := parsed[0].(type) {
	case of.Goto:
		return "goes on to " + tableName(a.Table)
	case of.Resubmit:
		return "looks into " + tableName(a.Table)
	case of.Output:
		if a.Port == of.PortInPort {
			return "goes back where it came from"
		}
		return fmt.Sprintf("leaves by OpenFlow port %d", a.Port)
	case of.OutputReg:
		return "leaves"
	case of.ToGroup:
		return fmt.Sprintf("goes to group %d", a.ID)
	case of.ToController:
		return "is handed to ovloomd"
	case of.ApplyMeter:
		return fmt.Sprintf("if meter %d lets it", a.ID)
	case of.PushVLAN:
		return "gets a VLAN tag"
	case of.PopVLAN:
		return "loses its outermost VLAN tag"
	case of.DecTTL:
		return "loses one of its TTL"
	case of.CT:
		return describeCT(a)
	case of.CTClear:
		return "is forgotten by connection tracking"
	case of.Learn:
		return "would be learned from"
	case of.SetField, of.CopyField, of.CheckPktLarger:
		return "" // its purpose shows later
	}
	return text
}

func describeCT(a of.CT) string {
	what := "connection tracking"
	if a.Commit {
		what = "connection tracking remembers the connection"
	}
	if a.ZoneSrc.Field == of.FieldNone {
		what += fmt.Sprintf(" in zone %d", a.Zone)
	}
	for _, in := range a.Actions {
		n, ok := in.(of.NAT)
		switch {
		case !ok:
		case n.Src:
			what += ", as coming from " + natAddress(n)
		case n.Dst:
			what += ", as going to " + natAddress(n)
		default:
			what += ", translated as before"
		}
	}
	return what
}

func natAddress(n of.NAT) string {
	if n.PortMin != 0 {
		return netip.AddrPortFrom(n.AddrMin, n.PortMin).String()
	}
	return n.AddrMin.String()
}

// tableName returns the name of a table of the pipeline.
func tableName(id uint8) string {
	if t := pipeline.TableByID(id); t != nil {
		return t.Name
	}
	return fmt.Sprintf("table %d", id)
}
