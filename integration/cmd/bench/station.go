package main

// This file declares the work of both ovloom and OVN: workloads that get ports in a large
// network.

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/intent"
)

// means is how a system is driven.
type means string

const (
	byCommands means = "command lines" // a new process for each call
	byAPI      means = "API"           // a connected process
)

// system is two or more hosts with ovloom or OVN.
type system interface {
	station(ctx context.Context, host int) (*station, error)
	add(ctx context.Context, by means, host int, s *station) error  // adds its port
	plug(ctx context.Context, by means, host int, s *station) error // attaches it
	remove(ctx context.Context, host int, s *station) error
	pair(ctx context.Context) (a, b *station, err error)
	grow(ctx context.Context, ports int) error
	host(i int) *lab.Host
	restartController(ctx context.Context, host int) error // by kill -9
	daemons() []*lab.Process                               // except Open vSwitch's
	crashed(ctx context.Context, flows int) (time.Duration, error)
	close() error
}

// station is a workload with a port.
type station struct {
	*lab.Workload
	ref  intent.PortRef
	mac  intent.MAC
	addr netip.Addr
}

// newStation makes the workload of the n-th station.
func newStation(ctx context.Context, h *lab.Host, number int) (*station, error) {
	name := fmt.Sprintf("s%d", number)
	w, err := h.NewWorkload(ctx, name)
	if err != nil {
		return nil, err
	}
	n := uint32(number)
	return &station{
		Workload: w, ref: intent.PortRef{Tenant: web.Tenant, Network: web.Name, Port: name},
		mac:  intent.MAC{2, 0xbe, 0, byte(n >> 16), byte(n >> 8), byte(n)},
		addr: netip.AddrFrom4([4]byte{10, 200, byte(n >> 8), byte(n)}),
	}, nil
}

// pings waits until one station reaches another: the first packets may be lost while the
// switches resolve each other's VTEP.
func pings(ctx context.Context, a, b *station) error {
	return until(ctx, func() error {
		ctx, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		defer cancel()
		_, err := a.Ping(ctx, b.addr)
		return err
	})
}

// settled waits until a host's switch has at least that many flows.
func settled(ctx context.Context, h *lab.Host, flows int) error {
	return each(ctx, 5*waitLimit, 5*time.Millisecond, func() error {
		n, err := flowsOf(ctx, h)
		if err == nil && n < flows {
			err = fmt.Errorf("the switch of %s has %d of %d flows", h.Name, n, flows)
		}
		return err
	})
}

// calm waits until a host's switch has had the same number of flows for a second, and returns
// that number.
func calm(ctx context.Context, h *lab.Host, least int) (int, error) {
	last, since := -1, time.Now()
	err := patiently(ctx, func() error {
		n, err := flowsOf(ctx, h)
		switch {
		case err != nil:
			return err
		case n != last:
			last, since = n, time.Now()
		case n >= least && time.Since(since) >= time.Second:
			return nil
		}
		return fmt.Errorf("the switch of %s has %d flows, and at least %d are expected", h.Name, n, least)
	})
	return last, err
}

// flowsOf returns the number of flows of a host's integration bridge. It reads the tables'
// counts, which cost the switch nothing: dump-aggregate visits each flow, on the thread that
// installs flows.
func flowsOf(ctx context.Context, h *lab.Host) (int, error) {
	out, err := h.Exec(ctx, "ovs-ofctl", "-O", "OpenFlow15", "dump-tables", "unix:"+h.MgmtSock("br-int"))
	if err != nil {
		return 0, err
	}
	return activeFlows(out)
}

// activeFlows adds up the flows of all tables that ovs-ofctl dump-tables prints.
func activeFlows(out string) (sum int, err error) {
	last, tables := 0, 0
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		if head, like, ok := strings.Cut(line, ": ditto"); ok && like == "" {
			// The same as the table before: "tables 16...23: ditto", "table 26: ditto".
			var from, to int
			if _, err := fmt.Sscanf(head, "tables %d...%d", &from, &to); err != nil {
				if _, err := fmt.Sscanf(head, "table %d", &from); err != nil {
					return 0, fmt.Errorf("read the counts of tables in %q: %w", line, err)
				}
				to = from
			}
			sum += last * (to - from + 1)
			continue
		}
		if count, ok := strings.CutPrefix(line, "active="); ok {
			if _, err := fmt.Sscanf(count, "%d,", &last); err != nil {
				return 0, fmt.Errorf("read the count of a table in %q: %w", line, err)
			}
			sum += last
			tables++
		}
	}
	if tables == 0 {
		return 0, fmt.Errorf("there is no table in %q", out)
	}
	return sum, nil
}

// pinger sends echo requests from a station and records the first reply.
type pinger struct {
	conn *net.IPConn
	to   netip.Addr
}

func newPinger(from *station, to netip.Addr) (*pinger, error) {
	p := &pinger{to: to}
	err := from.InNetNS(func() (err error) {
		p.conn, err = net.ListenIP("ip4:icmp", nil)
		return err
	})
	if err != nil {
		return nil, err
	}
	return p, p.conn.SetReadDeadline(time.Now().Add(waitLimit))
}

func (p *pinger) close() error { return p.conn.Close() }

// start starts sending, and returns a channel for the time of the first reply.
func (p *pinger) start(ctx context.Context) <-chan replied {
	ctx, cancel := context.WithCancel(ctx)
	first := make(chan replied, 1)
	go p.send(ctx)
	go func() {
		defer cancel()
		err := p.receive()
		first <- replied{time.Now(), err}
	}()
	return first
}

// replied is the time of a reply, or the error.
type replied struct {
	at  time.Time
	err error
}

// send sends an echo request every millisecond until ctx ends.
func (p *pinger) send(ctx context.Context) {
	request := make([]byte, 16)
	request[0] = 8 // echo request (RFC 792)
	binary.BigEndian.PutUint16(request[2:], ^binary.BigEndian.Uint16(request))
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		_, _ = p.conn.WriteToIP(request, &net.IPAddr{IP: p.to.AsSlice()}) // the next one follows in a millisecond
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// receive returns when an echo reply has come.
func (p *pinger) receive() error {
	for buf := make([]byte, 256); ; {
		n, addr, err := p.conn.ReadFromIP(buf)
		if err != nil {
			return fmt.Errorf("wait for an answer of %s: %w", p.to, err)
		}
		if n >= 8 && buf[0] == 0 && addr.IP.Equal(p.to.AsSlice()) {
			return nil
		}
	}
}
