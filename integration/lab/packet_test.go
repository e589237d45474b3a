package lab

import (
	"net/netip"
	"testing"

	"github.com/ovloom/ovloom/intent"
)

var (
	macA  = intent.MAC{2, 0, 0, 0, 0, 0xa}
	macB  = intent.MAC{2, 0, 0, 0, 0, 0xb}
	addrA = netip.MustParseAddr("10.0.0.1")
	addrB = netip.MustParseAddr("10.0.0.2")
	ip6A  = netip.MustParseAddr("fd00::a")
	ip6B  = netip.MustParseAddr("fd00::b")
)

// vxlan wraps a frame as a VTEP does.
func vxlan(vni uint32, frame []byte) []byte {
	payload := append([]byte{8, 0, 0, 0, byte(vni >> 16), byte(vni >> 8), byte(vni), 0}, frame...)
	udp := UDP(netip.AddrPortFrom(addrA, 1234), netip.AddrPortFrom(addrB, VXLANPort), payload)
	return IPFrame(macA, macB, addrA, addrB, ProtoUDP, 64, udp)
}

func TestDecode(t *testing.T) {
	arp := ARP{Op: 1, SHA: macA, SPA: addrA, TPA: addrB}.Frame(macA, Broadcast)
	solicitation := IPFrame(macA, macB, ip6A, ip6B, ProtoICMPv6, 255, ICMPv6(ip6A, ip6B, ICMPv6NeighbourSol, ND(0, ip6B, 1, macA)))
	for _, c := range []struct {
		name  string
		frame []byte
		want  string
	}{
		{"nothing", nil, "00:00:00:00:00:00>00:00:00:00:00:00 type=0000 len=0"},
		{"an unknown type", Ethernet(macA, macB, 0x88cc, []byte{1}), "02:00:00:00:00:0a>02:00:00:00:00:0b type=88cc len=15"},
		{"ARP", arp,
			"02:00:00:00:00:0a>ff:ff:ff:ff:ff:ff arp op=1 10.0.0.1(02:00:00:00:00:0a)>10.0.0.2(00:00:00:00:00:00) len=42"},
		{"ARP cut short", arp[:40], "02:00:00:00:00:0a>ff:ff:ff:ff:ff:ff type=0806 len=40"},
		{"UDP", IPFrame(macA, macB, addrA, addrB, ProtoUDP, 64, UDP(netip.AddrPortFrom(addrA, 68), netip.AddrPortFrom(addrB, 67), []byte("hi"))),
			"02:00:00:00:00:0a>02:00:00:00:00:0b 10.0.0.1>10.0.0.2 proto=17 ttl=64 ports=68>67 len=44"},
		{"a neighbour solicitation", solicitation,
			"02:00:00:00:00:0a>02:00:00:00:00:0b fd00::a>fd00::b proto=58 ttl=255 icmp=135 target=fd00::b len=86"},
		{"VXLAN", vxlan(5001, arp),
			"02:00:00:00:00:0a>02:00:00:00:00:0b 10.0.0.1>10.0.0.2 proto=17 ttl=64 ports=1234>4789 len=92 vni=5001 [" +
				"02:00:00:00:00:0a>ff:ff:ff:ff:ff:ff arp op=1 10.0.0.1(02:00:00:00:00:0a)>10.0.0.2(00:00:00:00:00:00) len=42]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Decode(c.frame).String(); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestMatches(t *testing.T) {
	arp := ARP{Op: 1, SHA: macA, SPA: addrA, TPA: addrB}.Frame(macA, Broadcast)
	for _, c := range []struct {
		name  string
		match Match
		frame []byte
		want  bool
	}{
		{"ARP", IsARPOrND, arp, true},
		{"a question", IsResolution, arp, true},
		{"an announcement", IsResolution, ARP{Op: 1, SHA: macA, SPA: addrA, TPA: addrA}.Frame(macA, Broadcast), false},
		{"ARP inside a tunnel is not ARP outside", IsARPOrND, vxlan(1, arp), false},
		{"ARP inside its VNI", Inside(1, IsARPOrND), vxlan(1, arp), true},
		{"ARP inside another VNI", Inside(2, IsARPOrND), vxlan(1, arp), false},
		{"ARP inside any VNI", InsideAny(IsARPOrND, To(addrB)), vxlan(7, arp), true},
		{"ARP for another", InsideAny(IsARPOrND, To(addrA)), vxlan(7, arp), false},
		{"everything of everything", All(), arp, true},
		{"a nil match", All(nil), arp, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.match(Decode(c.frame)); got != c.want {
				t.Errorf("got %v for %s", got, Decode(c.frame))
			}
		})
	}
}

// TestChecksums computes the sum over data with its checksum: it is 0 if the checksum is right
// (RFC 1071).
func TestChecksums(t *testing.T) {
	for _, payload := range []string{"", "a", "ab", "abc"} {
		udp := UDP(netip.AddrPortFrom(addrA, 68), netip.AddrPortFrom(addrB, 67), []byte(payload))
		if sum := Checksum(PseudoHeader(addrA, addrB, ProtoUDP, len(udp)), udp); sum != 0 {
			t.Errorf("UDP with %q sums to %04x", payload, sum)
		}
	}
	icmp := ICMPv6(ip6A, ip6B, ICMPv6EchoRequest, []byte{0, 1, 0, 2})
	if sum := Checksum(PseudoHeader(ip6A, ip6B, ProtoICMPv6, len(icmp)), icmp); sum != 0 {
		t.Errorf("ICMPv6 sums to %04x", sum)
	}
	if sum := Checksum(0, IPFrame(macA, macB, addrA, addrB, ProtoUDP, 64, nil)[14:]); sum != 0 {
		t.Errorf("an IPv4 header sums to %04x", sum)
	}
}

func FuzzDecode(f *testing.F) {
	arp := ARP{Op: 2, SHA: macA, SPA: addrA, THA: macB, TPA: addrB}.Frame(macA, macB)
	f.Add(arp)
	f.Add(vxlan(5001, vxlan(1, arp)))
	f.Add(IPFrame(macA, macB, ip6A, ip6B, ProtoICMPv6, 255, ICMPv6(ip6A, ip6B, ICMPv6NeighbourAdv, ND(0x60, ip6B, 2, macB))))
	f.Fuzz(func(t *testing.T, frame []byte) {
		if p := Decode(frame); p.Len != len(frame) || p.String() == "" {
			t.Errorf("of %d bytes: %s", len(frame), p)
		}
	})
}
