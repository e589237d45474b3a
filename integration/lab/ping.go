package lab

// This file sends echo requests from a workload or host, without starting ping(8) for each.

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// pingTimeout bounds an echo request whose context has no deadline.
const pingTimeout = time.Second

// pingSize is ping(8)'s default.
const pingSize = 56

// A kernel answers each echo request with its identifier, which distinguishes the replies.
var pingID atomic.Uint32

// Ping sends one echo request and returns how long the reply took. Without a
// deadline in ctx it waits one second.
func (w *Workload) Ping(ctx context.Context, to netip.Addr) (time.Duration, error) {
	return w.PingSize(ctx, to, pingSize)
}

// PingSize is Ping with that many bytes of data, and no fragmentation. The IP packet is 28
// bytes longer, or 48 in IPv6.
func (w *Workload) PingSize(ctx context.Context, to netip.Addr, size int) (time.Duration, error) {
	d, err := ping(ctx, w.path, to, size)
	if err != nil {
		return 0, fmt.Errorf("%s on %s: %w", w.Name, w.Host.Name, err)
	}
	return d, nil
}

// Ping is Workload.Ping from the host itself.
func (h *Host) Ping(ctx context.Context, to netip.Addr) (time.Duration, error) {
	d, err := ping(ctx, h.netns, to, pingSize)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", h.Name, err)
	}
	return d, nil
}

func ping(ctx context.Context, netns string, to netip.Addr, size int) (time.Duration, error) {
	fail := func(err error) (time.Duration, error) { return 0, fmt.Errorf("ping %s: %w", to, err) }
	conn, err := openPing(netns, to)
	if err != nil {
		return fail(err)
	}
	defer conn.Close()

	start := time.Now()
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = start.Add(Patient(pingTimeout))
	}
	if err := conn.SetDeadline(deadline); err != nil {
		return fail(err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()

	id := uint16(pingID.Add(1))
	request := echoRequest(to, id, size)
	if _, err := conn.WriteTo(request, &net.IPAddr{IP: to.AsSlice(), Zone: to.Zone()}); err != nil {
		return fail(err)
	}
	for buf := make([]byte, 1<<16); ; {
		n, from, err := conn.ReadFrom(buf)
		if err != nil {
			return fail(err)
		}
		if isReply(buf[:n], from, to, id) {
			return time.Since(start), nil
		}
	}
}

func openPing(netns string, to netip.Addr) (*net.IPConn, error) {
	network, level, option := "ip4:icmp", unix.IPPROTO_IP, unix.IP_MTU_DISCOVER
	if to.Is6() {
		network, level, option = "ip6:ipv6-icmp", unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER
	}
	var conn *net.IPConn
	err := inNetNS(netns, func() (err error) {
		conn, err = net.ListenIP(network, nil)
		return err
	})
	if err != nil {
		return nil, err
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	var set error
	err = raw.Control(func(fd uintptr) { set = unix.SetsockoptInt(int(fd), level, option, unix.IP_PMTUDISC_DO) })
	if err = errors.Join(err, set); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// echoRequest returns an ICMP or ICMPv6 message. The kernel fills in ICMPv6's checksum.
func echoRequest(to netip.Addr, id uint16, size int) []byte {
	m := make([]byte, 8+size)
	m[0] = ICMPEchoRequest
	if to.Is6() {
		m[0] = ICMPv6EchoRequest
	}
	binary.BigEndian.PutUint16(m[4:], id)
	if to.Is4() {
		binary.BigEndian.PutUint16(m[2:], Checksum(0, m))
	}
	return m
}

func isReply(m []byte, from net.Addr, to netip.Addr, id uint16) bool {
	reply := byte(ICMPEchoReply)
	if to.Is6() {
		reply = ICMPv6EchoReply
	}
	ip, ok := from.(*net.IPAddr)
	return ok && len(m) >= 8 && m[0] == reply && binary.BigEndian.Uint16(m[4:]) == id && ip.IP.Equal(to.AsSlice())
}
