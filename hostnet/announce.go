package hostnet

// Telling the neighbours that addresses have moved to another MAC. Until they hear
// of it they send to the old one, for IPv6 up to 45 s.

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Announce sends out of the interface, for each of the addresses, an ARP
// announcement (RFC 5227, section 3) or an unsolicited neighbour advertisement (RFC
// 4861, section 7.2.6) with the interface's MAC.
func Announce(link string, addrs []netip.Addr) error {
	l, err := mustLink(link)
	if err != nil {
		return err
	}
	mac := l.Attrs().HardwareAddr
	if len(mac) != 6 {
		return fmt.Errorf("announce addresses of %s: it has no Ethernet address", link)
	}
	// Protocol 0: the socket only sends.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("announce addresses of %s: %w", link, err)
	}
	defer unix.Close(fd)
	var failed []error
	for _, a := range addrs {
		frame := arpAnnouncement(mac, a)
		if a.Is6() {
			frame = neighbourAdvertisement(mac, a)
		}
		if err := unix.Sendto(fd, frame, unix.MSG_DONTWAIT, &unix.SockaddrLinklayer{Ifindex: l.Attrs().Index}); err != nil {
			failed = append(failed, fmt.Errorf("announce %s on %s: %w", a, link, err))
		}
	}
	return errors.Join(failed...)
}

// arpAnnouncement returns the Ethernet frame by which mac asks everyone for its own
// address.
func arpAnnouncement(mac net.HardwareAddr, a netip.Addr) []byte {
	f := ethernet(net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, mac, unix.ETH_P_ARP)
	f = append(f, 0, 1, 8, 0, 6, 4, 0, 1) // Ethernet, IPv4, lengths 6 and 4, request
	f = append(append(f, mac...), a.AsSlice()...)
	return append(append(f, 0, 0, 0, 0, 0, 0), a.AsSlice()...)
}

// neighbourAdvertisement returns the Ethernet frame by which mac tells all nodes
// that an address is its own, over what they believed.
func neighbourAdvertisement(mac net.HardwareAddr, a netip.Addr) []byte {
	const (
		override   = 0x20
		icmpv6     = 58
		adverts    = 136
		targetLLA  = 2
		bodyLength = 32
	)
	allNodes := netip.MustParseAddr("ff02::1")
	body := append([]byte{adverts, 0, 0, 0, override, 0, 0, 0}, a.AsSlice()...)
	body = append(append(body, targetLLA, 1), mac...)
	pseudo := append(append(a.AsSlice(), allNodes.AsSlice()...), 0, 0, 0, bodyLength, 0, 0, 0, icmpv6)
	binary.BigEndian.PutUint16(body[2:], checksum(append(pseudo, body...)))

	f := ethernet(net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}, mac, unix.ETH_P_IPV6)
	f = append(f, 0x60, 0, 0, 0, 0, bodyLength, icmpv6, 255) // hop limit 255, or it is ignored
	f = append(append(f, a.AsSlice()...), allNodes.AsSlice()...)
	return append(f, body...)
}

func ethernet(dst, src net.HardwareAddr, etherType uint16) []byte {
	return binary.BigEndian.AppendUint16(append(append([]byte{}, dst...), src...), etherType)
}

// checksum is the internet checksum (RFC 1071) of an even number of bytes.
func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
