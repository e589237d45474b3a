package main

// This file measures what one tenant still gets while a port of another tenant floods.

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/intent"
)

const (
	fairTurns = 4        // per round
	fairBytes = 64 << 20 // of one transfer
	fairLeast = 0.8

	fairAlone = 2 * time.Second // of a flood alone
)

// evil is the tenant that floods. Its addresses differ from the other tenant's only because
// stations are numbered.
var (
	evilNet = intent.NetworkRef{Tenant: "evil", Network: "web"}
	evilV6  = netip.MustParsePrefix("fd00:e::/64")
	evilGW  = netip.MustParseAddr("10.0.0.1")
)

// attack is a kind of flood.
type attack struct {
	name  string
	rate  int // packets a second
	frame func(from, to *station) func(int) []byte
}

// attacks are ordered so that none is affected by the limits of an earlier one: each has its
// own attacker.
var attacks = []attack{
	{"broadcasts", 40000, func(from, to *station) func(int) []byte {
		all := netip.MustParseAddr("255.255.255.255")
		return same(lab.IPFrame(from.mac, lab.Broadcast, from.addr, all, lab.ProtoUDP, 64, datagramOf(from.addr, all)))
	}},
	{"packets whose TTL ends", 20000, func(from, to *station) func(int) []byte {
		return same(lab.IPFrame(from.mac, intent.GatewayMAC, from.addr, lab.CampusServer, lab.ProtoUDP, 1, datagramOf(from.addr, lab.CampusServer)))
	}},
	{"fragments that never become whole", 5000, func(from, to *station) func(int) []byte {
		return func(n int) []byte {
			f := lab.IPFrame(from.mac, intent.GatewayMAC, from.addr, lab.CampusServer, lab.ProtoUDP, 64, make([]byte, 800))
			ip := f[14:34]
			binary.BigEndian.PutUint16(ip[4:], uint16(n))
			ip[6], ip[10], ip[11] = 0x20, 0, 0 // more fragments follow
			binary.BigEndian.PutUint16(ip[10:], lab.Checksum(0, ip))
			return f
		}
	}},
	{"ARP requests", 20000, func(from, to *station) func(int) []byte {
		return same(lab.ARP{Op: 1, SHA: from.mac, SPA: from.addr, TPA: evilGW}.Frame(from.mac, lab.Broadcast))
	}},
	{"random MACs", 20000, func(from, to *station) func(int) []byte {
		return func(int) []byte {
			dst := intent.MAC{2, 9, byte(rand.Uint32()), byte(rand.Uint32()), byte(rand.Uint32()), byte(rand.Uint32())}
			return lab.IPFrame(from.mac, dst, from.addr, to.addr, lab.ProtoUDP, 64, datagramOf(from.addr, to.addr))
		}
	}},
	{"random IPv6 addresses", 20000, func(from, to *station) func(int) []byte {
		src := v6Of(from)
		return func(int) []byte {
			dst := evilV6.Addr().As16()
			binary.BigEndian.PutUint64(dst[8:], rand.Uint64())
			to := netip.AddrFrom16(dst)
			return lab.IPFrame(from.mac, intent.GatewayMAC, src, to, lab.ProtoUDP, 64, datagramOf(src, to))
		}
	}},
}

func same(f []byte) func(int) []byte { return func(int) []byte { return f } }

func datagramOf(from, to netip.Addr) []byte {
	return lab.UDP(netip.AddrPortFrom(from, 9), netip.AddrPortFrom(to, 9), make([]byte, 18))
}

// v6Of is the IPv6 address of a station of the evil tenant.
func v6Of(s *station) netip.Addr {
	a, b := evilV6.Addr().As16(), s.addr.As4()
	copy(a[12:], b[:])
	return netip.AddrFrom16(a)
}

// beside holds the measurements during a flood, one value per turn.
type beside struct {
	throughput       []float64 // bits a second
	sent             []float64 // frames a second
	switchCPU, ovCPU []float64 // in use, in CPUs

	perPacket []float64 // nanoseconds of CPU of both daemons per frame, of a flood alone
}

