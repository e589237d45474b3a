package underlay

// Checking in advance whether tunnels can work.

import (
	"net/netip"

	"github.com/ovloom/ovloom/hostnet"
	"github.com/ovloom/ovloom/intent"
)

// Check refuses, with the userspace datapath only, a VTEP address from which no tunnel
// packet could leave, and says what to do.
func (u *Underlay) Check(vtep netip.Addr) error {
	owner, err := hostnet.AddrOwner(vtep)
	if err != nil {
		if nic, _ := u.Taken(); nic != "" && intent.KindOf(err) == intent.NotFound {
			if !hostnet.LinkExists(u.cfg.Bridge) {
				return intent.Unavailablef("the VTEP address %s is on no interface: %s, which holds it, has lost it", vtep, u.cfg.Bridge).
					WithHint("see whether ovs-vswitchd runs; ovloomd puts the address back then")
			}
			return intent.Unavailablef("the VTEP address %s is on no interface: %s, which held it, has it no more", vtep, u.cfg.Bridge).
				WithHint("put it back (ip addr add %s/LENGTH dev %s), or start ovloomd with the address that %s has now: --vtep ADDRESS", vtep, u.cfg.Bridge, u.cfg.Bridge)
		}
		return err
	}
	switch datapath, internal := u.cfg.Switch.InternalPort(owner); {
	case internal && datapath == "netdev":
		return nil
	case internal:
		return intent.Conflictf("the VTEP address %s is on %s, a bridge of the kernel datapath, and the tunnels' bridge is userspace (netdev)", vtep, owner).
			WithHint("use one datapath for both")
	}
	return intent.Conflictf("the VTEP address %s is on %s, outside Open vSwitch: with the userspace datapath (netdev) no tunnel packet can leave from there", vtep, owner).
		WithHint("start ovloomd with --take-nic %s to move it, with its addresses and routes, into bridge %s (`ovloom host leave` gives it back), or load the kernel's openvswitch module", owner, u.cfg.Bridge)
}
