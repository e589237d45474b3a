package hosttest

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/intent"
)

// Backend returns what an api.Server needs to serve the host.
func (h *Host) Backend() api.Backend {
	return api.Backend{Store: tapped{h}, Local: local{h}, Plug: plugger{h}, Upkeep: upkeep{h},
		Status: h.status,
		Flows: func(ctx context.Context, q api.FlowQuery) (fs []api.Flow, err error) {
			for _, f := range h.Flows {
				if (q.Table == "" || q.Table == f.Table) && (q.Object == "" || "port "+q.Object == f.Object) {
					fs = append(fs, f)
				}
			}
			return fs, h.may(ctx, "Flows")
		},
		FlowsDiff: func(ctx context.Context) ([]string, error) { return h.Diff, h.may(ctx, "FlowsDiff") },
		Health:    func(ctx context.Context) (intent.Health, error) { return h.Health, h.may(ctx, "Health") },
		Trace: func(ctx context.Context, q intent.TraceQuery) (intent.Trace, error) {
			t := h.Trace
			t.From, t.To = q.From.String(), q.To
			return t, h.may(ctx, "Trace")
		},
		Fix: func(context.Context) (done []string, err error) {
			h.locked(func() { done, h.lacks = h.lacks, nil })
			return done, nil
		},
		Connections: func(context.Context, intent.Snapshot) ([]intent.Connection, error) { return h.Connections, nil },
		Learned: func(context.Context, intent.Snapshot, intent.Network) ([]intent.LearnedMAC, error) {
			return h.Learned, nil
		}}
}

func (h *Host) status(ctx context.Context) (api.Status, error) {
	if err := h.may(ctx, "Status"); err != nil {
		return api.Status{}, err
	}
	revision, err := h.Store.Ping(ctx)
	if err != nil {
		return api.Status{}, err
	}
	s := h.State
	s.Host, s.VTEP, s.Revision, s.Uptime = This, netip.MustParseAddr("192.0.2.1"), revision, int64(time.Hour/time.Second)
	h.mu.Lock()
	defer h.mu.Unlock()
	for ref, p := range h.plugged {
		s.Ports = append(s.Ports, api.BoundPort{Port: ref.String(), Interface: p.device, OFPort: 5, Up: true})
	}
	return s, nil
}

// tapped is the store, with the failures and delays that tests set.
type tapped struct{ h *Host }

// Get implements api.Store.
func (s tapped) Get(ctx context.Context, ref intent.Reference) (intent.Object, error) {
	if err := s.h.may(ctx, "Get"); err != nil {
		return nil, err
	}
	return s.h.Store.Get(ctx, ref)
}

// List implements api.Store.
func (s tapped) List(ctx context.Context, class intent.Class, within intent.Reference) ([]intent.Object, error) {
	if err := s.h.may(ctx, "List"); err != nil {
		return nil, err
	}
	return s.h.Store.List(ctx, class, within)
}

// Snapshot implements api.Store.
func (s tapped) Snapshot(ctx context.Context, tenant string) (intent.Snapshot, error) {
	if err := s.h.may(ctx, "Snapshot"); err != nil {
		return intent.Snapshot{}, err
	}
	return s.h.Store.Snapshot(ctx, tenant)
}

// Add implements api.Store.
func (s tapped) Add(ctx context.Context, o intent.Object) (intent.Object, int64, error) {
	if err := s.h.may(ctx, "Add"); err != nil {
		return nil, 0, err
	}
	return s.h.Store.Add(ctx, o)
}

// Set implements api.Store.
func (s tapped) Set(ctx context.Context, ref intent.Reference, edit func(intent.Object) (intent.Object, error)) (intent.Object, int64, error) {
	if err := s.h.may(ctx, "Set"); err != nil {
		return nil, 0, err
	}
	return s.h.Store.Set(ctx, ref, edit)
}

// Users implements api.Store.
func (s tapped) Users(ctx context.Context, ref intent.Reference) ([]intent.Reference, error) {
	if err := s.h.may(ctx, "Users"); err != nil {
		return nil, err
	}
	return s.h.Store.Users(ctx, ref)
}

// Delete implements api.Store.
func (s tapped) Delete(ctx context.Context, ref intent.Reference, cascade bool) ([]string, int64, error) {
	if err := s.h.may(ctx, "Delete"); err != nil {
		return nil, 0, err
	}
	s.h.mu.Lock()
	halfway := s.h.halfway
	s.h.mu.Unlock()
	if halfway != nil {
		deleted, err := halfway()
		return deleted, 0, err
	}
	return s.h.Store.Delete(ctx, ref, cascade)
}

// WaitApplied implements api.Store.
func (s tapped) WaitApplied(ctx context.Context, _ string, _ int64, progress func([]string)) error {
	return s.h.wait(ctx, "WaitApplied", progress)
}

type plugger struct{ h *Host }

