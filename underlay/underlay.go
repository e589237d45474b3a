package underlay

// Taking the NIC, keeping it, and giving it back.

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/ovloom/ovloom/hostnet"
	"github.com/ovloom/ovloom/intent"
)

// DefaultBridge is the bridge that holds the NIC.
const DefaultBridge = "br-phy"

// Switch is the part of Open vSwitch that this package needs.
type Switch interface {
	// EnsureUplinkBridge creates or repairs a userspace bridge with the NIC as a port and
	// an interface with the MAC and the MTU (bytes of IP packet); it returns when both
	// work.
	EnsureUplinkBridge(ctx context.Context, bridge, nic, mac string, mtu int) error

	// DeleteBridge deletes a bridge, and fails with an intent.Conflict if
	// EnsureUplinkBridge did not create it.
	DeleteBridge(ctx context.Context, name string) error

	// DelPort removes a port from a bridge, if it is there.
	DelPort(ctx context.Context, bridge, name string) error

	// InternalPort returns the datapath type of the bridge that has an internal port of
	// that name.
	InternalPort(name string) (datapath string, ok bool)
}

// Config configures an Underlay.
type Config struct {
	StateDir string       // directory of the journal; it must exist
	Bridge   string       // "": DefaultBridge
	Switch   Switch       //
	Log      *slog.Logger // nil: discards
}

// Underlay is the host's NIC to the underlay. Its methods that change something exclude
// each other.
type Underlay struct {
	// Set by New.
	cfg    Config
	before func(step string) // called before each step; tests stop there

	mu sync.Mutex // held by the exported methods

	noted seen // Guarded by mu.
}

// undoTimeout bounds giving the NIC back after a failed Take, whose own context may have
// ended.
const undoTimeout = 30 * time.Second

// New returns the underlay of this host. It changes nothing.
func New(cfg Config) *Underlay {
	if cfg.Bridge == "" {
		cfg.Bridge = DefaultBridge
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Underlay{cfg: cfg, before: func(string) {}}
}

// Take moves the NIC with its addresses and routes into the bridge. If the NIC is there
// already, Take only repairs what differs (see Keep). If the first Take fails, it restores
// the host's earlier state, or its error says what it could not restore.
//
// It fails with NotFound if there is no such NIC, and with a Conflict if the NIC cannot be
// taken, the bridge belongs to another system, or another NIC is taken already.
func (u *Underlay) Take(ctx context.Context, nic string) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	j, err := u.recover(ctx)
	if err != nil {
		return err
	}
	if j != nil {
		if j.Link.Name != nic && !hostnet.LinkExists(j.Link.Name) {
			return u.replace(ctx, *j, nic)
		}
		if j.Link.Name != nic {
			return intent.Conflictf("interface %s is in %s already, so %s cannot be", j.Link.Name, j.Bridge, nic).
				WithHint("start ovloomd with --take-nic %s, and give that one back first: ovloom host leave", j.Link.Name)
		}
		return u.keep(ctx, *j)
	}
	link, err := hostnet.ReadLink(nic)
	if err != nil {
		return fmt.Errorf("take %s into %s: %w", nic, u.cfg.Bridge, err)
	}
	if err := u.takeable(link); err != nil {
		return err
	}
	settings, err := readSettings(nic)
	if err != nil {
		return fmt.Errorf("take %s into %s: %w", nic, u.cfg.Bridge, err)
	}
	offloads, err := hostnet.ReadReceiveOffloads(nic)
	if err != nil {
		return fmt.Errorf("take %s into %s: %w", nic, u.cfg.Bridge, err)
	}
	for _, a := range link.Addrs {
		if a.Prefix.Addr().Is4() && a.Valid != 0 {
			u.cfg.Log.Warn("the address was leased; stop the DHCP client of the interface, or it will put it back there",
				"interface", nic, "address", a.Prefix)
		}
	}
	fresh := journal{Phase: taking, Bridge: u.cfg.Bridge, Link: link, Settings: settings, Offloads: offloads}
	err = u.save(fresh)
	if err == nil {
		err = u.run(ctx, u.takeSteps(fresh))
	}
	if err == nil {
		fresh.Phase = taken
		err = u.save(fresh)
	}
	if err != nil {
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
		defer cancel()
		return errors.Join(fmt.Errorf("take %s into %s: %w", nic, u.cfg.Bridge, err), u.undo(undo, fresh))
	}
	u.note(fresh.Bridge)
	u.cfg.Log.Info("underlay interface taken", "interface", nic, "bridge", u.cfg.Bridge, "addresses", len(fresh.addrs()), "routes", len(link.Routes))
	return nil
}

