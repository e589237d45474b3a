package agent

// What the store wants of the ports that are plugged here.

import (
	"github.com/ovloom/ovloom/intent"
)

// wants is a port with its network, as far as the store has told of them.
type wants struct {
	port    intent.Port
	network intent.Network
}

// expect has changes of a port taken in that has no record yet, until the function that
// it returns is called.
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

// Told takes in what the store tells of a tenant. Only what concerns ports plugged here is
// kept.
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
			mine[ref] = "?" // the port tells
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

// Configured returns the ports plugged here whose interfaces ovloom configures: those that
// it put into namespaces and containers.
func (a *Agent) Configured() map[intent.PortRef]bool {
	ports := map[intent.PortRef]bool{}
	for _, r := range a.records.all() {
		if ref, err := intent.ParsePortRef(r.Ref); err == nil && r.Kind != KindTap {
			ports[ref] = true
		}
	}
	return ports
}

// learn takes in what Plug has read of the store.
func (a *Agent) learn(p intent.Port, n intent.Network) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, told := a.wantsBy[p.UUID]; !told {
		a.wantsBy[p.UUID] = wants{p, n}
	}
	delete(a.deletedBy, p.UUID)
}

// forget drops what is wanted of a port that is not plugged any more.
func (a *Agent) forget(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.wantsBy, id)
	delete(a.deletedBy, id)
	delete(a.fixes, id)
	delete(a.missed, id)
}

// wantedOf returns what is wanted of a port; false if nobody has told.
func (a *Agent) wantedOf(id string) (w wants, known, deleted bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	w = a.wantsBy[id]
	return w, w.port.UUID == id && w.network.Name != "", a.deletedBy[id]
}
