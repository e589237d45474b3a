package openflow

import (
	"net/netip"
	"strings"
	"testing"
)

func TestParseConnection(t *testing.T) {
	a, b, outside := netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("198.51.100.7"), netip.MustParseAddr("192.0.2.8")
	for _, c := range []struct {
		name, line string
		want       Connections
	}{
		{"TCP, translated",
			"tcp,orig=(src=10.0.0.2,dst=192.0.2.8,sport=40000,dport=80),reply=(src=192.0.2.8,dst=198.51.100.7,sport=80,dport=40001),zone=3,mark=7,labels=0x1,protoinfo=(state=ESTABLISHED)",
			Connections{3, Tuple{Src: a, Dst: outside, Proto: 6, SrcPort: 40000, DstPort: 80}, Tuple{Src: outside, Dst: b, Proto: 6, SrcPort: 80, DstPort: 40001}}},
		{"a ping",
			"icmp,orig=(src=10.0.0.2,dst=192.0.2.8,id=5,type=8,code=0),reply=(src=192.0.2.8,dst=10.0.0.2,id=5,type=0,code=0),zone=3",
			Connections{3, Tuple{Src: a, Dst: outside, Proto: 1, ICMPID: 5, ICMPType: 8}, Tuple{Src: outside, Dst: a, Proto: 1, ICMPID: 5}}},
		{"a protocol without a name, in the zone of nobody",
			"47,orig=(src=10.0.0.2,dst=192.0.2.8),reply=(src=192.0.2.8,dst=10.0.0.2)",
			Connections{0, Tuple{Src: a, Dst: outside, Proto: 47}, Tuple{Src: outside, Dst: a, Proto: 47}}},
	} {
		got, err := ParseConnection(c.line)
		if err != nil || got != c.want {
			t.Errorf("%s: got %+v, %v\nwant %+v", c.name, got, err, c.want)
		}
	}
	for line, want := range map[string]string{
		"":                   "is empty",
		"quic,orig=(src=1)":  `protocol "quic" is unknown`,
		"tcp,zone=3":         "a direction has no addresses",
		"tcp,orig=src=1":     "not in parentheses",
		"udp,orig=(color=3)": `"color" is unknown`,
		"udp,zone=70000":     "zone",
	} {
		if _, err := ParseConnection(line); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", line, err, want)
		}
	}
}

func FuzzParseConnection(f *testing.F) {
	f.Add("tcp,orig=(src=10.0.0.2,dst=192.0.2.8,sport=40000,dport=80),reply=(src=192.0.2.8,dst=198.51.100.7,sport=80,dport=40001),zone=3")
	f.Add("icmpv6,orig=(src=::1,dst=::2,id=5,type=8,code=0),reply=(src=::2,dst=::1,id=5,type=0,code=0)")
	f.Fuzz(func(t *testing.T, line string) {
		c, err := ParseConnection(line)
		if err == nil && (!c.Orig.Src.IsValid() || c.Orig.Proto != c.Reply.Proto) {
			t.Errorf("%+v", c)
		}
	})
}
