package main

// This file compares packets through ovloom's tables with packets through a single NORMAL flow,
// in the same switch, between ports of the same type.

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/unixctl"
)

// portKind is how ovs-vswitchd reads and writes the frames of ports.
type portKind struct {
	name    string
	needs   string   // an interface type that Open vSwitch must support
	options []string // for ovs-vsctl set Interface; none: the default
}

var portKinds = []portKind{
	{name: "AF_PACKET", needs: "system"},
	{name: "AF_XDP", needs: "afxdp", options: []string{"type=afxdp", "options:xdp-mode=native"}},
}

// way is the path of packets in one direction, and of their replies.
type way struct {
	name     string
	from, to *lab.Workload
	addr     netip.Addr // of to
	peer     *way       // compared with this way; nil: this is a reference
	least    float64    // of the reference's speed; 0: no target
}

const (
	normalBridge = "br-normal"
	wireTurns    = 4                      // per round; with more and shorter turns, both ways meet the same load
	wireBytes    = 32 << 20               // of one transfer
	wireTime     = 250 * time.Millisecond // for opening connections
	wireMTU      = 1500                   // of all ports
	wireExternal = "campus"
)

// wire measures all ways with each type of port.
func (b *bench) wire(ctx context.Context) ([]figure, error) {
	var figures []figure
	for _, kind := range portKinds {
		got, err := b.wireOf(ctx, kind)
		figures = append(figures, got...)
		if err != nil {
			return figures, fmt.Errorf("%s: %w", kind.name, err)
		}
	}
	return figures, nil
}

// carried holds the measurements of one way, one value per turn.
type carried struct {
	throughput  []float64 // bits a second
	perPacket   []float64 // nanoseconds of CPU of ovs-vswitchd per packet of the throughput
	connections []float64 // opened a second
	perOpened   []float64 // nanoseconds of CPU of ovs-vswitchd per connection, from its first packet to its last
}

func (b *bench) wireOf(ctx context.Context, kind portKind) (_ []figure, err error) {
	o, err := startOverlayOn(ctx, lab.Config{Hosts: 1, UnderlayMTU: wireMTU + 50})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, o.close()) }()
	types, err := o.Hosts[0].Vsctl(ctx, "get", "Open_vSwitch", ".", "iface_types")
	if err != nil {
		return nil, err
	}
	if !strings.Contains(types, kind.needs) {
		return []figure{{what: "packets by " + kind.name, ours: "this Open vSwitch was built without it"}}, nil
	}
	ways, err := o.ways(ctx, kind)
	if err != nil {
		return nil, err
	}
	got := map[*way]*carried{}
	for turn := range wireTurns*b.rounds + 1 {
		for i := range ways {
			w := ways[i]
			if turn%2 == 0 { // so that the order gives no advantage
				w = ways[len(ways)-1-i]
			}
			if turn <= 1 {
				got[w] = &carried{} // the first turn fills caches
			}
			if err := o.carry(ctx, w, got[w]); err != nil {
				return nil, fmt.Errorf("%s: %w", w.name, err)
			}
		}
	}
	var figures []figure
	for _, w := range ways {
		if w.peer == nil {
			continue
		}
		us, them := got[w], got[w.peer]
		name := w.name + ", " + kind.name
		rate := func(v float64) string { return fmt.Sprintf("%.0f/s", v) }
		for _, c := range []struct {
			what         string
			ours, theirs []float64
			ratio        float64
			show         func(float64) string
		}{
			{"TCP", us.throughput, them.throughput, medianRatio(us.throughput, them.throughput), gigabits},
			{"CPU of the switch for a packet of that", us.perPacket, them.perPacket, medianRatio(them.perPacket, us.perPacket), microseconds},
			{"connections", us.connections, them.connections, medianRatio(us.connections, them.connections), rate},
			{"CPU of the switch for one of them", us.perOpened, them.perOpened, medianRatio(them.perOpened, us.perOpened), microseconds},
		} {
			f := figure{what: name + ": " + c.what, ours: c.show(medianOf(c.ours)), peer: w.peer.name + ": " + c.show(medianOf(c.theirs)),
				ratio: fmt.Sprintf("%.2f ×", c.ratio)}
			if w.least > 0 {
				f.target, f.met = fmt.Sprintf("≥ %.2f ×", w.least), judge(c.ratio >= w.least)
			}
			figures = append(figures, f)
		}
	}
	return figures, nil
}