// Keep restores everything as the last Take left it: the bridge's interface loses its
// addresses and routes when ovs-vswitchd makes it anew, and after a boot they are back on
// the NIC. If no NIC is taken, or nothing differs, Keep changes nothing. When it fails, it
// can be called again.
func (u *Underlay) Keep(ctx context.Context) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	j, err := u.load()
	if err != nil || j == nil || j.Phase != taken {
		return err
	}
	return u.keep(ctx, *j)
}

// Return gives the NIC back its addresses and routes and deletes the bridge. If no NIC is
// taken it does nothing. When it fails, it can be called again.
func (u *Underlay) Return(ctx context.Context) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	j, err := u.load()
	if err != nil || j == nil {
		return err
	}
	j.Phase = returning
	if err := u.save(*j); err != nil {
		return err
	}
	return u.undo(ctx, *j)
}

// Recover gives the NIC back if a Take or a Return was cut short. Call it at every start,
// before Take.
func (u *Underlay) Recover(ctx context.Context) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	_, err := u.recover(ctx)
	return err
}

// Announce tells the neighbours once more where the addresses of the taken NIC are, as
// Take did; if no NIC is taken it does nothing.
//
// One announcement may be lost. And another host's Open vSwitch ignores an announcement
// that equals one of the last ten seconds, because its flow is cached. Tunnels to this
// host would then end at the addresses' previous MAC, for up to 15 minutes.
func (u *Underlay) Announce(ctx context.Context) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	j, err := u.load()
	if err != nil || j == nil || j.Phase != taken {
		return err
	}
	return u.run(ctx, []step{u.announce(j.Bridge, *j)})
}

// Taken returns the NIC that is in the bridge, or "" if none is. It does not wait for
// other methods.
func (u *Underlay) Taken() (nic string, err error) {
	j, err := u.peek()
	if err != nil || j == nil || j.Phase != taken {
		return "", err
	}
	return j.Link.Name, nil
}

// recover undoes a Take or Return that was cut short; otherwise it returns the journal.
func (u *Underlay) recover(ctx context.Context) (*journal, error) {
	j, err := u.load()
	if err != nil || j == nil || j.Phase == taken {
		return j, err
	}
	u.cfg.Log.Warn("moving the underlay interface was cut short; giving it back", "interface", j.Link.Name, "bridge", j.Bridge, "phase", j.Phase)
	return nil, u.undo(ctx, *j)
}

// keep is Keep for a journal in phase taken.
func (u *Underlay) keep(ctx context.Context, j journal) error {
	nic := j.Link.Name
	now, err := hostnet.ReadLink(nic)
	if intent.KindOf(err) == intent.NotFound {
		return missingCard(j)
	}
	if err != nil {
		return fmt.Errorf("keep %s in %s: %w", nic, j.Bridge, err)
	}
	byHand := u.changedByHand(j.Bridge)
	if byHand {
		if adopted := u.adopt(j); !slices.EqualFunc(adopted.Link.Addrs, j.Link.Addrs, hostnet.Addr.Same) || !slices.Equal(adopted.Link.Routes, j.Link.Routes) {
			j = adopted
			if err := u.save(j); err != nil {
				return err
			}
		}
		if !has4(j.Bridge) && !hasIPv4(now) {
			// The VTEP address was removed. Another machine may have it by now, so leave
			// it off; status reports the fault.
			return u.cfg.Switch.EnsureUplinkBridge(ctx, j.Bridge, nic, bridgeMAC(j.Link.MAC), now.MTU)
		}
	}
	if u.settled(j, now) {
		u.note(j.Bridge)
		// Only the bridge itself is left to check.
		return u.cfg.Switch.EnsureUplinkBridge(ctx, j.Bridge, nic, bridgeMAC(j.Link.MAC), now.MTU)
	}
	// Addresses and routes that are on the NIC again were set at boot or by the operator,
	// and belong on the NIC when it is given back.
	merged := j
	merged.Link.MTU = now.MTU
	merged.Link.Addrs = slices.Clone(j.Link.Addrs)
	for _, a := range now.Addrs {
		if !a.LinkLocal() && !slices.ContainsFunc(merged.Link.Addrs, a.Same) {
			merged.Link.Addrs = append(merged.Link.Addrs, a)
		}
	}
	merged.Link.Routes = slices.Clone(j.Link.Routes)
	for _, r := range now.Routes {
		if !slices.Contains(merged.Link.Routes, r) {
			merged.Link.Routes = append(merged.Link.Routes, r)
		}
	}
	if err := u.save(merged); err != nil {
		return err
	}
	if err := u.run(ctx, u.takeSteps(merged)); err != nil {
		return fmt.Errorf("keep %s in %s: %w", nic, j.Bridge, err)
	}
	u.note(j.Bridge)
	u.cfg.Log.Info("underlay interface repaired", "interface", nic, "bridge", j.Bridge)
	return nil
}

