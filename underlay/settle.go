package underlay

// What a daemon does with the underlay at startup and shortly after.

import (
	"context"
	"net/netip"
	"time"

	"github.com/ovloom/ovloom/hostnet"
	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/loop"
)

// Want is the underlay that a host wants.
type Want struct {
	VTEP      string // where its tunnels end; "": the address of the interface with the default route
	Userspace bool   // the datapath is the userspace one
	NIC       string // the card to take, if Userspace; "": none
}

// Settle puts the underlay in place: it undoes a Take or Return that was cut short, takes
// the wanted card, and restores what differs from the last Take. It returns the address at
// which tunnels end, which some interface has, and the card in the bridge, "" if none.
func (u *Underlay) Settle(ctx context.Context, want Want) (vtep netip.Addr, nic string, err error) {
	if err := u.Recover(ctx); err != nil {
		return netip.Addr{}, "", err
	}
	if want.Userspace && want.NIC != "" {
		if err := u.mayTake(want); err != nil {
			return netip.Addr{}, "", err
		}
		if err := u.Take(ctx, want.NIC); err != nil {
			return netip.Addr{}, "", err
		}
	}
	if err := u.Keep(ctx); err != nil {
		return netip.Addr{}, "", err
	}
	if nic, err = u.Taken(); err != nil {
		return netip.Addr{}, "", err
	}
	if vtep, err = u.vtep(want.VTEP); err != nil {
		return netip.Addr{}, "", err
	}
	if want.Userspace {
		err = u.Check(vtep)
	}
	return vtep, nic, err
}

// mayTake refuses to take a card by which no tunnel of this host would leave.
func (u *Underlay) mayTake(want Want) error {
	if nic, err := u.Taken(); err != nil || nic != "" {
		return err
	}
	vtep, err := u.vtep(want.VTEP)
	if err != nil {
		return err
	}
	if owner, err := hostnet.AddrOwner(vtep); err != nil || owner == want.NIC {
		return err
	}
	return u.Check(vtep)
}

// vtep returns the address at which this host's tunnels end, which some interface has.
// text is Want.VTEP.
func (u *Underlay) vtep(text string) (netip.Addr, error) {
	if text == "" {
		return hostnet.DefaultVTEP()
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		return a, err
	}
	if _, err = hostnet.AddrOwner(a); intent.KindOf(err) == intent.NotFound {
		if nic, _ := u.Taken(); nic != "" {
			err = u.Check(a)
		} else {
			err = intent.NotFoundf("no interface of this host has the VTEP address %s (--vtep)", a).
				WithHint("put it back (ip addr add %s/LENGTH dev INTERFACE), or start ovloomd with an address that `ip addr` shows: --vtep ADDRESS", a)
		}
	}
	return a, err
}

// announceAgain is how long after startup addresses are announced again: soon, because the
// first announcement may be lost, and once more after every Open vSwitch has forgotten the
// first announcements.
var announceAgain = []time.Duration{time.Second, 11 * time.Second}

// AnnounceAgain announces addresses again after startup (see Announce), and returns when
// that is done or ctx has ended.
func (u *Underlay) AnnounceAgain(ctx context.Context) error {
	for _, wait := range announceAgain {
		if !loop.Pause(ctx, wait) {
			return nil
		}
		if err := u.Announce(ctx); err != nil && ctx.Err() == nil {
			u.cfg.Log.Warn("cannot announce the underlay's addresses", "error", err)
		}
	}
	return nil
}

// Fault returns what is wrong with the card in the bridge; nil if no card is in the
// bridge.
func (u *Underlay) Fault() error {
	j, err := u.peek()
	if err != nil || j == nil || j.Phase != taken || hostnet.LinkExists(j.Link.Name) {
		return err
	}
	return missingCard(*j)
}
