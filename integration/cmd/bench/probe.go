package main

// This file sends packets that all miss the switch's cache.

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ovloom/ovloom/integration/lab"
)

// probe is two workloads on their own bridge, in the same switch. A flow that copies the UDP
// port makes the cache distinguish ports, so that each packet to another port misses.
type probe struct {
	send *net.UDPConn
	recv *net.IPConn
	next uint16 // port of the next packet
}

const (
	probeBridge = "br-probe"
	probeEvery  = 3 * time.Millisecond // at a higher rate, a NIC's queue would overflow while the switch is busy
	probePorts  = 10_000               // the first port, above those that the kernel uses itself
)

var probeFrom, probeTo = netip.MustParseAddr("172.31.0.1"), netip.MustParseAddr("172.31.0.2")

func newProbe(ctx context.Context, h *lab.Host) (*probe, error) {
	if _, err := h.Vsctl(ctx, "add-br", probeBridge, "--", "set", "Bridge", probeBridge, "datapath_type=netdev", "fail_mode=secure"); err != nil {
		return nil, err
	}
	var ends []*lab.Workload
	for i, addr := range []netip.Addr{probeFrom, probeTo} {
		name := fmt.Sprintf("probe%d", i+1)
		w, err := h.NewWorkload(ctx, name)
		if err != nil {
			return nil, err
		}
		if err := w.PlugVeth(ctx, lab.Veth{Bridge: probeBridge, HostIf: name, Addrs: []netip.Prefix{netip.PrefixFrom(addr, 24)}}); err != nil {
			return nil, err
		}
		if _, err := h.Vsctl(ctx, "set", "Interface", name, fmt.Sprintf("ofport_request=%d", i+1)); err != nil {
			return nil, err
		}
		ends = append(ends, w)
	}
	for _, flow := range []string{
		"in_port=1,arp,actions=output:2", "in_port=2,arp,actions=output:1",
		"in_port=1,udp,actions=move:NXM_OF_UDP_DST[]->NXM_NX_REG0[0..15],output:2",
	} {
		if _, err := h.Exec(ctx, "ovs-ofctl", "-O", "OpenFlow13", "add-flow", "unix:"+h.MgmtSock(probeBridge), flow); err != nil {
			return nil, err
		}
	}
	p := &probe{}
	err := ends[0].InNetNS(func() (err error) {
		p.send, err = net.ListenUDP("udp4", nil)
		return err
	})
	if err != nil {
		return nil, err
	}
	err = ends[1].InNetNS(func() (err error) {
		p.recv, err = net.ListenIP("ip4:udp", nil)
		return err
	})
	if err != nil {
		return nil, errors.Join(err, p.close())
	}
	if err := stampReceived(p.recv); err != nil {
		return nil, errors.Join(err, p.close())
	}
	_, err = p.longest(ctx, func() error { return nil }) // resolves the neighbour
	if err != nil {
		err = errors.Join(err, p.close())
	}
	return p, err
}

func (p *probe) close() error {
	err := p.send.Close()
	if p.recv != nil {
		err = errors.Join(err, p.recv.Close())
	}
	return err
}

// stampReceived makes the kernel record the arrival time of each packet, because this process
// may be busy then.
func stampReceived(c *net.IPConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var set error
	err = raw.Control(func(fd uintptr) {
		set = errors.Join(unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1),
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20))
	})
	return errors.Join(err, set)
}

// longest sends packets while work runs, and returns the longest delay of a packet. A lost
// packet is an error.
func (p *probe) longest(ctx context.Context, work func() error) (time.Duration, error) {
	const patience = 5 * time.Second // for the last packets
	var mu sync.Mutex
	sent := map[uint16]time.Time{}
	var worst time.Duration

	stop := make(chan struct{})
	sending := make(chan error, 1)
	go func() {
		tick := time.NewTicker(probeEvery)
		defer tick.Stop()
		for {
			mu.Lock()
			to := probePorts + p.next%50_000
			p.next++
			sent[to] = time.Now()
			mu.Unlock()
			if _, err := p.send.WriteToUDPAddrPort([]byte("probe"), netip.AddrPortFrom(probeTo, to)); err != nil {
				sending <- err
				return
			}
			select {
			case <-stop:
				sending <- nil
				return
			case <-tick.C:
			}
		}
	}()
	receiving := make(chan error, 1)
	if err := p.recv.SetReadDeadline(time.Time{}); err != nil {
		return 0, err
	}
	stopped := false
	go func() {
		packet, oob := make([]byte, 256), make([]byte, 256)
		for {
			n, noob, _, _, err := p.recv.ReadMsgIP(packet, oob)
			if err != nil {
				receiving <- err
				return
			}
			at, err := receivedAt(oob[:noob])
			if err != nil {
				receiving <- err
				return
			}
			to, ok := udpPort(packet[:n])
			mu.Lock()
			if since, known := sent[to]; ok && known {
				worst = max(worst, at.Sub(since))
				delete(sent, to)
			}
			done := stopped && len(sent) == 0
			mu.Unlock()
			if done {
				receiving <- nil
				return
			}
		}
	}()
	worked := work()
	close(stop)
	sentAll := <-sending
	mu.Lock()
	stopped = true
	none := len(sent) == 0
	mu.Unlock()
	deadline := time.Now().Add(patience)
	if none {
		deadline = time.Unix(1, 0)
	}
	if err := p.recv.SetReadDeadline(deadline); err != nil {
		return 0, err
	}
	err := <-receiving
	mu.Lock()
	defer mu.Unlock()
	if len(sent) > 0 {
		return 0, errors.Join(worked, sentAll, fmt.Errorf("%d packets did not arrive: %w", len(sent), err))
	}
	return worst, errors.Join(worked, sentAll)
}

// receivedAt returns the kernel's time stamp.
func receivedAt(oob []byte) (time.Time, error) {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return time.Time{}, err
	}
	for _, m := range msgs {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SCM_TIMESTAMPNS && len(m.Data) >= 16 {
			return time.Unix(int64(binary.NativeEndian.Uint64(m.Data)), int64(binary.NativeEndian.Uint64(m.Data[8:]))), nil
		}
	}
	return time.Time{}, errors.New("a packet has no time stamp")
}

// udpPort returns the destination port of an IPv4 packet.
func udpPort(ip []byte) (uint16, bool) {
	if len(ip) < 20 {
		return 0, false
	}
	udp := ip[4*int(ip[0]&0xf):]
	if len(udp) < 8 {
		return 0, false
	}
	return binary.BigEndian.Uint16(udp[2:]), true
}
