package explain

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/pipeline"
)

// arrive traces a packet from outside: the question for the MAC address, which every host
// on the external's segment receives, and the packet, to the hosts that answer.
func (j *journey) arrive(ctx context.Context) error {
	e, err := j.external(ctx)
	if err != nil {
		return err
	}
	hosts, err := j.receivers(ctx)
	if err != nil {
		return err
	}
	dst, err := netip.ParseAddr(j.q.To)
	if err != nil {
		return err // cannot happen after Validate
	}
	src, mac := e.Gateway, outsideMAC
	if j.q.SrcAddr.IsValid() {
		src = j.q.SrcAddr
	}
	if !j.q.SrcMAC.IsZero() {
		mac = j.q.SrcMAC
	}
	asker := e.Gateway // for all senders further away
	if e.Kind == intent.ExternalBridge && e.Subnet.Contains(src) {
		asker = src
	}
	ask := question(mac, asker, dst)
	var legs []leg
	for _, h := range hosts {
		legs = append(legs, leg{h, Request{External: e.Name, Packet: exact(ask)}})
	}
	p := j.follow(ctx, ask, legs)
	p.Hops = slices.DeleteFunc(p.Hops, func(h intent.TraceHop) bool { return h.Via == noUplink })
	if len(p.Hops) == 0 {
		return intent.NotFoundf("external %s has no uplink on %s", e.Name, strings.Join(hosts, ", ")).
			WithHint("`ovloom status` says there what is missing")
	}
	legs = nil
	for _, h := range p.Hops {
		for _, end := range h.Ends {
			if at, err := net.ParseMAC(end.Answer); err == nil && len(at) == 6 {
				packet := ipPacket(j.q, mac, intent.MAC(at), src, dst)
				legs = append(legs, leg{h.Host, Request{External: e.Name, Packet: exact(packet), Size: j.q.Size}})
			}
		}
	}
	if len(legs) == 0 {
		j.conclude(p)
		if p.Verdict == intent.TraceDropped {
			j.trace.Summary = fmt.Sprintf("no packet comes in: no host answers for %s on external %s", dst, e.Name)
			advice := j.placeholders(intent.TraceEnd{}).Replace(adviceFor[pipeline.ReasonNotOurs.String()])
			j.trace.Advice = append(slices.DeleteFunc(j.trace.Advice, func(a string) bool { return a == advice }), advice)
		}
		return nil
	}
	// What the other hosts do with it is of no interest.
	p.Hops = slices.DeleteFunc(p.Hops, func(h intent.TraceHop) bool {
		return !slices.ContainsFunc(legs, func(l leg) bool { return l.host == h.Host })
	})
	judge(&p)
	if j.q.Ask {
		j.conclude(p)
		return nil
	}
	j.trace.Packets = append(j.trace.Packets, p)
	j.conclude(j.follow(ctx, ipPacket(j.q, mac, broadcastMAC, src, dst), legs))
	return nil
}

// noUplink describes the arrival at a host without an uplink to the external.
const noUplink = "not at all: the external has no uplink there"

// external returns the external by which the packet comes in.
func (j *journey) external(ctx context.Context) (intent.External, error) {
	all, err := j.Externals(ctx)
	if err != nil {
		return intent.External{}, err
	}
	i := slices.IndexFunc(all, func(e intent.External) bool { return e.Name == j.q.External })
	if i < 0 {
		return intent.External{}, intent.NotFoundf("external %s does not exist", j.q.External).
			WithHint("`ovloom external list` shows those that do")
	}
	return all[i], nil
}

// receivers returns the hosts where the packet may come in.
func (j *journey) receivers(ctx context.Context) (names []string, err error) {
	if j.hosts, err = j.Hosts(ctx); err != nil {
		return nil, err
	}
	for _, h := range j.hosts {
		switch {
		case j.q.Host == h.Name, j.q.Host == "" && h.Alive:
			names = append(names, h.Name)
		case j.q.Host == "":
			j.trace.Advice = append(j.trace.Advice, fmt.Sprintf("host %s is down, and was not asked: its switch may answer all the same", h.Name))
		}
	}
	switch {
	case len(names) == 0 && j.q.Host != "":
		return nil, intent.NotFoundf("host %s does not exist", j.q.Host).WithHint("`ovloom host list` shows those that do")
	case len(names) == 0:
		return nil, intent.Unavailablef("no host is up").WithHint("`ovloom host list` shows all")
	}
	return names, nil
}
