package doctor

import (
	"fmt"
	"net/netip"

	"github.com/ovloom/ovloom/intent"
)

// Hop is where a host sends the tunnel packets for another host: to that host itself, or
// to the router in between.
type Hop struct {
	Host intent.Host // the receiver
	Addr netip.Addr
	Link string // of the underlay

	MAC string // that answers ARP for Addr; "": none known to this host
	Was string // another MAC that Addr had a moment ago; "": none
}

// Neighbours reports what is wrong with the neighbours on the underlay of the named host.
func Neighbours(self string, hops []Hop) []intent.Finding {
	var list []intent.Finding
	find := func(h Hop, do, what string) {
		list = append(list, intent.Finding{Hosts: []string{self, h.Host.Name}, What: what, Do: do})
	}
	for _, h := range hops {
		who := fmt.Sprintf("%s (%s)", h.Addr, h.Host.Name)
		if h.Addr != h.Host.VTEP {
			who = fmt.Sprintf("%s (the router to %s)", h.Addr, h.Host.Name)
		}
		switch {
		case h.MAC == "":
			find(h, fmt.Sprintf("see whether that machine is up and on the same segment: on %s, ping -c 1 -I %s %s", self, h.Link, h.Addr),
				fmt.Sprintf("on %s: nothing answers ARP for %s on %s", self, who, h.Link))
		case h.Was != "":
			find(h, fmt.Sprintf("if its card was not replaced, some machine on the underlay claims its address: look for %s and %s in the tables of the underlay's switches", h.MAC, h.Was),
				fmt.Sprintf("on %s: %s was said to have MAC %s in the last minute, and had %s before", self, who, h.MAC, h.Was))
		}
	}
	return list
}
