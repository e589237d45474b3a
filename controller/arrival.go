package controller

import "github.com/ovloom/ovloom/intent"

// Ports that come up on this host, or change their MAC or address here, are announced
// to their networks: otherwise neighbours would go on sending to the address's previous
// MAC, and peers to the port's previous host.

// arrivalTimes is how often a port is announced, once each tick: an announcement may be
// lost, or ignored by a neighbour that has just learned the address.
const arrivalTimes = 3

// arrive starts the announcements of a port that has come up here.
func (c *Controller) arrive(ref intent.PortRef) {
	c.arrivals[ref] = arrivalTimes
	c.announceArrival(ref)
}

// announceMoved announces the ports here whose MAC or address has changed since the
// last call, and whose flows are in the switch.
func (c *Controller) announceMoved() {
	for _, ref := range c.world.TakeMoved() {
		c.arrive(ref)
	}
}

// announceArrivals repeats the announcements of ports that came up a while ago.
func (c *Controller) announceArrivals() {
	for ref := range c.arrivals {
		c.announceArrival(ref)
	}
}

func (c *Controller) announceArrival(ref intent.PortRef) {
	arrival, here := c.world.Arrival(ref)
	if !here || c.arrivals[ref] == 0 {
		delete(c.arrivals, ref)
		return
	}
	c.arrivals[ref]--
	c.announce(arrival)
}
