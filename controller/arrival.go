package controller

import "github.com/ovloom/ovloom/intent"

// Ports that have come up on this host, or got another MAC or address here, are announced
// to their networks: neighbours would go on sending to the MAC that an address had before,
// and peers to the host where a port was before.

// arrivalTimes is how often a port is announced, once each tick: an announcement may be lost,
// or be ignored by a neighbour that learned of the address just now.
const arrivalTimes = 3

// arrive takes in that a port is up here that was not.
func (c *Controller) arrive(ref intent.PortRef) {
	c.arrivals[ref] = arrivalTimes
	c.announceArrival(ref)
}

// announceMoved announces the ports here that got another MAC or address since the last
// call, whose flows the switch has by now.
func (c *Controller) announceMoved() {
	for _, ref := range c.world.TakeMoved() {
		c.arrive(ref)
	}
}

// announceArrivals announces again the ports that came up a while ago.
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