// missingCard says that the card is missing, and what to do.
func missingCard(j journal) error {
	e := intent.NotFoundf("interface %s, the underlay's card, which is in bridge %s, does not exist", j.Link.Name, j.Bridge)
	if other := hostnet.LinkByMAC(j.Link.MAC, j.Link.Kind); other != "" {
		return e.WithHint("it is called %s now: start ovloomd with --take-nic %s, or name it %s again (ip link set %s name %s)", other, other, j.Link.Name, other, j.Link.Name)
	}
	return e.WithHint("start ovloomd with --take-nic and the name of the card that takes its place")
}

func hasIPv4(l hostnet.Link) bool {
	return slices.ContainsFunc(l.Addrs, func(a hostnet.Addr) bool { return a.Prefix.Addr().Is4() })
}

// replace puts another card into the bridge, in place of a card that no longer exists.
// Addresses and routes stay on the bridge.
func (u *Underlay) replace(ctx context.Context, j journal, nic string) error {
	link, err := hostnet.ReadLink(nic)
	if err != nil {
		return fmt.Errorf("take %s into %s: %w", nic, j.Bridge, err)
	}
	if link.Master != "" || link.Name == j.Bridge || link.MAC == "" {
		return intent.Conflictf("interface %s cannot take the place of %s in %s", nic, j.Link.Name, j.Bridge).
			WithHint("name the card that the tunnels leave by")
	}
	if link.MAC != j.Link.MAC { // otherwise it is the same card, and the journal records its state
		if j.Settings, err = readSettings(nic); err != nil {
			return fmt.Errorf("take %s into %s: %w", nic, j.Bridge, err)
		}
		if j.Offloads, err = hostnet.ReadReceiveOffloads(nic); err != nil {
			return fmt.Errorf("take %s into %s: %w", nic, j.Bridge, err)
		}
	}
	old := j.Link.Name
	j.Link.Name, j.Link.MAC, j.Link.MTU, j.Link.Kind, j.Link.Promisc = nic, link.MAC, link.MTU, link.Kind, link.Promisc
	if err := u.save(j); err != nil {
		return err
	}
	if err := u.cfg.Switch.DelPort(ctx, j.Bridge, old); err != nil {
		return fmt.Errorf("take %s out of %s: %w", old, j.Bridge, err)
	}
	if err := hostnet.SetUp(nic); err != nil {
		return err
	}
	u.cfg.Log.Info("underlay interface replaced", "interface", nic, "was", old, "bridge", j.Bridge)
	return u.keep(ctx, j)
}

// undo restores the host as recorded in the journal, and then deletes the journal.
func (u *Underlay) undo(ctx context.Context, j journal) error {
	if err := u.run(ctx, u.returnSteps(j)); err != nil {
		return fmt.Errorf("give %s back from %s (what it had is in %s): %w", j.Link.Name, j.Bridge, u.path(), err)
	}
	if err := u.remove(); err != nil {
		return err
	}
	u.noted = seen{}
	_ = os.Remove(u.seenPath()) // it is about the bridge's interface, which is gone
	u.cfg.Log.Info("underlay interface given back", "interface", j.Link.Name, "bridge", j.Bridge)
	return nil
}

// takeable refuses interfaces that cannot, or should not, be moved.
func (u *Underlay) takeable(l hostnet.Link) error {
	has4 := slices.ContainsFunc(l.Addrs, func(a hostnet.Addr) bool { return a.Prefix.Addr().Is4() })
	switch {
	case l.Name == u.cfg.Bridge || l.Name == "lo" || l.Kind == "bridge" || l.Kind == "openvswitch" || l.MAC == "":
		return intent.Conflictf("interface %s is no network card that a bridge could hold", l.Name).
			WithHint("name the interface that the tunnels leave by")
	case l.Master != "":
		return intent.Conflictf("interface %s is part of %s", l.Name, l.Master).
			WithHint("name %s, or take %s out of it", l.Master, l.Name)
	case !l.Up:
		return intent.Conflictf("interface %s is down", l.Name).WithHint("bring it up first: ip link set %s up", l.Name)
	case !has4:
		return intent.Conflictf("interface %s has no IPv4 address, so no tunnel ends there", l.Name).
			WithHint("name the interface that has the VTEP address")
	}
	return nil
}