func (b *bench) fair(ctx context.Context) (_ []figure, err error) {
	o, err := startOverlayOn(ctx, lab.Config{Hosts: 1})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, o.close()) }()
	if _, err := o.NewOutside(ctx); err != nil {
		return nil, err
	}
	if err := o.leave(ctx); err != nil {
		return nil, err
	}
	from, err := o.attached(ctx, 0)
	if err != nil {
		return nil, err
	}
	to, err := o.attached(ctx, 0)
	if err != nil {
		return nil, err
	}
	if err := pings(ctx, from, to); err != nil {
		return nil, err
	}
	if err := o.makeEvil(ctx); err != nil {
		return nil, err
	}
	// The sender of an allowed flood is not the sender of a forbidden one, so that no limit of
	// one affects the other.
	honest, err := o.evil(ctx)
	if err != nil {
		return nil, err
	}
	friend, err := o.evil(ctx)
	if err != nil {
		return nil, err
	}
	if err := pings(ctx, honest, friend); err != nil {
		return nil, err
	}
	permitted := same(lab.IPFrame(honest.mac, friend.mac, honest.addr, friend.addr, lab.ProtoUDP, 64, datagramOf(honest.addr, friend.addr)))

	var figures []figure
	for _, a := range attacks {
		attacker, err := o.evil(ctx)
		if err != nil {
			return figures, err
		}
		if err := pings(ctx, attacker, friend); err != nil {
			return figures, err
		}
		before, err := o.drops(ctx)
		if err != nil {
			return figures, err
		}
		var ours, reference beside
		floods := []func(into *beside) error{
			func(into *beside) error { return o.flooded(ctx, honest, a.rate, permitted, from, to, into) },
			func(into *beside) error {
				return o.flooded(ctx, attacker, a.rate, a.frame(attacker, friend), from, to, into)
			},
		}
		alone := []func(into *beside) error{
			func(into *beside) error { return o.floodedAlone(ctx, honest, a.rate, permitted, into) },
			func(into *beside) error {
				return o.floodedAlone(ctx, attacker, a.rate, a.frame(attacker, friend), into)
			},
		}
		into := []*beside{&reference, &ours}
		for turn := range fairTurns*b.rounds + 1 {
			for i := range floods {
				if turn%2 == 1 {
					i = 1 - i
				}
				if err := floods[i](into[i]); err != nil {
					return figures, fmt.Errorf("%s: %w", a.name, err)
				}
				if err := alone[i](into[i]); err != nil {
					return figures, fmt.Errorf("%s: %w", a.name, err)
				}
			}
		}
		after, err := o.drops(ctx)
		if err != nil {
			return figures, err
		}
		reason := ""
		for r, n := range after {
			if n -= before[r]; n > after[reason]-before[reason] {
				reason = r
			}
		}
		if reason == "" {
			return figures, fmt.Errorf("%s: nothing was dropped", a.name)
		}
		// The first turn includes the second until a penalty takes effect.
		first, firstPacket := ours.throughput[0]/reference.throughput[0], ours.perPacket[0]
		ours, reference = ours.later(), reference.later()
		ratio := medianRatio(ours.throughput, reference.throughput)
		figures = append(figures, figure{
			what: fmt.Sprintf("TCP beside %d %s a second of another tenant (most dropped: %s)", a.rate, a.name, reason), ours: ours.String(), peer: "as many permitted packets: " + reference.String(),
			ratio: fmt.Sprintf("%.2f × (first turn %.2f ×)", ratio, first), target: fmt.Sprintf("≥ %.2f ×", fairLeast), met: judge(ratio >= fairLeast),
		}, figure{
			what: fmt.Sprintf("CPU of ovs-vswitchd and ovloomd for one of the %s", a.name), ours: fmt.Sprintf("%s (first turn %s)", microseconds(medianOf(ours.perPacket)), microseconds(firstPacket)),
			peer: "permitted: " + microseconds(medianOf(reference.perPacket)), ratio: fmt.Sprintf("%.2f ×", medianRatio(reference.perPacket, ours.perPacket)),
		})
	}
	return figures, nil
}

// later returns the measurements after the first turn.
func (b beside) later() beside {
	return beside{b.throughput[1:], b.sent[1:], b.switchCPU[1:], b.ovCPU[1:], b.perPacket[1:]}
}

func (b beside) String() string {
	return fmt.Sprintf("%s (%.0f sent/s; CPUs: ovs-vswitchd %.2f, ovloomd %.2f)", gigabits(medianOf(b.throughput)), medianOf(b.sent), medianOf(b.switchCPU), medianOf(b.ovCPU))
}