// ways plugs the ends of all ways, and returns when packets pass on each.
func (o *overlay) ways(ctx context.Context, kind portKind) ([]*way, error) {
	outside, err := o.NewOutside(ctx)
	if err != nil {
		return nil, err
	}
	if err := o.leave(ctx); err != nil {
		return nil, err
	}
	a, err := o.attached(ctx, 0)
	if err != nil {
		return nil, err
	}
	b, err := o.attached(ctx, 0)
	if err != nil {
		return nil, err
	}
	c, err := o.plugBeside(ctx)
	if err != nil {
		return nil, err
	}
	h := o.Hosts[0]
	if _, err := h.Vsctl(ctx, "add-br", normalBridge, "--", "set", "Bridge", normalBridge, "datapath_type=netdev", "fail_mode=secure"); err != nil {
		return nil, err
	}
	if _, err := h.Exec(ctx, "ovs-ofctl", "add-flow", "unix:"+h.MgmtSock(normalBridge), "actions=NORMAL"); err != nil {
		return nil, err
	}
	var plain []*lab.Workload
	for _, p := range []struct{ bridge, name, addr string }{
		{normalBridge, "plain1", "172.30.0.1/24"}, {normalBridge, "plain2", "172.30.0.2/24"}, {lab.CampusBridge, "desk", "203.0.113.220/24"},
	} {
		w, err := h.NewWorkload(ctx, p.name)
		if err != nil {
			return nil, err
		}
		if err := w.PlugVeth(ctx, lab.Veth{Bridge: p.bridge, HostIf: p.name, MTU: wireMTU, Addrs: []netip.Prefix{netip.MustParsePrefix(p.addr)}}); err != nil {
			return nil, err
		}
		plain = append(plain, w)
	}
	if err := o.retype(ctx, kind, "plain1", "plain2", "desk", lab.CampusNIC); err != nil {
		return nil, err
	}
	normal := &way{name: "NORMAL", from: plain[0], to: plain[1], addr: netip.MustParseAddr("172.30.0.2")}
	normalOut := &way{name: "NORMAL to the outside", from: plain[2], to: outside.Workload, addr: lab.CampusServer}
	ways := []*way{
		normal,
		{name: "NORMAL once more", from: plain[0], to: plain[1], addr: netip.MustParseAddr("172.30.0.2"), peer: normal}, // shows the influence of chance
		{name: "within a network", from: a.Workload, to: b.Workload, addr: b.addr, peer: normal, least: 0.95},
		{name: "routed", from: a.Workload, to: c.Workload, addr: c.addr, peer: normal, least: 0.95},
		normalOut,
		{name: "SNAT to the outside", from: a.Workload, to: outside.Workload, addr: lab.CampusServer, peer: normalOut, least: 0.8},
	}
	for _, w := range ways {
		err := until(ctx, func() error {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			_, err := w.from.Ping(ctx, w.addr)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", w.name, err)
		}
	}
	return ways, nil
}

// leave gives the tenant an uplink through the campus' bridge.
func (o *overlay) leave(ctx context.Context) error {
	c := o.clients[0]
	_, err := c.Add(ctx, intent.External{
		Name: wireExternal, Kind: intent.ExternalBridge, Bridge: lab.CampusBridge, Subnet: lab.Campus, Gateway: lab.CampusGateway,
		Pool: intent.AddrRange{First: netip.MustParseAddr("203.0.113.10"), Last: netip.MustParseAddr("203.0.113.200")},
	})
	if err != nil {
		return err
	}
	_, err = c.Add(ctx, intent.SNAT{Tenant: web.Tenant, External: wireExternal})
	return err
}

// plugBeside plugs a station in another network of the tenant.
func (o *overlay) plugBeside(ctx context.Context) (*station, error) {
	beside := netip.MustParsePrefix("172.20.0.0/16")
	if _, err := o.clients[0].Add(ctx, intent.Network{Tenant: web.Tenant, Name: "db", Subnets: []intent.Subnet{{Prefix: beside}}}); err != nil {
		return nil, err
	}
	s, err := o.station(ctx, 0)
	if err != nil {
		return nil, err
	}
	s.ref.Network, s.addr = "db", netip.MustParseAddr("172.20.0.10")
	return s, o.attach(ctx, 0, s)
}

// retype changes the type of ports: the named ones, and all that ovloom plugged.
func (o *overlay) retype(ctx context.Context, kind portKind, names ...string) error {
	if len(kind.options) == 0 {
		return nil
	}
	h := o.Hosts[0]
	out, err := h.Vsctl(ctx, "--bare", "--columns=name", "find", "Interface", "external_ids:iface-id!=\"\"")
	if err != nil {
		return err
	}
	for _, name := range append(names, strings.Fields(out)...) {
		if _, err := h.Vsctl(ctx, append([]string{"set", "Interface", name}, kind.options...)...); err != nil {
			return err
		}
		fault, err := h.Vsctl(ctx, "--bare", "get", "Interface", name, "error")
		if err != nil {
			return err
		}
		if fault = strings.Trim(strings.TrimSpace(fault), "[]\""); fault != "" {
			return fmt.Errorf("%s: %s", name, fault)
		}
	}
	return nil
}

// carry sends traffic on one way, and adds the measurements.
func (o *overlay) carry(ctx context.Context, w *way, into *carried) error {
	before, err := o.spent(ctx)
	if err != nil {
		return err
	}
	t, err := lab.Transfer(ctx, w.from, w.to, w.addr, wireBytes)
	if err != nil {
		return err
	}
	after, err := o.spent(ctx)
	if err != nil {
		return err
	}
	into.throughput = append(into.throughput, 8*float64(t.Bytes)/t.Elapsed.Seconds())
	into.perPacket = append(into.perPacket, float64(after.work(before))/float64(after.packets-before.packets))

	n, took, err := connectMany(ctx, w)
	if err != nil {
		return err
	}
	end, err := o.spent(ctx)
	if err != nil {
		return err
	}
	into.connections = append(into.connections, float64(n)/took.Seconds())
	into.perOpened = append(into.perOpened, float64(end.work(after))/float64(n))
	return nil
}

// spending is what the datapath has used since it started.
type spending struct {
	packets    int64
	busy, idle int64         // cycles of threads that only poll ports
	cpu        time.Duration // of all of ovs-vswitchd
}

// work returns the CPU time since before, without idle polling. The cycles come from a clock
// that keeps running while a thread waits for its CPU.
func (s spending) work(before spending) time.Duration {
	cpu, busy, idle := s.cpu-before.cpu, s.busy-before.busy, s.idle-before.idle
	if busy == 0 {
		return cpu // without polling threads
	}
	return time.Duration(float64(cpu) * float64(busy) / float64(busy+idle))
}

// spent reads the figures from ovs-vswitchd. All bridges share the datapath.
func (o *overlay) spent(ctx context.Context) (s spending, err error) {
	h := o.Hosts[0]
	out, err := unixctl.New(h.OVSRunDir(), "ovs-vswitchd").Call(ctx, "dpif-netdev/pmd-stats-show")
	if err != nil {
		return s, err
	}
	for line := range strings.Lines(out) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		number, _, _ := strings.Cut(value, " ")
		into := map[string]*int64{"packets received": &s.packets, "processing cycles": &s.busy, "idle cycles": &s.idle}[name]
		if into == nil {
			continue
		}
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return s, fmt.Errorf("read the datapath's statistics: %w", err)
		}
		*into += n
	}
	s.cpu, err = cpuOf(h.Vswitchd.Pid())
	return s, err
}

// medianOf returns the median of a list that is not empty.
func medianOf(list []float64) float64 {
	list = slices.Sorted(slices.Values(list))
	return list[len(list)/2]
}

// medianRatio returns the median of the turns' ratios of two values.
func medianRatio(a, b []float64) float64 {
	ratios := make([]float64, len(a))
	for i := range ratios {
		ratios[i] = a[i] / b[i]
	}
	return medianOf(ratios)
}

func gigabits(bps float64) string { return fmt.Sprintf("%.2f Gbit/s", bps/1e9) }

func microseconds(ns float64) string { return fmt.Sprintf("%.1f µs", ns/1e3) }
