package explain

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"

	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
)

// tcpState matches the state of a TCP connection in ovs-dpctl dump-conntrack.
var tcpState = regexp.MustCompile(`protoinfo=\(state=([A-Z0-9_]+)`)

// Connections describes the connections in a dump of a tenant's conntrack zone, one a
// line.
func Connections(snap intent.Snapshot, lines []string) ([]intent.Connection, error) {
	names := map[netip.Addr]string{}
	for _, p := range snap.Ports {
		for _, a := range p.Addrs {
			names[a] = p.Ref().String()
		}
	}
	list := []intent.Connection{}
	for _, line := range lines {
		t, err := of.ParseConnection(line)
		if err != nil {
			return nil, err
		}
		source, destination := endpoint(t.Orig.Src, t.Orig.SrcPort), endpoint(t.Orig.Dst, t.Orig.DstPort)
		c := intent.Connection{Protocol: protocolName(t.Orig.Proto), Source: source, Destination: destination}
		if s := endpoint(t.Reply.Dst, t.Reply.DstPort); s != source {
			c.TranslatedSource = s
		}
		if d := endpoint(t.Reply.Src, t.Reply.SrcPort); d != destination {
			c.TranslatedDestination = d
		}
		if m := tcpState.FindStringSubmatch(line); m != nil {
			c.State = m[1]
		}
		for _, a := range []netip.Addr{t.Orig.Src, t.Reply.Src, t.Orig.Dst} {
			if c.Port == "" {
				c.Port = names[a]
			}
		}
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b intent.Connection) int {
		if c := intent.Natural(a.Port, b.Port); c != 0 {
			return c
		}
		return intent.Natural(fmt.Sprint(a), fmt.Sprint(b))
	})
	return list, nil
}

func endpoint(a netip.Addr, port uint16) string {
	if port == 0 {
		return a.String()
	}
	return netip.AddrPortFrom(a, port).String()
}

func protocolName(n uint8) string {
	for _, p := range []intent.Protocol{intent.TCP, intent.UDP, intent.SCTP} {
		if p.Number() == n {
			return string(p)
		}
	}
	if n == 1 {
		return "icmp"
	}
	return strconv.Itoa(int(n))
}
