package hostnet

import (
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/packet"
)

// WhoHas sends ARP requests on a link for an IPv4 address, from the link's own address,
// and returns the MACs of all that answer in time.
func WhoHas(link string, a netip.Addr, wait time.Duration) ([]string, error) {
	l, err := mustLink(link)
	if err != nil {
		return nil, err
	}
	addrs, err := readAddrs(l)
	if err != nil {
		return nil, err
	}
	var own netip.Addr
	for _, x := range addrs {
		if x.Prefix.Addr().Is4() && x.Prefix.Contains(a) {
			own = x.Prefix.Addr()
		}
	}
	if !own.IsValid() {
		return nil, nil // not on this link: behind a router
	}
	if len(l.Attrs().HardwareAddr) != len(intent.MAC{}) {
		return nil, fmt.Errorf("ask on %s for %s: it has no Ethernet address", link, a)
	}
	const proto = uint16(unix.ETH_P_ARP>>8 | unix.ETH_P_ARP<<8&0xff00) // in network byte order
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(proto))
	if err != nil {
		return nil, fmt.Errorf("ask on %s for %s: %w", link, a, err)
	}
	defer unix.Close(fd)
	to := &unix.SockaddrLinklayer{Ifindex: l.Attrs().Index, Protocol: proto}
	if err := unix.Bind(fd, to); err != nil {
		return nil, fmt.Errorf("ask on %s for %s: %w", link, a, err)
	}
	if err := unix.Sendto(fd, packet.Ask(intent.MAC(l.Attrs().HardwareAddr), own, a), 0, to); err != nil {
		return nil, fmt.Errorf("ask on %s for %s: %w", link, a, err)
	}
	var answers []string
	seen := map[string]bool{}
	b := make([]byte, 128)
	for end := time.Now().Add(wait); ; {
		left := time.Until(end)
		if left <= 0 {
			return answers, nil
		}
		tv := unix.NsecToTimeval(max(left, time.Millisecond).Nanoseconds())
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv); err != nil {
			return nil, fmt.Errorf("ask on %s for %s: %w", link, a, err)
		}
		n, _, err := unix.Recvfrom(fd, b, 0)
		if err != nil {
			continue // timeout or a signal
		}
		reply, err := packet.ParseNeighbour(b[:n])
		if err != nil || !reply.Answer || reply.Sender != a {
			continue
		}
		if from := reply.MAC.String(); !seen[from] {
			seen[from] = true
			answers = append(answers, from)
		}
	}
}
