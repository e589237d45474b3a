package agent

// Settings of the bridge's ports.

import (
	"github.com/ovloom/ovloom/hostnet"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/ovsdb"
)

// Owned decides the settings of the integration bridge's ports. ovloom keeps all of them
// open to traffic, but sets up only devices that it has created: others are their owners'.
type Owned struct {
	Tunnel     string // the tunnel port
	HostUplink string // the host uplink's interface

	Interfaces func() []ovsdb.Interface // of the bridge

	// HostUplinkMade reports whether HostUplink was set up; until then it may be down.
	HostUplinkMade func() bool
}

// Wanted returns the settings that a port must have. p has its current ones.
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
