package world

import (
	"strings"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/pipeline"
)

// hostView is another host, or this one, as flows need it.
type hostView struct {
	intent.Host
	self bool
}

func (w *World) hostKind() kind[string, hostView] {
	return kind[string, hostView]{
		cookie: pipeline.KindHost, compare: strings.Compare, view: w.hostView,
		idOf: func(name string) intent.ID { return w.hostByName[name].ID },
		same: func(a, b *hostView) bool { return *a == *b },
		id:   func(h *hostView) intent.ID { return h.ID },
		flows: func(h *hostView, emit pipeline.Emit) {
			if h.self { // a host sends itself no tunnel packets
				pipeline.Self(w.sw, h.Host, emit)
				return
			}
			pipeline.Host(w.sw, h.Host, emit)
		},
	}
}

// SetHosts replaces the list of hosts.
func (w *World) SetHosts(hosts []intent.Host) {
	next := make(map[string]intent.Host, len(hosts))
	for _, h := range hosts {
		next[h.Name] = h
	}
	moved := map[string]bool{}
	for name, h := range next {
		if old, ok := w.hostByName[name]; !ok || old != h {
			w.hosts.touch(name)
			moved[name] = !ok || old.VTEP != h.VTEP
		}
	}
	for name := range w.hostByName {
		if _, ok := next[name]; !ok {
			w.hosts.touch(name)
			moved[name] = true
		}
	}
	narrower := w.hostByName[w.self].UnderlayMTU != next[w.self].UnderlayMTU
	w.hostByName = next
	w.table.SetMAC(w.routerMAC())
	if len(moved) == 0 {
		return
	}
	w.guards.touch("")
	if _, changed := moved[w.self]; changed {
		w.touchOutside()
	}
	for _, t := range w.tenants {
		w.senders.touch(t.Name)
		for name, n := range t.networks {
			if narrower || moved[w.self] {
				w.networks.touch(intent.NetworkRef{Tenant: t.Name, Network: name})
			}
			for port, claims := range n.claims {
				if c, ok := intent.Winner(claims); ok && moved[c.Host] {
					w.ports.touch(intent.PortRef{Tenant: t.Name, Network: n.intent.Name, Port: port})
				}
			}
		}
	}
}

// hostView returns the view of a host.
func (w *World) hostView(name string) *hostView {
	h, ok := w.hostByName[name]
	if !ok {
		return nil
	}
	return &hostView{h, name == w.self}
}

// routerMAC returns this host's MAC as a router.
func (w *World) routerMAC() intent.MAC { return intent.RouterMAC(w.hostByName[w.self].ID) }
