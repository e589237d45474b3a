package agent

// Which ports of the bridge are whose to set.

import (
	"github.com/ovloom/ovloom/hostnet"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/ovsdb"
)

// Owned says how ports of the integration bridge must be set: all are ovloom's to keep open,
// but whether a device is up is for its owner to say, which is ovloom where it made it.
type Owned struct {
	Tunnel     string // the tunnel port
	HostUplink string // the interface to the host's own routing

	Interfaces func() []ovsdb.Interface // of the bridge

	// HostUplinkMade says whether HostUplink was set up; until then it may be down.
	HostUplinkMade func() bool
}

// Wanted returns the settings that a port must have, given those that it has.
func (o Owned) Wanted(p of.Port) of.PortConfig {
	if p.No == of.PortLocal {
		return p.PortConfig
	}
	down := p.Down
	if p.Name == o.Tunnel {
		down = false
	}
	for _, i := range o.Interfaces() {
		switch {
		case i.Name != p.Name:
		case i.Name == o.HostUplink && !o.HostUplinkMade(): // it is about to be set up
		case i.Uplink != "", i.Name == hostnet.HostIfName(i.IfaceID):
			down = false
		}
	}
	return of.PortConfig{Down: down}
}
