package agent

// The interface that the tunnels leave by.

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/ovloom/ovloom/hostnet"
)

// underlay is what was last read of it.
type underlay struct {
	mtu    int
	ifname string
	err    error
	at     time.Time // zero: not read
}

// underlayAge is how long what was read counts without a sign that it changed.
const underlayAge = 10 * time.Second

// underlay returns the MTU, in bytes of IP packet, of the interface that holds the VTEP
// address, and its name. Reading it takes longer the more interfaces there are, so it is
// remembered until the kernel tells of a change.
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

// Underlay is the interface that the tunnels leave by, as it is now.
type Underlay struct {
	Interface string
	MTU       int    // bytes of IP packet
	Fault     string // why no tunnel works: "the VTEP address 192.0.2.1 is on no interface of this host"
	Do        string
}

// Underlay returns the interface that the tunnels leave by, as it is now.
func (a *Agent) Underlay(vtep netip.Addr) Underlay {
	mtu, ifname, err := a.underlay()
	if err != nil {
		return Underlay{
			Fault: fmt.Sprintf("the VTEP address %s is on no interface of this host: tunnels to and from it do not work", vtep),
			Do:    fmt.Sprintf("put it back (ip addr add %s/LENGTH dev INTERFACE), or restart ovloomd with the address that this host has now: --vtep ADDRESS", vtep),
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	u := Underlay{Interface: ifname, MTU: mtu}
	if l, ok := a.links[ifname]; ok && !l.Up {
		u.Fault = fmt.Sprintf("interface %s, which holds the VTEP address, is down", ifname)
		u.Do = fmt.Sprintf("ip link set %s up", ifname)
	}
	return u
}

// UnderlayChanged has an element whenever Underlay may have changed.
func (a *Agent) UnderlayChanged() <-chan struct{} { return a.moved }

// concerns says whether a change may be one of what was read.
func (u underlay) concerns(c hostnet.Change) bool {
	return c.All || c.Addrs || slices.Contains(c.Gone, u.ifname) ||
		slices.ContainsFunc(c.Links, func(l hostnet.LinkState) bool { return l.Name == u.ifname })
}
