package agent

// The underlay's interface.

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/ovloom/ovloom/hostnet"
)

// underlay is the interface that holds the VTEP address, as last read.
type underlay struct {
	mtu    int
	ifname string
	err    error
	at     time.Time // when it was read; zero: never
}

// underlayAge is how long the last reading is valid if no change is seen.
const underlayAge = 10 * time.Second

// underlay returns the MTU, in bytes of IP packet, of the interface that holds the VTEP
// address, and its name. Reading it takes longer the more interfaces there are, so the result
// is cached until the kernel reports a change.
func (a *Agent) underlay() (mtu int, ifname string, err error) {
	a.mu.Lock()
	u := a.below
	watched := a.links != nil
	a.mu.Unlock()
	if watched && u.err == nil && time.Since(u.at) < underlayAge {
		return u.mtu, u.ifname, nil
	}
	u.mtu, u.ifname, u.err = a.cfg.Network.Underlay()
	u.at = time.Now()
	a.mu.Lock()
	a.below = u
	a.mu.Unlock()
	return u.mtu, u.ifname, u.err
}

// Underlay is the state of the interface by which tunnel packets leave.
type Underlay struct {
	Interface string
	MTU       int    // bytes of IP packet
	Fault     string // why no tunnel works: "the VTEP address 192.0.2.1 is on no interface of this host"
	Do        string
}

// Underlay returns the current state of the interface by which tunnel packets leave.
func (a *Agent) Underlay(vtep netip.Addr) Underlay {
	mtu, ifname, err := a.underlay()
	if err != nil {
		return Underlay{
			Fault: fmt.Sprintf("the VTEP address %s is on no interface of this host: tunnels to and from it do not work", vtep),
			Do:    fmt.Sprintf("put it back (ip addr add %s/LENGTH dev INTERFACE), or restart ovloomd with the address that this host has now: --vtep ADDRESS", vtep),
		}
	}
	u := Underlay{Interface: ifname, MTU: mtu}
	if u.Fault, u.Do = a.linkFault(ifname, "which holds the VTEP address"); u.Fault == "" && a.card() != "" {
		u.Fault, u.Do = a.linkFault(a.card(), "the underlay's card")
	}
	return u
}

// card returns the underlay's NIC if it is in a bridge, whose interface then holds the VTEP
// address; "" if it is not.
func (a *Agent) card() string {
	if a.cfg.Card == nil {
		return ""
	}
	return a.cfg.Card()
}

// linkFault returns why an interface passes no packets, and the remedy; "" if it may pass
// them, or is not known.
func (a *Agent) linkFault(name, which string) (fault, do string) {
	a.mu.Lock()
	l, ok := a.links[name]
	a.mu.Unlock()
	switch {
	case !ok:
	case !l.Up:
		return fmt.Sprintf("interface %s, %s, is down", name, which), fmt.Sprintf("ip link set %s up", name)
	case !l.Carrier:
		return fmt.Sprintf("interface %s, %s, has no carrier", name, which), "see whether the cable is in, and whether the port at its other end is up"
	}
	return "", ""
}

// UnderlayChanged returns a channel that has an element whenever Underlay may have changed.
func (a *Agent) UnderlayChanged() <-chan struct{} { return a.moved }

// concerns reports whether a change may affect the cached interface or the NIC.
func (u underlay) concerns(c hostnet.Change, card string) bool {
	is := func(name string) bool { return name == u.ifname || name == card }
	return c.All || c.Addrs || slices.ContainsFunc(c.Gone, is) ||
		slices.ContainsFunc(c.Links, func(l hostnet.LinkState) bool { return is(l.Name) })
}
