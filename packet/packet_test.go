package packet

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/ovloom/ovloom/intent"
)

var (
	host   = intent.MAC{2, 0, 0, 0, 0, 5}
	router = intent.MAC{0x0e, 0x0f, 0x0f, 0x0f, 0x0f, 1}
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// udp4 returns an IPv4 packet with size bytes after its header.
func udp4(flags uint16, size int) []byte {
	b := appendEthernet(nil, router, host, typeIPv4)
	b = appendIPv4(b, addr("10.0.0.5"), addr("10.0.1.7"), 17, 0, 64, size)
	be.PutUint16(b[ethernetSize+6:], flags)
	for i := range size {
		b = append(b, byte(i), byte(i>>8))[:len(b)+1]
	}
	return b
}

func icmp(kind byte) []byte {
	b := appendEthernet(nil, router, host, typeIPv4)
	return append(appendIPv4(b, addr("10.0.0.5"), addr("10.0.1.7"), protoICMP, 0, 64, 8), kind, 0, 0, 0, 0, 0, 0, 0)
}

func udp6(proto byte, payload ...byte) []byte {
	b := appendEthernet(nil, router, host, typeIPv6)
	return append(appendIPv6(b, addr("fd00::5"), addr("fd01::7"), proto, 64, len(payload)), payload...)
}

func from4(src string) []byte {
	b := udp4(0, 8)
	copy(b[ethernetSize+12:], addr(src).AsSlice())
	return b
}

func TestErrors(t *testing.T) {
	for _, c := range []struct {
		name    string
		frame   []byte
		problem Problem
		mtu     int
		from    string
		want    []byte // type, code and the four bytes after the checksum
	}{
		{"expired", udp4(0, 8), Expired, 0, "10.0.0.1", []byte{11, 0, 0, 0, 0, 0}},
		{"too big", udp4(0x4000, 1400), TooBig, 1300, "10.0.0.1", []byte{3, 4, 0, 0, 5, 20}},
		{"nobody there", icmp(8), HostUnreachable, 0, "10.0.0.1", []byte{3, 1, 0, 0, 0, 0}},
		{"first fragment", udp4(0x2000, 800), NoRoute, 0, "10.0.0.1", []byte{3, 0, 0, 0, 0, 0}},
		{"expired, IPv6", udp6(17, make([]byte, 8)...), Expired, 0, "fd00::1", []byte{3, 0, 0, 0, 0, 0}},
		{"too big, IPv6", udp6(17, make([]byte, 1400)...), TooBig, 1300, "fd00::1", []byte{2, 0, 0, 0, 5, 20}},
		{"no port, IPv6", udp6(17, make([]byte, 8)...), NoPort, 0, "fd00::1", []byte{1, 4, 0, 0, 0, 0}},
		{"host unreachable, ping of IPv6", udp6(protoICMPv6, 128, 0), HostUnreachable, 0, "fd00::1", []byte{1, 3, 0, 0, 0, 0}},
		{"behind options, IPv6", udp6(60, 17, 0, 1, 4, 0, 0, 0, 0, 1, 2), NoRoute, 0, "fd00::1", []byte{1, 0, 0, 0, 0, 0}},

		{"an error", icmp(3), Expired, 0, "10.0.0.1", nil},
		{"an unknown type", icmp(44), Expired, 0, "10.0.0.1", nil},
		{"a later fragment", udp4(0x2010, 800), Expired, 0, "10.0.0.1", nil},
		{"from nobody", from4("0.0.0.0"), Expired, 0, "10.0.0.1", nil},
		{"from a group", from4("224.0.0.1"), Expired, 0, "10.0.0.1", nil},
		{"from all", from4("255.255.255.255"), Expired, 0, "10.0.0.1", nil},
		{"an error of IPv6", udp6(protoICMPv6, 1, 0), Expired, 0, "fd00::1", nil},
		{"an error behind options, IPv6", udp6(60, protoICMPv6, 0, 1, 4, 0, 0, 0, 0, 1, 0), Expired, 0, "fd00::1", nil},
		{"a redirect of IPv6", udp6(protoICMPv6, 137, 0), Expired, 0, "fd00::1", nil},
		{"a later fragment of IPv6", udp6(44, 17, 0, 1, 0, 0, 0, 0, 1), Expired, 0, "fd00::1", nil},
		{"no gateway of its family", udp4(0, 8), Expired, 0, "fd00::1", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := ParseIP(c.frame)
			if err != nil {
				t.Fatal(err)
			}
			got := p.Error(c.problem, c.mtu, router, addr(c.from))
			if c.want == nil {
				if got != nil {
					t.Fatalf("an error is sent: %x", got)
				}
				return
			}
			e, err := ParseIP(got)
			if err != nil {
				t.Fatal(err)
			}
			if e.EthSrc != router || e.EthDst != host || e.Src != addr(c.from) || e.Dst != p.Src {
				t.Errorf("it goes from %s %s to %s %s", e.EthSrc, e.Src, e.EthDst, e.Dst)
			}
			head, rest := e.payload[:8], e.payload[8:]
			if said := append(head[:2:2], head[4:]...); !bytes.Equal(said, c.want) {
				t.Errorf("it says %v, want %v", said, c.want)
			}
			if !bytes.HasPrefix(p.packet, rest) || len(rest) < 28 && len(rest) < len(p.packet) {
				t.Errorf("it quotes %x of %x", rest, p.packet)
			}
			s := uint32(0)
			if e.Src.Is6() {
				s = pseudo(e.Src, e.Dst, len(e.payload))
			} else if Checksum(0, e.packet[:ipv4Size]) != 0 {
				t.Error("the header's checksum is wrong")
			}
			if Checksum(s, e.payload) != 0 {
				t.Error("the checksum is wrong")
			}
			if most := map[bool]int{true: errorMax4, false: errorMax6}[e.Src.Is4()]; len(e.packet) > most {
				t.Errorf("it has %d bytes", len(e.packet))
			}
		})
	}
}

