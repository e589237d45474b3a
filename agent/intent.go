package agent

// Intent for the ports that are plugged here.

import (
	"github.com/ovloom/ovloom/intent"
)

// wants is the wanted port and its network; both zero until the store has delivered them.
type wants struct {
	port    intent.Port
	network intent.Network
}

// expect makes Told keep changes of a port that has no record yet, until done is called.
func (a *Agent) expect(ref intent.PortRef) (done func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.plugging[ref]++
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.plugging[ref]--; a.plugging[ref] == 0 {
			delete(a.plugging, ref)
		}
	}
}

// Told updates the agent with changes of a tenant. Only ports plugged here, and their
// networks, are kept.
func (a *Agent) Told(u intent.SpanUpdate) {
	mine := map[intent.PortRef]string{}
	for _, r := range a.records.all() {
		if ref, err := intent.ParsePortRef(r.Ref); err == nil && ref.Tenant == u.Tenant {
			mine[ref] = r.Port
		}
	}
	a.mu.Lock()
	for ref := range a.plugging {
		if ref.Tenant == u.Tenant && mine[ref] == "" {
			mine[ref] = "?" // the UUID is in the update itself
		}
	}
	look := map[string]bool{}
	if u.Snapshot != nil {
		networks := map[string]intent.Network{}
		for _, n := range u.Snapshot.Networks {
			networks[n.Name] = n
		}
		seen := map[string]bool{}
		for _, p := range u.Snapshot.Ports {
			if id := mine[p.Ref()]; id != "" {
				a.wantsBy[p.UUID] = wants{p, networks[p.Network]}
				seen[p.UUID], look[p.UUID] = true, true
			}
		}
		for _, id := range mine {
			a.deletedBy[id] = id != "?" && !seen[id]
		}
	}
	for _, c := range u.Changes {
		switch o := c.Object.(type) {
		case intent.Port:
			id := mine[o.Ref()]
			switch {
			case id == "":
			case c.Deleted:
				a.deletedBy[id] = true
				delete(a.wantsBy, id)
			default:
				w := a.wantsBy[o.UUID]
				w.port = o
				a.wantsBy[o.UUID], look[o.UUID] = w, true
				delete(a.deletedBy, o.UUID)
			}
		case intent.Network:
			if c.Deleted {
				continue
			}
			for id, w := range a.wantsBy {
				if w.port.Ref().NetworkRef() == o.Ref() {
					w.network = o
					a.wantsBy[id], look[id] = w, true
				}
			}
		}
	}
	a.mu.Unlock()
	for id := range look {
		a.lookNow(id)
	}
}

// Configured returns the ports plugged here whose interfaces ovloom configures: all that
// were plugged into namespaces or processes.
func (a *Agent) Configured() map[intent.PortRef]bool {
	ports := map[intent.PortRef]bool{}
	for _, r := range a.records.all() {
		if ref, err := intent.ParsePortRef(r.Ref); err == nil && r.Kind != KindTap {
			ports[ref] = true
		}
	}
	return ports
}

// learn stores what Plug has read from the store, unless Told has delivered the port already.
func (a *Agent) learn(p intent.Port, n intent.Network) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, told := a.wantsBy[p.UUID]; !told {
		a.wantsBy[p.UUID] = wants{p, n}
	}
	delete(a.deletedBy, p.UUID)
}

// forget drops everything about a port that is no longer plugged.
func (a *Agent) forget(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.wantsBy, id)
	delete(a.deletedBy, id)
	delete(a.fixes, id)
	delete(a.missed, id)
}

// wantedOf returns the wanted port and network. known is false until the store has
// delivered both.
func (a *Agent) wantedOf(id string) (w wants, known, deleted bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	w = a.wantsBy[id]
	return w, w.port.UUID == id && w.network.Name != "", a.deletedBy[id]
}
