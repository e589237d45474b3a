package main

// This file asks how long it takes until a new port answers.

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/ovloom/ovloom/api"
)

// plug adds and plugs ports on one host, one after the other, in networks of
// different sizes, and pings each from the other host.
func (b *bench) plug(ctx context.Context) (_ []figure, err error) {
	o, err := startOverlay(ctx, 2)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, o.close()) }()
	from, _, err := o.pair(ctx)
	if err != nil {
		return nil, err
	}
	var figures []figure
	for _, at := range []struct {
		size int
		ovn  time.Duration // as measured with OVN 23.03
	}{{10, 43 * time.Millisecond}, {1000, 118 * time.Millisecond}, {10_000, 0}} {
		if err := o.grow(ctx, at.size); err != nil {
			return figures, err
		}
		for host := range o.Hosts {
			if err := o.settled(ctx, host, flowsPerPort*at.size); err != nil {
				return figures, err
			}
		}
		var all, added, plugged []time.Duration
		for range 4*b.rounds + 1 {
			t, err := o.answer(ctx, from)
			if err != nil {
				return figures, err
			}
			all, added, plugged = append(all, t.all), append(added, t.added), append(plugged, t.plugged)
		}
		f := figure{
			what:   fmt.Sprintf("port add and plug to the first ping from another host, %d ports", at.size),
			ours:   fmt.Sprintf("%s (stored after %s, plugged after %s)", ms(median(all)), ms(median(added)), ms(median(plugged))),
			target: "≤ 30 ms", met: judge(median(all) <= 30*time.Millisecond),
		}
		if at.ovn > 0 {
			f.peer, f.ratio = "OVN 23.03, another day: "+ms(at.ovn), times(median(all), at.ovn)
		}
		figures = append(figures, f)
	}
	return figures, nil
}

// answered says when things happened after a port was asked for.
type answered struct{ added, plugged, all time.Duration }

// answer adds, plugs and pings a port on the second host, and removes it again.
func (o *overlay) answer(ctx context.Context, from *station) (t answered, err error) {
	s, err := o.station(ctx, 1)
	if err != nil {
		return t, err
	}
	// The one who pings knows the MAC: its kernel would repeat a question that came
	// too early only after a second.
	if _, err := from.Exec(ctx, "ip", "neigh", "replace", s.addr.String(), "lladdr", s.mac.String(), "dev", "eth0", "nud", "permanent"); err != nil {
		return t, err
	}
	var conn *net.IPConn
	err = from.InNetNS(func() (err error) {
		conn, err = net.ListenIP("ip4:icmp", nil)
		return err
	})
	if err != nil {
		return t, err
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(waitLimit)); err != nil {
		return t, err
	}
	c := o.clients[1]
	start := time.Now()
	if err := o.add(ctx, c, s); err != nil {
		return t, err
	}
	t.added = time.Since(start)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go pingSteadily(ctx, conn, s.addr)
	replied := make(chan error, 1)
	go func() {
		err := awaitReply(conn, s.addr)
		t.all = time.Since(start)
		replied <- err
	}()
	if _, err := c.Plug(ctx, api.PlugRequest{Ref: s.ref, Netns: s.NetNS}); err != nil {
		return t, err
	}
	t.plugged = time.Since(start)
	if err := <-replied; err != nil {
		return t, err
	}
	if err := c.WaitUp(ctx, s.ref, waitLimit); err != nil {
		return t, err
	}
	if err := c.Unplug(ctx, s.ref); err != nil {
		return t, err
	}
	_, err = c.DeletePort(ctx, s.ref, api.DeleteMode{Cascade: true})
	return t, err
}

// pingSteadily sends an echo request every millisecond until ctx ends.
func pingSteadily(ctx context.Context, conn *net.IPConn, to netip.Addr) {
	request := make([]byte, 16)
	request[0] = 8 // echo request (RFC 792)
	binary.BigEndian.PutUint16(request[2:], ^binary.BigEndian.Uint16(request))
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		_, _ = conn.WriteToIP(request, &net.IPAddr{IP: to.AsSlice()}) // there is another in a millisecond
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// awaitReply returns when an echo reply has come from an address.
func awaitReply(conn *net.IPConn, from netip.Addr) error {
	for buf := make([]byte, 256); ; {
		n, addr, err := conn.ReadFromIP(buf)
		if err != nil {
			return fmt.Errorf("wait for an answer of %s: %w", from, err)
		}
		if n >= 8 && buf[0] == 0 && addr.IP.Equal(from.AsSlice()) {
			return nil
		}
	}
}
