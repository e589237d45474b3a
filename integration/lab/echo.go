package lab

// This file measures outages: it sends UDP packets at a steady rate to be echoed, and counts
// those that do not return.

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Echoed is the result of a stream.
type Echoed struct {
	Sent, Received int
	LongestGap     time.Duration // between two packets that returned
}

// Lost returns the number of packets that did not return.
func (e Echoed) Lost() int { return e.Sent - e.Received }

// Echo is a stream of packets that runs until it is stopped.
type Echo struct {
	server, client *net.UDPConn
	stop           context.CancelFunc
	done           sync.WaitGroup

	// Guarded by mu.
	mu     sync.Mutex
	result Echoed
	last   time.Time
	seen   map[uint64]bool
}

// StartEcho sends rate packets a second from one workload to an address of the other, which
// returns them.
func StartEcho(from, to *Workload, addr netip.Addr, rate int) (*Echo, error) {
	e := &Echo{seen: map[uint64]bool{}}
	err := to.InNetNS(func() (err error) {
		e.server, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, 0)))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("echo at %s on %s: %w", to.Name, to.Host.Name, err)
	}
	at := e.server.LocalAddr().(*net.UDPAddr)
	err = from.InNetNS(func() (err error) {
		e.client, err = net.DialUDP("udp", nil, at)
		return err
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("echo from %s on %s: %w", from.Name, from.Host.Name, err), e.server.Close())
	}
	ctx, stop := context.WithCancel(context.Background())
	e.stop = stop
	e.done.Go(e.serve)
	e.done.Go(e.receive)
	e.done.Go(func() { e.send(ctx, rate) })
	return e, nil
}

// serve ends when its socket is closed.
func (e *Echo) serve() {
	buf := make([]byte, 2048)
	for {
		n, from, err := e.server.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			_, _ = e.server.WriteToUDPAddrPort(buf[:n], from) // the sender counts a loss
		}
	}
}

// receive ends when its socket is closed.
func (e *Echo) receive() {
	buf := make([]byte, 2048)
	for {
		n, err := e.client.Read(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || n < 8 {
			continue // an ICMP error for an earlier packet, which counts as lost
		}
		e.note(binary.BigEndian.Uint64(buf), time.Now())
	}
}

func (e *Echo) note(number uint64, now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.seen[number] {
		return // a duplicate does not make up for a lost packet
	}
	e.seen[number] = true
	if !e.last.IsZero() {
		e.result.LongestGap = max(e.result.LongestGap, now.Sub(e.last))
	}
	e.last = now
	e.result.Received++
}

// send keeps the average rate: after a delay it catches up.
func (e *Echo) send(ctx context.Context, rate int) {
	start := time.Now()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	packet := make([]byte, 64)
	for number := uint64(0); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for due := uint64(time.Since(start).Seconds() * float64(rate)); number < due; number++ {
			binary.BigEndian.PutUint64(packet, number)
			_, _ = e.client.Write(packet) // a loss is counted below
			e.mu.Lock()
			e.result.Sent++
			e.mu.Unlock()
		}
	}
}

// Result returns the counts so far. Packets under way count as lost.
func (e *Echo) Result() Echoed {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.result
}

// Stop ends the stream, waits up to half a second for the last packets, and returns the counts.
func (e *Echo) Stop() Echoed {
	e.stop()
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	_ = poll(ctx, "the last packets", func() error {
		if n := e.Result().Lost(); n > 0 {
			return fmt.Errorf("%d are missing", n)
		}
		return nil
	})
	_ = e.client.Close()
	_ = e.server.Close()
	e.done.Wait()
	return e.Result()
}
