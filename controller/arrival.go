package controller

import (
	"net/netip"
	"slices"

	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/packet"
	"github.com/ovloom/ovloom/pipeline"
)

// This file tells a network of ports that have come up on this host, or that got another
// MAC or address here: an address that was another port's a moment ago, or had another
// MAC, would be sent to the old MAC until the neighbours ask again, and a peer would send
// to the host where the port was before. Ports themselves cannot tell: nobody would
// believe them.

const (
	arrivalTimes = 3   // one at a time may be lost, or be ignored by who heard of the address just now; one each tick
	arrivalsEach = 100 // announcements that are sent at a time: the switch has other things to do
)

// arrive takes in that the store knows a port to be up here that was not.
func (c *Controller) arrive(ref intent.PortRef) {
	c.arrivals[ref] = arrivalTimes
	c.announce(ref)
}

// readdressed says whether neighbours may know an address of a port under a MAC that is
// not the port's now.
func readdressed(old, now *intent.Port) bool {
	return old.MAC != now.MAC || slices.ContainsFunc(now.Addrs, func(a netip.Addr) bool { return !slices.Contains(old.Addrs, a) })
}

// announceMoved announces the ports here that got another MAC or address since the last
// call, whose flows the switch has by now.
func (c *Controller) announceMoved() {
	for ref := range c.world.moved {
		c.arrive(ref)
	}
	clear(c.world.moved)
}

// announceArrivals says again what was said at the last tick.
func (c *Controller) announceArrivals() {
	for ref := range c.arrivals {
		c.announce(ref)
	}
}

func (c *Controller) announce(ref intent.PortRef) {
	t, n, p, known := c.world.find(ref)
	_, inForce := c.world.claim(ref)
	port := c.world.local[ref]
	if !known || c.world.ports.done[ref] == nil || !inForce || port == 0 || c.arrivals[ref] == 0 {
		delete(c.arrivals, ref)
		return
	}
	c.arrivals[ref]--
	var out []of.PacketOut
	for _, a := range p.Addrs {
		frame := packet.Announce(p.MAC, a)
		if a.Is6() {
			frame = packet.Advertise(p.MAC, a)
		}
		out = append(out, pipeline.FloodFrom(port, n.intent.VNI, t.VRF, frame))
	}
	c.world.routing.say(out)
}

// say gives the router something to send.
func (r *routing) say(out []of.PacketOut) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sayings = append(r.sayings, out...)
}

// takeSayings returns some of what is to be sent.
func (r *routing) takeSayings() []of.PacketOut {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := min(len(r.sayings), arrivalsEach)
	out := r.sayings[:n:n]
	if r.sayings = r.sayings[n:]; len(r.sayings) == 0 {
		r.sayings = nil
	}
	return out
}