// makeEvil adds the tenant that floods.
func (o *overlay) makeEvil(ctx context.Context) error {
	c := o.clients[0]
	if _, err := c.Add(ctx, intent.Tenant{Name: evilNet.Tenant}); err != nil {
		return err
	}
	if _, err := c.Add(ctx, intent.Network{Tenant: evilNet.Tenant, Name: evilNet.Network, Subnets: []intent.Subnet{{Prefix: prefix, Gateway: evilGW}, {Prefix: evilV6}}}); err != nil {
		return err
	}
	_, err := c.Add(ctx, intent.SNAT{Tenant: evilNet.Tenant, External: wireExternal})
	return err
}

// evil plugs a station of the tenant that floods.
func (o *overlay) evil(ctx context.Context) (*station, error) {
	s, err := o.station(ctx, 0)
	if err != nil {
		return nil, err
	}
	s.ref.Tenant, s.ref.Network = evilNet.Tenant, evilNet.Network
	c := o.clients[0]
	if _, err := c.Add(ctx, intent.Port{Tenant: s.ref.Tenant, Network: s.ref.Network, Name: s.ref.Port, MAC: s.mac, Addrs: []netip.Addr{s.addr, v6Of(s)}}); err != nil {
		return nil, err
	}
	if err := o.plug(ctx, byAPI, 0, s); err != nil {
		return nil, err
	}
	return s, c.WaitUp(ctx, s.ref, waitLimit)
}

// flooded measures a transfer during a flood.
func (o *overlay) flooded(ctx context.Context, by *station, rate int, frame func(int) []byte, from, to *station, into *beside) error {
	ctx, cancel := context.WithTimeout(ctx, waitLimit)
	defer cancel()
	var t lab.Transferred
	f, err := o.during(ctx, by, rate, frame, func() (err error) {
		t, err = lab.Transfer(ctx, from.Workload, to.Workload, to.addr, fairBytes)
		return err
	})
	if err != nil {
		return err
	}
	into.throughput = append(into.throughput, 8*float64(t.Bytes)/t.Elapsed.Seconds())
	into.sent = append(into.sent, float64(f.sent)/f.took.Seconds())
	into.switchCPU = append(into.switchCPU, f.switchCPU.Seconds()/f.took.Seconds())
	into.ovCPU = append(into.ovCPU, f.ovCPU.Seconds()/f.took.Seconds())
	return nil
}

// floodedAlone measures the cost of a flood alone. Other load on the machine affects it less
// than throughput.
func (o *overlay) floodedAlone(ctx context.Context, by *station, rate int, frame func(int) []byte, into *beside) error {
	f, err := o.during(ctx, by, rate, frame, func() error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(fairAlone):
			return nil
		}
	})
	if err != nil {
		return err
	}
	into.perPacket = append(into.perPacket, float64(f.switchCPU+f.ovCPU)/float64(f.sent))
	return nil
}

// flood is what was sent, and what the daemons used in the meantime.
type flood struct {
	sent             int
	took             time.Duration
	switchCPU, ovCPU time.Duration
}

// during calls a function while a station floods.
func (o *overlay) during(ctx context.Context, by *station, rate int, frame func(int) []byte, do func() error) (f flood, err error) {
	flooding, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	sent := 0
	start := time.Now()
	go func() {
		var err error
		sent, err = by.Flood(flooding, "eth0", rate, 0, frame)
		ended <- err
	}()
	h := o.Hosts[0]
	pids := []int{h.Vswitchd.Pid(), h.Ovloomd.Pid()}
	var before, after [2]time.Duration
	for i, pid := range pids {
		if before[i], err = cpuOf(pid); err != nil {
			return f, err
		}
	}
	if err := do(); err != nil {
		return f, err
	}
	for i, pid := range pids {
		if after[i], err = cpuOf(pid); err != nil {
			return f, err
		}
	}
	f.took = time.Since(start)
	stop()
	err = <-ended
	f.sent = sent
	f.switchCPU, f.ovCPU = after[0]-before[0], after[1]-before[1]
	return f, err
}

// drops returns the number of packets that the host has dropped, by reason.
func (o *overlay) drops(ctx context.Context) (map[string]uint64, error) {
	st, err := o.clients[0].Status(ctx)
	if err != nil {
		return nil, err
	}
	by := map[string]uint64{}
	for _, d := range st.Drops {
		by[d.Reason] = d.Packets
	}
	return by, nil
}
