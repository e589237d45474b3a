package overlay

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/intent"
)

// GatewayOf returns the default gateway of a network.
func GatewayOf(a netip.Addr) netip.Addr {
	bits := 24
	if a.Is6() {
		bits = 64
	}
	return netip.PrefixFrom(a, bits).Masked().Addr().Next()
}

// WithoutChecksums has a socket send UDP without checksums. The kernel leaves them to a NIC,
// which does not exist in a lab; VXLAN works without them.
func WithoutChecksums(conn *net.UDPConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var option error
	err = raw.Control(func(fd uintptr) { option = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_NO_CHECK, 1) })
	return errors.Join(err, option)
}

// SendVXLAN sends tunnel packets (RFC 7348) from a host's own address.
func SendVXLAN(t *testing.T, from *lab.Host, to netip.Addr, vni uint32, inners ...[]byte) {
	t.Helper()
	err := from.InNetNS(func() error {
		conn, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, 4789)))
		if err != nil {
			return err
		}
		defer conn.Close()
		if err := WithoutChecksums(conn); err != nil {
			return err
		}
		for _, inner := range inners {
			if _, err := conn.Write(lab.VXLAN(vni, inner)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Datagram returns a frame with a UDP datagram.
func Datagram(srcMAC, dstMAC intent.MAC, src, dst netip.Addr, payload []byte) []byte {
	return lab.IPFrame(srcMAC, dstMAC, src, dst, lab.ProtoUDP, 64,
		lab.UDP(netip.AddrPortFrom(src, 9), netip.AddrPortFrom(dst, 9), payload))
}

// PayloadIs matches datagrams with a payload.
func PayloadIs(payload []byte) lab.Match {
	return func(p lab.Packet) bool { return bytes.Equal(p.Payload, payload) }
}

// Flood sends from a machine until the returned function is called, which returns the number of
// frames sent.
func (o *Overlay) Flood(from *Machine, rate, most int, frame func(n int) []byte) (stop func() int) {
	ctx, cancel := context.WithCancel(o.T.Context())
	var sent int
	var err error
	var done sync.WaitGroup
	done.Go(func() { sent, err = from.Flood(ctx, "eth0", rate, most, frame) })
	end := sync.OnceFunc(func() { cancel(); done.Wait() })
	o.T.Cleanup(end)
	return func() int {
		end()
		if err != nil {
			o.T.Error(err)
		}
		return sent
	}
}

// ToGateway returns a frame from a machine to its gateway.
func ToGateway(from *Machine, to netip.Addr, proto, ttl uint8, payload []byte) []byte {
	return lab.IPFrame(from.Port.MAC, intent.GatewayMAC, from.V4(), to, proto, ttl, payload)
}

// SolicitedNode returns the group to which a neighbour solicitation is sent, as an address and
// as a MAC (RFC 4291, 2.7.1; RFC 2464, 7).
func SolicitedNode(a netip.Addr) (netip.Addr, intent.MAC) {
	b := a.As16()
	group := netip.MustParseAddr("ff02::1:ff00:0").As16()
	copy(group[13:], b[13:])
	return netip.AddrFrom16(group), intent.MAC{0x33, 0x33, group[12], group[13], group[14], group[15]}
}
