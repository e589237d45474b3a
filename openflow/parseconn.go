// Parsing of tracked connections from ovs-dpctl's text.

package openflow

import (
	"fmt"
	"net/netip"
	"strings"
)

// connProtocols are the names of ct_dpif_format_ipproto, which writes others as
// numbers.
var connProtocols = map[string]uint8{
	"icmp": 1, "igmp": 2, "tcp": 6, "udp": 17, "dccp": 33, "icmpv6": 58, "sctp": 132, "udplite": 136,
}

// ParseConnection reads a line that "ovs-appctl dpctl/dump-conntrack" prints, such
// as
//
//	tcp,orig=(src=10.0.0.2,dst=192.0.2.8,sport=40000,dport=80),reply=(src=192.0.2.8,dst=198.51.100.7,sport=80,dport=40000),zone=3,protoinfo=(state=ESTABLISHED)
//
// and returns the one connection that it is about. Both tuples are complete. What a
// Connections cannot hold, such as a mark, is left out. The error names the part
// that is wrong.
func ParseConnection(line string) (Connections, error) {
	c, err := parseConnection(line)
	if err != nil {
		return Connections{}, fmt.Errorf("openflow: connection %q: %w", line, err)
	}
	return c, nil
}

func parseConnection(line string) (Connections, error) {
	words, err := splitWords(line)
	if err != nil {
		return Connections{}, err
	}
	var c Connections
	if len(words) == 0 {
		return c, fmt.Errorf("it is empty")
	}
	proto, known := connProtocols[words[0]]
	if !known {
		n, err := parseUint(words[0], 8)
		if err != nil {
			return c, fmt.Errorf("protocol %q is unknown", words[0])
		}
		proto = uint8(n)
	}
	for _, w := range words[1:] {
		name, value, _ := strings.Cut(w, "=")
		switch name {
		case "orig":
			c.Orig, err = parseTuple(proto, value)
		case "reply":
			c.Reply, err = parseTuple(proto, value)
		case "zone":
			var n uint64
			n, err = parseUint(value, 16)
			c.Zone = uint16(n)
		}
		if err != nil {
			return c, fmt.Errorf("%s: %w", name, err)
		}
	}
	for _, t := range []Tuple{c.Orig, c.Reply} {
		if !t.Src.IsValid() || !t.Dst.IsValid() {
			return c, fmt.Errorf("a direction has no addresses")
		}
	}
	return c, nil
}

func parseTuple(proto uint8, text string) (Tuple, error) {
	inner, ok := strings.CutPrefix(text, "(")
	inner, ok2 := strings.CutSuffix(inner, ")")
	if !ok || !ok2 {
		return Tuple{}, fmt.Errorf("%q is not in parentheses", text)
	}
	t := Tuple{Proto: proto}
	for w := range strings.SplitSeq(inner, ",") {
		name, value, _ := strings.Cut(w, "=")
		var err error
		var n uint64
		switch name {
		case "src":
			t.Src, err = netip.ParseAddr(value)
		case "dst":
			t.Dst, err = netip.ParseAddr(value)
		case "sport":
			n, err = parseUint(value, 16)
			t.SrcPort = uint16(n)
		case "dport":
			n, err = parseUint(value, 16)
			t.DstPort = uint16(n)
		case "id":
			n, err = parseUint(value, 16)
			t.ICMPID = uint16(n)
		case "type":
			n, err = parseUint(value, 8)
			t.ICMPType = uint8(n)
		case "code":
			n, err = parseUint(value, 8)
			t.ICMPCode = uint8(n)
		default:
			err = fmt.Errorf("%q is unknown", name)
		}
		if err != nil {
			return Tuple{}, err
		}
	}
	return t, nil
}