func TestFragments(t *testing.T) {
	for _, c := range []struct {
		name  string
		frame []byte
		mtu   int
		sizes []int // of packets
	}{
		{"in two", udp4(0, 1430), 1300, []int{740, 730}},
		{"in three", udp4(0, 3000), 1300, []int{1020, 1020, 1020}},
		{"fits", udp4(0, 100), 1300, []int{120}},
		{"of a fragment that is not the last", udp4(0x2000|100, 1432), 1300, []int{740, 732}},
		{"just too large", udp4(0x2000, 1528), 1500, []int{788, 780}},
		{"full to the last byte, which is no whole word", udp4(0, 1282), 1302, []int{1302}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := ParseIP(c.frame)
			if err != nil {
				t.Fatal(err)
			}
			frames, err := p.Fragments(c.mtu)
			if err != nil || len(frames) != len(c.sizes) {
				t.Fatalf("%d fragments, %v", len(frames), err)
			}
			first := be.Uint16(p.packet[6:])
			var whole []byte
			for i, f := range frames {
				q, err := ParseIP(f)
				if err != nil || len(q.packet) != c.sizes[i] || q.EthDst != p.EthDst || q.Src != p.Src || Checksum(0, q.packet[:ipv4Size]) != 0 {
					t.Fatalf("fragment %d: %d bytes, %v: %x", i, len(q.packet), err, f)
				}
				flags := be.Uint16(q.packet[6:])
				if int(flags&0x1fff) != int(first&0x1fff)+len(whole)/8 {
					t.Errorf("fragment %d is said to be at %d", i, flags&0x1fff)
				}
				if more := flags&0x2000 != 0; more != (i < len(frames)-1 || first&0x2000 != 0) {
					t.Errorf("fragment %d: more follow: %v", i, more)
				}
				whole = append(whole, q.payload...)
			}
			if !bytes.Equal(whole, p.payload) {
				t.Error("reassembled, the fragments differ from the packet")
			}
		})
	}
	for name, frame := range map[string][]byte{
		"must not be": udp4(0x4000, 1430),
		"cut off":     udp4(0, 1430)[:1000],
		"IPv6":        udp6(17, make([]byte, 1400)...),
	} {
		p, err := ParseIP(frame)
		if err != nil {
			t.Fatal(err)
		}
		if frames, err := p.Fragments(1300); err == nil {
			t.Errorf("%s: %d fragments", name, len(frames))
		}
	}
}

