package agent

// Unplugging.

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ovloom/ovloom/hostnet"
	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/loop"
)

// Plugged is an interface that carries a port here. The switch or the host may have lost it
// since.
type Plugged struct {
	Interface string
	Port      string // the iface-id, normally the port's UUID
	For       string // the port's name when it was plugged; "": not plugged by ovloom
}

// String names what is plugged: "port acme/web/c1 (interface ovl1)". If ovloom did not plug
// it, the port's UUID may stand in for the name.
func (p Plugged) String() string {
	return fmt.Sprintf("port %s (interface %s)", cmp.Or(p.For, p.Port), p.Interface)
}

// Plugged returns everything that is plugged here according to the switch or the records.
func (a *Agent) Plugged() []Plugged {
	var list []Plugged
	seen := map[string]bool{}
	for _, i := range a.cfg.Switch.Interfaces(a.cfg.Bridge) {
		if i.IfaceID != "" {
			list = append(list, Plugged{i.Name, i.IfaceID, i.PluggedFor})
			seen[i.Name] = true
		}
	}
	for _, r := range a.records.all() {
		if !seen[r.Interface] {
			list = append(list, Plugged{r.Interface, r.Port, r.Ref})
		}
	}
	return list
}

// Unplug removes a port from its workload on this host. It waits until this host's claim on
// the port is released, so that the port can be deleted next. It also works while the store
// is down, and for a port that no longer exists.
func (a *Agent) Unplug(ctx context.Context, ref intent.PortRef) error {
	port, err := a.cfg.Store.Port(ctx, ref)
	switch intent.KindOf(err) {
	case intent.Unavailable:
		if known, ok := a.cfg.Known(ctx, ref); ok {
			port, err = known, nil
		}
	case intent.NotFound:
	default:
		if err != nil {
			return err
		}
	}
	found := false
	for _, p := range a.Plugged() {
		if (port.UUID == "" || p.Port != port.UUID) && p.Port != ref.String() && p.For != ref.String() {
			continue
		}
		found = true
		if err := a.Remove(ctx, p); err != nil {
			return err
		}
	}
	if found {
		a.awaitRelease(ctx, ref)
		return nil
	}
	if err != nil {
		return err
	}
	return intent.NotFoundf("port %s is not plugged on this host (%s)", ref, a.cfg.Host).
		WithHint("ovloom port show %s says where it is", ref)
}

// How long Unplug waits for the claim to be released, and how often it looks.
const (
	releasePatience = 3 * time.Second
	releasePoll     = 10 * time.Millisecond
)

// awaitRelease waits until this host's claim on a port is released, which the controller
// does once the interface is gone. It gives up when the store does not answer.
func (a *Agent) awaitRelease(ctx context.Context, ref intent.PortRef) {
	ctx, cancel := context.WithTimeout(ctx, releasePatience)
	defer cancel()
	for {
		claims, err := a.cfg.Claims.Bindings(ctx, ref)
		if err != nil || !slices.ContainsFunc(claims, func(b intent.Binding) bool { return b.Host == a.cfg.Host }) {
			return
		}
		if !loop.Pause(ctx, releasePoll) {
			return
		}
	}
}

// Remove deletes the record of what is plugged, removes the interface from the bridge, and
// deletes it if Plug created it.
func (a *Agent) Remove(ctx context.Context, p Plugged) error {
	free, err := a.locks.take(ctx, p.Port)
	if err != nil {
		return err
	}
	defer free()
	// The record goes first, or the interface would be put back.
	err = a.records.remove(p.Port)
	a.forget(p.Port)
	defer a.setState(p.Interface, State{})
	if ref, bad := intent.ParsePortRef(p.For); bad == nil {
		// Under the port's lock, so that Expect of a new Plug comes after this.
		defer a.cfg.Unexpect(context.WithoutCancel(ctx), ref)
	}
	if delErr := a.cfg.Switch.DelPort(ctx, a.cfg.Bridge, p.Interface); delErr != nil {
		return errors.Join(err, delErr)
	}
	if p.Interface != hostnet.HostIfName(p.Port) {
		return err
	}
	return errors.Join(err, a.cfg.Network.Unplug(ctx, p.Port))
}
