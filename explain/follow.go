package explain

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
)

const (
	// hopTime bounds how long a host may take for its part.
	hopTime = 4 * time.Second
	// tunnelsMax bounds how often a packet is followed from host to host: it goes through
	// one tunnel, and a few more where hosts pass it on for others.
	tunnelsMax = 6
	// hostsAtOnce bounds how many hosts are asked at the same time.
	hostsAtOnce = 16
)

// Tracer follows packets through the whole overlay.
type Tracer struct {
	// Snapshot returns all objects of one tenant.
	Snapshot func(ctx context.Context, tenant string) (intent.Snapshot, error)
	// Hosts returns all hosts. If it fails, packets are followed on their sender's host
	// only.
	Hosts func(ctx context.Context) ([]intent.HostState, error)
	// Externals returns all externals.
	Externals func(ctx context.Context) ([]intent.External, error)
	// Hop has a host do its part: Switch.Trace on that host.
	Hop func(ctx context.Context, host string, r Request) (intent.TraceHop, error)
}

// journey is one trace in progress.
type journey struct {
	Tracer
	q     intent.TraceQuery
	snap  intent.Snapshot
	hosts []intent.HostState

	// The sender, if that is a port.
	port    intent.Port
	network intent.Network
	host    string

	trace intent.Trace
}

// Trace returns what would become of a packet. Hosts that do not answer are not an error:
// the trace says where it ends.
func (t Tracer) Trace(ctx context.Context, q intent.TraceQuery) (intent.Trace, error) {
	if err := q.Validate(); err != nil {
		return intent.Trace{}, err
	}
	j := journey{Tracer: t, q: q}
	from := q.From.String()
	if q.External != "" {
		from = "external " + q.External
	}
	j.trace = intent.Trace{From: from, To: q.To, Advice: []string{}, Silent: []string{}, Packets: []intent.TracePacket{}}
	if q.External != "" {
		return j.trace, j.arrive(ctx)
	}
	if err := j.prepare(ctx); err != nil {
		return intent.Trace{}, err
	}
	d, err := j.destination(ctx)
	if err != nil {
		return intent.Trace{}, err
	}
	return j.trace, j.send(ctx, d)
}

// prepare finds the sender.
func (j *journey) prepare(ctx context.Context) (err error) {
	if j.snap, err = j.Snapshot(ctx, j.q.From.Tenant); err != nil {
		return err
	}
	var ok bool
	if j.port, ok = findPort(j.snap, j.q.From); !ok {
		return intent.NotFoundf("port %s does not exist", j.q.From).
			WithHint("`ovloom port list %s` shows those that do", j.q.From.Tenant)
	}
	i := slices.IndexFunc(j.snap.Networks, func(n intent.Network) bool { return n.Ref() == j.q.From.NetworkRef() })
	if i < 0 {
		return intent.NotFoundf("network %s does not exist", j.q.From.NetworkRef())
	}
	j.network = j.snap.Networks[i]
	claims := slices.DeleteFunc(slices.Clone(j.snap.Bindings), func(b intent.Binding) bool { return b.PortRef() != j.q.From })
	b, bound := intent.Winner(claims)
	if !bound {
		return intent.Conflictf("port %s is not plugged: nothing can be sent from there", j.q.From).
			WithHint("`ovloom port plug %s --netns NAME` plugs it", j.q.From)
	}
	j.host = b.Host
	if j.hosts, err = j.Hosts(ctx); err != nil && intent.KindOf(err) != intent.Unavailable {
		return err
	}
	return nil
}

func findPort(s intent.Snapshot, ref intent.PortRef) (intent.Port, bool) {
	i := slices.IndexFunc(s.Ports, func(p intent.Port) bool { return p.Ref() == ref })
	if i < 0 {
		return intent.Port{}, false
	}
	return s.Ports[i], true
}