func TestNeighbours(t *testing.T) {
	own := addr("fe80::c0f:fff:fe0f:f01")
	for _, c := range []struct {
		name  string
		frame []byte
		want  Neighbour
	}{
		{"probe", Ask(router, addr("0.0.0.0"), addr("10.0.0.5")), Neighbour{false, router, addr("0.0.0.0"), addr("10.0.0.5")}},
		{"question", Ask(router, addr("10.0.0.1"), addr("10.0.0.5")), Neighbour{false, router, addr("10.0.0.1"), addr("10.0.0.5")}},
		{"question of IPv6", Ask(router, netip.Addr{}, addr("fd00::5")), Neighbour{false, router, own, addr("fd00::5")}},
		{"announcement", Announce(router, addr("10.0.0.1")), Neighbour{false, router, addr("10.0.0.1"), addr("10.0.0.1")}},
		{"advertisement", Advertise(host, addr("fd00::5")), Neighbour{true, host, addr("fd00::5"), addr("fd00::5")}},
		{"announcement of IPv6", Announce(router, addr("fd00::1")), Neighbour{true, router, addr("fd00::1"), addr("fd00::1")}},
		{"ARP reply", arp(router, host, arpReply, addr("10.0.0.5"), router, addr("10.0.0.1")), Neighbour{true, host, addr("10.0.0.5"), addr("10.0.0.5")}},
		{"answer of IPv6", Neighbour{MAC: host, Sender: addr("fd00::5"), Target: addr("fd00::1")}.Answer6(router),
			Neighbour{true, router, addr("fd00::1"), addr("fd00::1")}},
	} {
		got, err := ParseNeighbour(c.frame)
		if err != nil || got != c.want {
			t.Errorf("%s: %+v, %v, want %+v", c.name, got, err, c.want)
		}
		if p, err := ParseIP(c.frame); err == nil && Checksum(pseudo(p.Src, p.Dst, len(p.payload)), p.payload) != 0 {
			t.Errorf("%s: its checksum is wrong", c.name)
		}
	}
	if _, err := ParseNeighbour(udp4(0, 8)); err == nil {
		t.Error("a UDP packet is taken for a question")
	}
}

// For any input: no panic, all output can be decoded, and no error is answered by an error.
func FuzzFrame(f *testing.F) {
	for _, frame := range [][]byte{nil, udp4(0, 1400), icmp(8), icmp(3), udp6(60, 17, 0, 1, 4, 0, 0, 0, 0, 1, 2), udp6(44, 17, 0, 1, 0, 0, 0, 0, 1),
		Ask(router, addr("0.0.0.0"), addr("10.0.0.5")), Ask(router, netip.Addr{}, addr("fd00::5"))} {
		f.Add(frame, 1300)
	}
	f.Fuzz(func(t *testing.T, frame []byte, mtu int) {
		if n, err := ParseNeighbour(frame); err == nil && n.Target.Is6() {
			if _, err := ParseNeighbour(n.Answer6(router)); err != nil {
				t.Error(err)
			}
		}
		p, err := ParseIP(frame)
		if err != nil {
			return
		}
		gateway := addr("10.0.0.1")
		if p.Src.Is6() {
			gateway = addr("fd00::1")
		}
		for _, what := range []Problem{Expired, TooBig, NoPort} {
			e := p.Error(what, mtu, router, gateway)
			if e == nil {
				continue
			}
			q, err := ParseIP(e)
			if err != nil {
				t.Fatalf("%v: %x", err, e)
			}
			if again := q.Error(what, mtu, router, gateway); again != nil {
				t.Fatalf("an error about an error: %x", again)
			}
		}
		frames, err := p.Fragments(mtu)
		if err != nil {
			return
		}
		size := 0
		for _, x := range frames {
			q, err := ParseIP(x)
			if err != nil || len(q.packet) > mtu {
				t.Fatalf("%v: %x", err, x)
			}
			size += len(q.payload)
		}
		if size != len(p.payload) {
			t.Fatalf("%d bytes were cut in pieces of %d together", len(p.payload), size)
		}
	})
}
