package store

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/ovloom/ovloom/intent"
)

// Keys returns every key of the store, ordered.
func (s *Store) Keys(ctx context.Context) ([]string, error) {
	all, _, err := s.list(ctx, "list keys", root)
	if err != nil {
		return nil, err
	}
	keys := make([]string, len(all))
	for i, it := range all {
		keys[i] = it.key
	}
	return keys, nil
}

// Check reads the whole store at one revision and returns what is wrong with it,
// one finding a line, ordered: objects that are not valid or lack what they
// refer to, index keys that are missing, and keys that belong to nothing.
func (s *Store) Check(ctx context.Context) ([]string, error) {
	all, _, err := s.list(ctx, "check the store", root)
	if err != nil {
		return nil, err
	}
	c := checker{
		index:    map[string]string{},
		guard:    map[string]intent.Guarded{},
		tenants:  map[string]intent.Tenant{},
		networks: map[intent.NetworkRef]intent.Network{},
		ports:    map[intent.PortRef]intent.Port{},
		peers:    map[intent.PeerRef]intent.Peer{},
		hosts:    map[string]intent.Host{},
		counters: map[intent.PortRef]uint64{},
		ids:      map[intent.ID]string{},

		externals: map[string]intent.External{},
		snats:     map[intent.SNATRef]intent.SNAT{},
	}
	for _, it := range all {
		c.read(it)
	}
	c.objects()
	c.routing()
	c.nat()
	c.indexes()
	c.guarded()
	slices.Sort(c.findings)
	return c.findings, nil
}

// checker holds the whole store while it is checked.
type checker struct {
	findings []string

	index    map[string]string // index keys as found
	guard    map[string]intent.Guarded
	tenants  map[string]intent.Tenant
	networks map[intent.NetworkRef]intent.Network
	ports    map[intent.PortRef]intent.Port
	bindings []intent.Binding
	peers    map[intent.PeerRef]intent.Peer
	hosts    map[string]intent.Host
	counters map[intent.PortRef]uint64
	ids      map[intent.ID]string

	externals map[string]intent.External
	routes    []intent.Route
	snats     map[intent.SNATRef]intent.SNAT
	floatings []intent.Floating
	forwards  []intent.Forward
	addresses []intent.NATAddress
}

func (c *checker) find(format string, args ...any) {
	c.findings = append(c.findings, fmt.Sprintf(format, args...))
}

// read sorts one key into the checker.
func (c *checker) read(it item) {
	switch {
	case strings.HasPrefix(it.key, indexRoot):
		c.index[it.key] = string(it.value)
		return
	case strings.HasPrefix(it.key, claimRoot):
		ref, ok := portName(it.key[len(claimRoot):])
		v, err := decode[claimValue](it.value)
		if !ok || err != nil {
			c.find("key %s cannot be read: %v", it.key, err)
			return
		}
		c.counters[ref] = v.Generation
		return
	case it.key == clusterKey, strings.HasPrefix(it.key, counterRoot), strings.HasPrefix(it.key, aliveRoot), strings.HasPrefix(it.key, appliedRoot),
		strings.HasPrefix(it.key, examineAsked), strings.HasPrefix(it.key, examineReports),
		strings.HasPrefix(it.key, questionsRoot), strings.HasPrefix(it.key, answersRoot):
		return
	}
	change, err := changeOf(event{item: it})
	if err != nil {
		c.find("%v", err)
		return
	}
	var id intent.ID
	var name string
	switch o := change.Object.(type) {
	case intent.Tenant:
		c.tenants[o.Name], id, name = o, o.ID, "tenant "+o.Name
	case intent.Network:
		c.networks[o.Ref()], id, name = o, o.ID, "network "+o.Ref().String()
	case intent.Port:
		c.ports[o.Ref()], id, name = o, o.ID, "port "+o.Ref().String()
	case intent.Peer:
		c.peers[o.Ref()], id, name = o, o.ID, "peer "+o.Ref().String()
	case intent.Host:
		c.hosts[o.Name], id, name = o, o.ID, "host "+o.Name
	case intent.Binding:
		c.bindings = append(c.bindings, o)
		return
	case intent.External:
		c.externals[o.Name], id, name = o, o.ID, intent.ObjectName(o)
	case intent.Route:
		c.routes, id, name = append(c.routes, o), o.ID, intent.ObjectName(o)
	case intent.SNAT:
		c.snats[o.Ref()], id, name = o, o.ID, intent.ObjectName(o)
	case intent.Floating:
		c.floatings, id, name = append(c.floatings, o), o.ID, intent.ObjectName(o)
	case intent.Forward:
		c.forwards, id, name = append(c.forwards, o), o.ID, intent.ObjectName(o)
	case intent.NATAddress:
		c.addresses = append(c.addresses, o)
		return
	case intent.Guarded:
		c.guard[it.key] = o
		return
	}
	if other, taken := c.ids[id]; taken && strings.HasPrefix(name, "host ") && strings.HasPrefix(other, "host ") {
		c.find("%s has id %d, which is that of %q: restart ovloomd there, and it takes another; one of an earlier version does not: "+
			"stop it, and start it again after this on another host: ovloom host remove %s --cascade", name, id, other, strings.TrimPrefix(name, "host "))
	} else if taken || id == 0 {
		c.find("%s has id %d, which is that of %q", name, id, other)
	}
	c.ids[id] = name
}

