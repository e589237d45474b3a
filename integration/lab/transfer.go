package lab

// This file sends bulk data over TCP from one workload to another.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// Transferred is the result of a transfer.
type Transferred struct {
	Bytes         int64
	Elapsed       time.Duration
	MSS           int // bytes of data in a full segment
	Retransmitted int // segments
}

// transferTimeout bounds a transfer whose context has no deadline.
const transferTimeout = 30 * time.Second

// Transfer sends that many bytes from one workload to an address of the other, over TCP with
// segments as large as the interfaces' MTU allows, and returns when the receiver has confirmed
// the last byte.
func Transfer(ctx context.Context, from, to *Workload, addr netip.Addr, bytes int64) (Transferred, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, transferTimeout)
		defer cancel()
	}
	r, err := transfer(ctx, from, to, addr, bytes)
	if err != nil {
		return r, fmt.Errorf("transfer from %s on %s to %s: %w", from.Name, from.Host.Name, addr, err)
	}
	return r, nil
}

func transfer(ctx context.Context, from, to *Workload, addr netip.Addr, bytes int64) (r Transferred, err error) {
	var l net.Listener
	err = to.InNetNS(func() (err error) {
		l, err = net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(addr, 0)))
		return err
	})
	if err != nil {
		return r, err
	}
	defer l.Close()
	received := make(chan error, 1)
	go func() { received <- receive(ctx, l, bytes) }()

	var conn net.Conn
	err = from.InNetNS(func() (err error) {
		var d net.Dialer
		conn, err = d.DialContext(ctx, "tcp", l.Addr().String())
		return err
	})
	if err != nil {
		return r, err
	}
	defer conn.Close()
	start := time.Now()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return r, err
	}
	if _, err := io.CopyN(conn, zeros{}, bytes); err != nil {
		return r, err
	}
	// The receiver sends one byte after it has received everything.
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		return r, errors.Join(err, <-received)
	}
	r.Bytes, r.Elapsed = bytes, time.Since(start)
	if err := r.readInfo(conn.(*net.TCPConn)); err != nil {
		return r, err
	}
	return r, <-received
}

func receive(ctx context.Context, l net.Listener, bytes int64) error {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	conn, err := l.Accept()
	if err != nil {
		return err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	if n, err := io.CopyN(io.Discard, conn, bytes); err != nil {
		return fmt.Errorf("received %d of %d bytes: %w", n, bytes, err)
	}
	_, err = conn.Write([]byte{0})
	return err
}

// readInfo reads the connection's tcp_info (tcp(7)) from the kernel.
func (r *Transferred) readInfo(conn *net.TCPConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var got error
	err = raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			got = err
			return
		}
		r.MSS, r.Retransmitted = int(info.Snd_mss), int(info.Total_retrans)
	})
	return errors.Join(err, got)
}

// zeros is an endless source of zeros.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}
