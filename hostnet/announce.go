package hostnet

// Announcing addresses that have moved to another MAC. Until neighbours learn of it
// they send to the old one, for IPv6 up to 45 s.

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/packet"
)

// Announce sends out of the interface, for each of the addresses, an ARP
// announcement (RFC 5227, section 3) or an unsolicited neighbour advertisement (RFC
// 4861, section 7.2.6) with the interface's MAC.
func Announce(link string, addrs []netip.Addr) error {
	l, err := mustLink(link)
	if err != nil {
		return err
	}
	if len(l.Attrs().HardwareAddr) != len(intent.MAC{}) {
		return fmt.Errorf("announce addresses of %s: it has no Ethernet address", link)
	}
	mac := intent.MAC(l.Attrs().HardwareAddr)
	// Protocol 0: the socket only sends.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("announce addresses of %s: %w", link, err)
	}
	defer unix.Close(fd)
	var failed []error
	for _, a := range addrs {
		frame := packet.Announce(mac, a)
		if a.Is6() { // Announce would announce a router
			frame = packet.Advertise(mac, a)
		}
		if err := unix.Sendto(fd, frame, unix.MSG_DONTWAIT, &unix.SockaddrLinklayer{Ifindex: l.Attrs().Index}); err != nil {
			failed = append(failed, fmt.Errorf("announce %s on %s: %w", a, link, err))
		}
	}
	return errors.Join(failed...)
}