// objects checks each object by itself and in what it refers to.
func (c *checker) objects() {
	for _, t := range c.tenants {
		if err := t.Validate(); err != nil {
			c.find("tenant %s: %v", t.Name, err)
		}
	}
	for ref, n := range c.networks {
		if err := n.Validate(); err != nil {
			c.find("network %s: %v", ref, err)
		}
		if _, ok := c.tenants[ref.Tenant]; !ok {
			c.find("network %s has no tenant", ref)
		}
	}
	for ref, p := range c.ports {
		n, ok := c.networks[ref.NetworkRef()]
		if !ok {
			c.find("port %s has no network", ref)
		} else if err := p.Validate(n); err != nil {
			c.find("port %s: %v", ref, err)
		}
	}
	for _, b := range c.bindings {
		ref := b.PortRef()
		if _, ok := c.ports[ref]; !ok {
			c.find("binding of %s on %s has no port", ref, b.Host)
		}
		if _, ok := c.hosts[b.Host]; !ok {
			c.find("binding of %s on %s has no host", ref, b.Host)
		}
		if b.Generation == 0 || b.Generation > c.counters[ref] {
			c.find("binding of %s on %s has generation %d, the port's last is %d", ref, b.Host, b.Generation, c.counters[ref])
		}
	}
	for ref := range c.counters {
		if _, ok := c.ports[ref]; !ok {
			c.find("claim counter of %s has no port", ref)
		}
	}
	vteps := map[netip.Addr]string{}
	for name, h := range c.hosts {
		vteps[h.VTEP] = name
	}
	for ref, p := range c.peers {
		if err := p.Validate(); err != nil {
			c.find("peer %s: %v", ref, err)
		}
		if _, ok := c.networks[ref.NetworkRef()]; !ok {
			c.find("peer %s has no network", ref)
		}
		if host, taken := vteps[p.VTEP]; taken {
			c.find("peer %s has the VTEP address of host %s", ref, host)
		}
	}
	for name, h := range c.hosts {
		if err := h.Validate(); err != nil {
			c.find("host %s: %v", name, err)
		}
	}
}

// indexes compares the index keys with those that the objects should have.
func (c *checker) indexes() {
	want := map[string]string{}
	add := func(key, value string) {
		if other, taken := want[key]; taken {
			c.find("index key %s belongs to both %s and %s", key, other, value)
		}
		want[key] = value
	}
	for _, t := range c.tenants {
		add(vrfKey(t.VRF), t.Name)
	}
	for ref, n := range c.networks {
		add(vniKey(n.VNI), ref.String())
	}
	for ref, p := range c.ports {
		add(uuidKey(p.UUID), ref.String())
		add(macKey(ref.NetworkRef(), p.MAC), ref.String())
		for _, a := range p.Addrs {
			add(addrKey(ref.NetworkRef(), a), ref.String())
		}
	}
	for _, b := range c.bindings {
		add(boundKey(b.Host, b.PortRef()), b.PortRef().String())
	}
	for ref, p := range c.peers {
		add(peerVTEPKey(p.VTEP, ref.NetworkRef()), ref.String())
	}
	for name, h := range c.hosts {
		add(vtepKey(h.VTEP), name)
	}
	c.natIndexes(add)
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if got, ok := c.index[key]; !ok {
			c.find("index key %s of %s is missing", key, want[key])
		} else if got != want[key] {
			c.find("index key %s names %s instead of %s", key, got, want[key])
		}
	}
	for key, value := range c.index {
		if _, ok := want[key]; !ok {
			c.find("index key %s of %s belongs to nothing", key, value)
		}
	}
}

// guarded compares what is kept for the guard with what it is made of.
func (c *checker) guarded() {
	left := maps.Clone(c.guard)
	for ref, p := range c.peers {
		k := guardVTEPKey(p.VTEP, p.ID)
		if g, ok := c.guard[k]; !ok || g.VTEP != p.VTEP {
			c.find("key %s of peer %s is missing: hosts do not keep tenants from its VTEP", k, ref)
		}
		delete(left, k)
	}
	for name := range c.hosts {
		if g, ok := c.guard[guardHostKey(name)]; ok && g.Host != name {
			c.find("key %s is about host %q", guardHostKey(name), g.Host)
		}
		delete(left, guardHostKey(name))
	}
	for k := range left {
		c.find("key %s belongs to nothing", k)
	}
}