// send traces the ARP or neighbour discovery question, if there is one, and the packet.
func (j *journey) send(ctx context.Context, d destination) error {
	mac := j.port.MAC
	if !j.q.SrcMAC.IsZero() {
		mac = j.q.SrcMAC
	}
	var src netip.Addr
	var err error
	if d.addr.IsValid() {
		if src, err = j.sender(d.addr); err != nil {
			return err
		}
	} else if j.q.Protocol != "" || j.q.ICMPType != nil || j.q.SrcAddr.IsValid() {
		return intent.Invalidf("a packet to %s needs an IP address", j.q.To).
			WithHint("no port of network %s with that MAC address has one: give an address as the destination", j.network.Ref())
	}
	if d.note != "" {
		j.trace.Advice = append(j.trace.Advice, d.note)
	}
	if d.mac.IsZero() || j.q.Ask {
		if !d.addr.IsValid() {
			return intent.Invalidf("%s has no address to ask for", j.q.To).WithHint("--ask needs an IP address or a port that has one")
		}
		found, ok, err := j.ask(ctx, mac, d.addr)
		if err != nil || !ok {
			return err
		}
		d.mac = found
	}
	frame := plainFrame(j.network, j.port, mac, d.mac)
	if d.addr.IsValid() {
		frame = ipPacket(j.q, mac, d.mac, src, d.addr)
	}
	j.conclude(j.follow(ctx, frame, []leg{{j.host, Request{Port: &j.q.From, Packet: exact(frame), Size: j.q.Size}}}))
	return nil
}

// ask traces the question for the MAC address of the next hop to a. It reports whether a
// packet follows.
func (j *journey) ask(ctx context.Context, mac intent.MAC, a netip.Addr) (intent.MAC, bool, error) {
	own, err := j.own(a)
	if err != nil || j.q.Ask {
		// A forged sender address belongs in what is traced: in the question if that is
		// all, else in the packet alone.
		if own, err = j.sender(a); err != nil {
			return intent.MAC{}, false, err
		}
	} else {
		mac = j.port.MAC
	}
	next := a
	if s, ok := j.subnet(own); ok && !s.Prefix.Contains(a) && (a.Is4() || !a.IsLinkLocalUnicast()) {
		next = s.Gateway
	}
	m := question(mac, own, next)
	p := j.follow(ctx, m, []leg{{j.host, Request{Port: &j.q.From, Packet: exact(m)}}})
	if next != a {
		p.What += fmt.Sprintf(" (the gateway, for %s)", a)
	}
	found := j.answered(p, next)
	if found.IsZero() || j.q.Ask {
		j.conclude(p)
		if p.Verdict == intent.TraceDropped && !j.q.Ask {
			j.trace.Summary = fmt.Sprintf("no packet is sent: the question who has %s is %s", next, p.Summary)
		} else if !j.q.Ask && p.Verdict != intent.TraceUnknown {
			j.trace.Verdict = intent.TraceUnknown
			j.trace.Summary = fmt.Sprintf("whether anybody has %s shows only when it is asked for: the question is %s", next, p.Summary)
			j.trace.Advice = append(j.trace.Advice, "if you know the MAC address that answers, trace to that")
		}
		return intent.MAC{}, false, nil
	}
	j.trace.Packets = append(j.trace.Packets, p)
	return found, true, nil
}

// answered returns the MAC address in the answer to a question for an address: from the
// switch, or from the port that gets the question; "" if there is no answer.
func (j *journey) answered(p intent.TracePacket, a netip.Addr) intent.MAC {
	for _, h := range p.Hops {
		for _, e := range h.Ends {
			if m, err := net.ParseMAC(e.Answer); err == nil && len(m) == 6 {
				return intent.MAC(m)
			}
			if e.Kind != intent.TraceDelivered {
				continue
			}
			for _, port := range j.snap.Ports {
				if port.Ref().String() == e.Port && slices.Contains(port.Addrs, a) {
					return port.MAC
				}
			}
		}
	}
	return intent.MAC{}
}

// leg is the part of a packet's path on one host.
type leg struct {
	host string
	r    Request
}

