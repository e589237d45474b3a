package agent

// The interface that the tunnels leave by.

import (
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

// concerns says whether a change may be one of what was read.
func (u underlay) concerns(c hostnet.Change) bool {
	return c.All || c.Addrs || slices.Contains(c.Gone, u.ifname) ||
		slices.ContainsFunc(c.Links, func(l hostnet.LinkState) bool { return l.Name == u.ifname && l.MTU != u.mtu })
}
