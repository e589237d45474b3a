package lab

// This file captures the frames on an interface in memory.

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Capture holds the frames that passed an interface since the capture started.
type Capture struct {
	// Set when it is started.
	Name string
	file *os.File
	raw  syscall.RawConn

	// Guarded by mu.
	mu      sync.Mutex
	packets []Packet
	lost    int
}

// Frames are truncated in memory, after all headers that Packet reads.
const snapLen = 512

// Capture captures on an interface of the host.
func (h *Host) Capture(ifname string) (*Capture, error) {
	return h.lab.capture(h.Name+" "+ifname, h.netns, ifname)
}

// Capture captures on an interface of the workload.
func (w *Workload) Capture(ifname string) (*Capture, error) {
	return w.Host.lab.capture(w.Host.Name+" "+w.Name+" "+ifname, w.path, ifname)
}

// CaptureUnderlay captures each frame between hosts on the underlay once.
func (l *Lab) CaptureUnderlay() (*Capture, error) {
	return l.capture("underlay", l.wiresNS, l.underlayIf)
}

func (l *Lab) capture(name, netns, ifname string) (*Capture, error) {
	c := &Capture{Name: name}
	err := inNetNS(netns, func() error {
		fd, err := openPacketSocket(ifname)
		if err != nil {
			return err
		}
		c.file = os.NewFile(uintptr(fd), name)
		return nil
	})
	if err == nil {
		c.raw, err = c.file.SyscallConn()
	}
	if err != nil {
		return nil, fmt.Errorf("capture %s: %w", name, err)
	}
	go c.run()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.captures = append(l.captures, c)
	return c, nil
}

// openPacketSocket opens a packet(7) socket that receives all frames on ifname.
func openPacketSocket(ifname string) (fd int, err error) {
	nic, err := net.InterfaceByName(ifname)
	if err != nil {
		return -1, err
	}
	// Protocol 0: no frame arrives before the socket is bound to an interface.
	fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, fmt.Errorf("open packet socket: %w", err)
	}
	const buffer = 64 << 20 // some seconds of traffic
	mreq := unix.PacketMreq{Ifindex: int32(nic.Index), Type: unix.PACKET_MR_PROMISC}
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, buffer),
		unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &mreq),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: bigEndian(unix.ETH_P_ALL), Ifindex: nic.Index}),
	)
	if err != nil {
		_ = unix.Close(fd)
		return -1, fmt.Errorf("set up packet socket: %w", err)
	}
	return fd, nil
}

// bigEndian returns v in the byte order of sockaddr_ll.
func bigEndian(v uint16) uint16 { return v<<8 | v>>8 }

// run reads frames from the kernel as they come, so that it never has to drop any.
func (c *Capture) run() {
	// It ends with an error once the file is closed.
	_ = c.raw.Read(func(fd uintptr) bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.drain(int(fd))
		return false
	})
}

// drain reads all frames that the kernel holds. The caller holds mu.
func (c *Capture) drain(fd int) {
	buf := make([]byte, 1<<16)
	for {
		n, from, err := unix.Recvfrom(fd, buf, unix.MSG_TRUNC)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return // EAGAIN: there are no more
		}
		p := Decode(append([]byte(nil), buf[:min(n, snapLen)]...))
		p.Time, p.Len = time.Now(), n
		if ll, ok := from.(*unix.SockaddrLinklayer); ok {
			p.Outgoing = ll.Pkttype == unix.PACKET_OUTGOING
		}
		c.packets = append(c.packets, p)
	}
}

// Packets returns the frames that match, including all that passed before the call. Nil matches
// every frame.
func (c *Capture) Packets(m Match) []Packet {
	c.mu.Lock()
	defer c.mu.Unlock()
	// All frames that passed are in the socket now; an error means that it was closed.
	_ = c.raw.Control(func(fd uintptr) { c.drain(int(fd)) })
	var found []Packet
	for _, p := range c.packets {
		if m == nil || m(p) {
			found = append(found, p)
		}
	}
	return found
}

// Count returns the number of frames that match, including all that passed before the call.
func (c *Capture) Count(m Match) int { return len(c.Packets(m)) }

// Reset forgets the frames so far.
func (c *Capture) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.raw.Control(func(fd uintptr) { c.drain(int(fd)) })
	c.packets = nil
}

// Lost returns the number of frames that the kernel dropped. If it is not 0, no count is
// reliable.
func (c *Capture) Lost() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.raw.Control(func(fd uintptr) {
		// Reading the counter resets it.
		if stats, err := unix.GetsockoptTpacketStats(int(fd), unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
			c.lost += int(stats.Drops)
		}
	})
	return c.lost
}

// Close ends the capture. Its frames can still be read.
func (c *Capture) Close() {
	_ = c.Packets(nil)
	_ = c.file.Close() // closing twice is harmless
}

// MustSee waits until at least one frame matches: the positive control of a capture that must
// stay empty afterwards.
func (c *Capture) MustSee(t testing.TB, timeout time.Duration, what string, m Match) {
	t.Helper()
	Eventually(t, timeout, what+" on "+c.Name, func() error {
		if c.Count(m) == 0 {
			return fmt.Errorf("none among %d frames", c.Count(nil))
		}
		return nil
	})
}

// MustNotSee fails the test with the frames that match.
func (c *Capture) MustNotSee(t testing.TB, what string, m Match) {
	t.Helper()
	if found := c.Packets(m); len(found) > 0 {
		t.Errorf("%d times %s on %s, such as %s", len(found), what, c.Name, found[0])
	}
}