// follow traces a packet on every host that it reaches.
func (j *journey) follow(ctx context.Context, m of.Match, legs []leg) intent.TracePacket {
	p := intent.TracePacket{What: describePacket(parseFields(m.String())), Hops: []intent.TraceHop{}}
	for range tunnelsMax {
		hops := make([]intent.TraceHop, len(legs))
		var g errgroup.Group
		g.SetLimit(hostsAtOnce)
		for i, l := range legs {
			g.Go(func() error {
				hops[i] = j.hop(ctx, l.host, l.r)
				return nil
			})
		}
		_ = g.Wait() // failures are in the hops
		before := legs
		legs = nil
		for i := range hops {
			for k := range hops[i].Ends {
				e := &hops[i].Ends[k]
				if e.Kind == intent.TraceTunnelled && j.receiver(e) {
					legs = append(legs, leg{e.Host, Request{Packet: e.Packet, Size: before[i].r.Size,
						Tunnel: &Tunnel{Src: j.vtep(hops[i].Host), VNI: e.VNI, SrcHost: hops[i].Host}}})
				}
			}
		}
		p.Hops = append(p.Hops, hops...)
		if len(legs) == 0 {
			break
		}
	}
	judge(&p)
	return p
}

// hop has one host do its part.
func (j *journey) hop(ctx context.Context, host string, r Request) intent.TraceHop {
	ctx, cancel := context.WithTimeout(ctx, hopTime)
	defer cancel()
	var err error
	if i := slices.IndexFunc(j.hosts, func(h intent.HostState) bool { return h.Name == host }); i >= 0 && !j.hosts[i].Alive {
		err = intent.Unavailablef("host %s is down", host)
	}
	var h intent.TraceHop
	if err == nil {
		h, err = j.Hop(ctx, host, r)
	}
	if r.External != "" && intent.KindOf(err) == intent.NotFound {
		h.Host, h.Via, err = host, noUplink, nil
	}
	if err != nil {
		h.Host, h.Error = host, err.Error()
		var told *intent.Error
		if errors.As(err, &told) {
			h.Error = told.What
		}
	}
	if h.Packet == "" {
		h.Packet = r.Packet
	}
	if h.Via == "" && r.Tunnel != nil {
		h.Via = fmt.Sprintf("through the tunnel from %s, VNI %d", r.Tunnel.SrcHost, r.Tunnel.VNI)
	}
	if h.Steps == nil {
		h.Steps = []intent.TraceStep{}
	}
	if h.Ends == nil {
		h.Ends = []intent.TraceEnd{}
	}
	return h
}

// receiver finds out which host gets a packet sent into a tunnel; false if no host can be
// asked.
func (j *journey) receiver(e *intent.TraceEnd) bool {
	for _, h := range j.hosts {
		if h.VTEP == e.VTEP {
			e.Host, e.Words = h.Name, fmt.Sprintf("through the tunnel to %s (%s), VNI %d", h.Name, e.VTEP, e.VNI)
			return true
		}
	}
	for _, p := range j.snap.Peers {
		if p.VTEP == e.VTEP {
			e.Kind, e.Host = intent.TraceLeft, "peer "+p.Ref().String()
			e.Words = fmt.Sprintf("through the tunnel to peer %s (%s), VNI %d", p.Ref(), e.VTEP, e.VNI)
			return false
		}
	}
	e.Kind = intent.TraceUnknown
	e.Words = fmt.Sprintf("through the tunnel to %s, VNI %d, but which host that is is not known", e.VTEP, e.VNI)
	return false
}

// vtep returns a host's address.
func (j *journey) vtep(host string) netip.Addr {
	for _, h := range j.hosts {
		if h.Name == host {
			return h.VTEP
		}
	}
	return netip.Addr{}
}

// conclude makes the verdict of the last packet the trace's verdict.
func (j *journey) conclude(p intent.TracePacket) {
	j.trace.Packets = append(j.trace.Packets, p)
	j.trace.Verdict, j.trace.Summary = p.Verdict, p.Summary
	for _, p := range j.trace.Packets {
		for _, h := range p.Hops {
			if h.Error != "" && !slices.Contains(j.trace.Silent, h.Host) {
				j.trace.Silent = append(j.trace.Silent, h.Host)
			}
			for _, e := range h.Ends {
				if e.Kind == intent.TraceUnknown && !slices.Contains(j.trace.Silent, e.VTEP.String()) {
					j.trace.Silent = append(j.trace.Silent, e.VTEP.String())
				}
			}
		}
	}
	j.trace.Advice = append(j.trace.Advice, j.advice(p)...)
}