// Plug implements api.Plugger.
func (p plugger) Plug(ctx context.Context, r api.PlugRequest) (api.PlugResult, error) {
	if err := p.h.may(ctx, "Plug"); err != nil {
		return api.PlugResult{}, err
	}
	n, err := p.h.Store.Network(ctx, r.Ref.NetworkRef())
	if err != nil {
		return api.PlugResult{}, err
	}
	port, err := p.h.Store.Port(ctx, r.Ref)
	if err != nil {
		return api.PlugResult{}, err
	}
	name := fmt.Sprintf("ovl%x", uint64(port.ID))
	if r.Tap != "" {
		name = r.Tap
	}
	p.h.mu.Lock()
	has, there := p.h.plugged[r.Ref]
	p.h.mu.Unlock()
	if there && has.device != name {
		return api.PlugResult{}, intent.Conflictf("port %s is plugged here already, as interface %s", r.Ref, has.device).
			WithHint("unplug it first: ovloom port unplug %s", r.Ref) // worded as in package agent
	}
	lags := false
	p.h.locked(func() { p.h.plugged[r.Ref], lags = plugged{r, name}, len(p.h.pending) > 0 })
	return api.PlugResult{Interface: name, Ifname: r.Ifname, MAC: port.MAC, Addrs: port.Addrs, MTU: n.PortMTU(1500)},
		p.h.claim(ctx, r.Ref, This, !lags)
}

// WaitUp implements api.Plugger.
func (p plugger) WaitUp(ctx context.Context, _ intent.PortRef) error {
	return p.h.wait(ctx, "WaitUp", func([]string) {})
}

// Unplug implements api.Plugger.
func (p plugger) Unplug(ctx context.Context, ref intent.PortRef) error {
	if err := p.h.may(ctx, "Unplug"); err != nil {
		return err
	}
	if _, ok := p.h.Plugged(ref); !ok {
		return intent.NotFoundf("port %s is not plugged on this host (%s)", ref, This) // worded as in package agent
	}
	claims, err := p.h.Store.Bindings(ctx, ref)
	for _, b := range claims {
		if err == nil && b.Host == This {
			err = p.h.Store.Release(ctx, ref, This, b.Generation)
		}
	}
	p.h.locked(func() { delete(p.h.plugged, ref) })
	return err
}

// local leaves as a host without a network card to give back.
type local struct{ h *Host }

// PlanLeave implements api.Local.
func (l local) PlanLeave(ctx context.Context) ([]string, error) {
	if err := l.h.may(ctx, "PlanLeave"); err != nil {
		return nil, err
	}
	users, err := l.h.Store.Users(ctx, intent.HostRef{Host: This})
	return append(intent.Titles(users), "bridge br-int", "host "+This), err
}

// Leave implements api.Local.
func (l local) Leave(ctx context.Context, cascade bool) ([]string, error) {
	plan, err := l.PlanLeave(ctx)
	if err != nil {
		return nil, err
	}
	if users := plan[:len(plan)-2]; len(users) > 0 && !cascade {
		return nil, intent.InUseBy("host "+This, users)
	}
	if err := l.h.may(ctx, "Leave"); err != nil {
		return plan[:len(plan)-1], err
	}
	if _, _, err := l.h.Store.Delete(ctx, intent.HostRef{Host: This}, true); err != nil {
		return plan[:len(plan)-1], err
	}
	l.h.locked(func() { l.h.left = true })
	return plan, nil
}

// BackupText is the content of a backup.
const BackupText = "all of it"

type upkeep struct{ h *Host }

// StoreHealth implements api.Upkeep.
func (u upkeep) StoreHealth(ctx context.Context) (api.StoreHealth, error) {
	return api.StoreHealth{URLs: []string{"http://192.0.2.1:2379"}, Embedded: true, Revision: 10, Etcd: "3.7.3", Size: 81920, InUse: 40960,
		Members: []api.StoreMember{{Name: This, URLs: []string{"http://192.0.2.1:2379"}, Peer: "http://192.0.2.1:2380", Leader: true, State: "up"},
			{Peer: "http://192.0.2.2:2380", State: "expected"}}}, u.h.may(ctx, "StoreHealth")
}

// Backup implements api.Upkeep. It can fail half-way through its output.
func (u upkeep) Backup(ctx context.Context, w io.Writer) error {
	half := len(BackupText) / 2
	if _, err := io.WriteString(w, BackupText[:half]); err != nil {
		return err
	}
	if err := u.h.may(ctx, "Backup"); err != nil {
		return err
	}
	_, err := io.WriteString(w, BackupText[half:])
	return err
}

// AddMember implements api.Upkeep.
func (u upkeep) AddMember(ctx context.Context, name, peer string) (api.StoreJoining, error) {
	if peer == "" {
		peer = "http://192.0.2.2:2380"
	}
	return api.StoreJoining{Name: name, Peer: peer, Listen: "http://192.0.2.2:2379", Join: []string{"http://192.0.2.1:2379"}}, u.h.may(ctx, "AddMember")
}

// RemoveMember implements api.Upkeep.
func (u upkeep) RemoveMember(ctx context.Context, which string) (api.StoreMember, error) {
	if which != "host2" {
		return api.StoreMember{}, intent.NotFoundf("the store has no member %s", which)
	}
	return api.StoreMember{Name: which, Peer: "http://192.0.2.2:2380", State: "away"}, u.h.may(ctx, "RemoveMember")
}

// CheckStore implements api.Upkeep. It reports one network as wrong.
func (u upkeep) CheckStore(ctx context.Context) ([]string, error) {
	return []string{`network umbrella/web has id 7, which is that of "network acme/web"`}, u.h.may(ctx, "CheckStore")
}

// Compact implements api.Upkeep.
func (u upkeep) Compact(ctx context.Context) (int64, error) { return 10, u.h.may(ctx, "Compact") }
