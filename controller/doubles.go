package controller

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/ovloom/ovloom/intent"
)

// The store gives ids, VNIs, VRFs, MACs and addresses to one object each. But whoever
// can write into it past its transactions can give one twice, and then tenants would
// meet. Of several objects that have the same, the oldest counts, by id: all hosts
// that follow them find the same one. The others have no flows until that is mended.

// owners are the objects that have something of which each may have one alone.
type owners[K, R comparable] struct {
	first map[K]R
	more  map[K][]R // all of them, where they are several
}

// add notes that r has k, and returns all that have it if they are several.
// Nothing, the zero K, may be had by many.
func (o *owners[K, R]) add(k K, r R) []R {
	if k == *new(K) {
		return nil
	}
	if o.first == nil {
		o.first = map[K]R{}
	}
	have, ok := o.first[k]
	switch {
	case !ok:
		o.first[k] = r
		return nil
	case have == r:
		return o.more[k]
	case len(o.more[k]) == 0:
		if o.more == nil {
			o.more = map[K][]R{}
		}
		o.more[k] = []R{have, r}
	case !slices.Contains(o.more[k], r):
		o.more[k] = append(slices.Clone(o.more[k]), r)
	}
	return o.more[k]
}

// remove notes that r has k no more, and returns all that had it if they were several.
func (o *owners[K, R]) remove(k K, r R) []R {
	all := o.more[k]
	if len(all) == 0 {
		if have, ok := o.first[k]; ok && have == r {
			delete(o.first, k)
		}
		return nil
	}
	left := slices.DeleteFunc(slices.Clone(all), func(x R) bool { return x == r })
	o.first[k] = left[0]
	if o.more[k] = left; len(left) == 1 {
		delete(o.more, k)
	}
	return all
}

// before returns who has k besides r and comes before it; false: nobody.
func (o *owners[K, R]) before(k K, r R, order func(a, b R) int) (R, bool) {
	if len(o.more) > 0 {
		if all := o.more[k]; len(all) > 1 {
			if first := slices.MinFunc(all, order); first != r {
				return first, true
			}
		}
	}
	var none R
	return none, false
}

// doubles are the owners of what one object may have alone.
type doubles struct {
	tenantIDs  *owners[intent.ID, string]
	vrfs       *owners[uint32, string]
	networkIDs *owners[intent.ID, intent.NetworkRef]
	vnis       *owners[uint32, intent.NetworkRef]
	portIDs    *owners[intent.ID, intent.PortRef]
	peerIDs    *owners[intent.ID, intent.PeerRef]
	routeIDs   *owners[intent.ID, intent.RouteRef]

	outside map[outerKey]map[string]int // how often tenants use an address of an external
}

func newDoubles() doubles {
	return doubles{
		tenantIDs: &owners[intent.ID, string]{}, vrfs: &owners[uint32, string]{},
		networkIDs: &owners[intent.ID, intent.NetworkRef]{}, vnis: &owners[uint32, intent.NetworkRef]{},
		portIDs: &owners[intent.ID, intent.PortRef]{}, peerIDs: &owners[intent.ID, intent.PeerRef]{}, routeIDs: &owners[intent.ID, intent.RouteRef]{},
		outside: map[outerKey]map[string]int{},
	}
}

// ownTenant notes what a tenant has, or no more: now is added, old removed. Either may
// be empty.
func (w *world) ownTenant(old, now intent.Tenant) {
	d := &w.doubles
	var shared []string
	if old.ID != 0 {
		shared = append(d.tenantIDs.remove(old.ID, old.Name), d.vrfs.remove(old.VRF, old.Name)...)
	}
	if now.ID != 0 {
		shared = slices.Concat(shared, d.tenantIDs.add(now.ID, now.Name), d.vrfs.add(now.VRF, now.Name))
	}
	for _, name := range shared {
		if t := w.tenants[name]; t != nil {
			w.touchAll(t)
		}
	}
}

func (w *world) ownNetwork(old, now *intent.Network) {
	d := &w.doubles
	var shared []intent.NetworkRef
	if old != nil {
		shared = append(d.networkIDs.remove(old.ID, old.Ref()), d.vnis.remove(old.VNI, old.Ref())...)
	}
	if now != nil {
		shared = slices.Concat(shared, d.networkIDs.add(now.ID, now.Ref()), d.vnis.add(now.VNI, now.Ref()))
	}
	for _, ref := range shared {
		if t := w.tenants[ref.Tenant]; t != nil && t.networks[ref.Network] != nil {
			w.touchNetwork(ref, t.networks[ref.Network])
			w.touchRoutes(t)
			w.touchNAT(t)
		}
	}
}

// ownPort notes what a port of n has, or no more.
func (w *world) ownPort(n *network, old, now *intent.Port) {
	var shared []intent.PortRef
	beside := func(names []string) {
		for _, name := range names {
			shared = append(shared, intent.PortRef{Tenant: n.intent.Tenant, Network: n.intent.Name, Port: name})
		}
	}
	if old != nil {
		shared = append(shared, w.doubles.portIDs.remove(old.ID, old.Ref())...)
		beside(n.macs.remove(old.MAC, old.Name))
		for _, a := range old.Addrs {
			beside(n.addrs.remove(a, old.Name))
		}
	}
	if now != nil {
		shared = append(shared, w.doubles.portIDs.add(now.ID, now.Ref())...)
		beside(n.macs.add(now.MAC, now.Name))
		for _, a := range now.Addrs {
			beside(n.addrs.add(a, now.Name))
		}
	}
	for _, ref := range shared {
		w.ports.touch(ref)
		if t := w.tenants[ref.Tenant]; t != nil {
			w.touchTarget(t, ref)
		}
	}
}

func (w *world) ownPeer(old, now intent.Peer) {
	var shared []intent.PeerRef
	if old.ID != 0 {
		shared = w.doubles.peerIDs.remove(old.ID, old.Ref())
	}
	if now.ID != 0 {
		shared = slices.Concat(shared, w.doubles.peerIDs.add(now.ID, now.Ref()))
	}
	for _, ref := range shared {
		w.peers.touch(ref)
	}
}

func (w *world) ownRoute(old, now intent.Route) {
	var shared []intent.RouteRef
	if old.ID != 0 {
		shared = w.doubles.routeIDs.remove(old.ID, old.Ref())
	}
	if now.ID != 0 {
		shared = slices.Concat(shared, w.doubles.routeIDs.add(now.ID, now.Ref()))
	}
	for _, ref := range shared {
		w.routes.touch(ref)
	}
}

// ownAddress notes that a tenant uses an address of an external once more, or once less.
func (w *world) ownAddress(tenant, external string, a netip.Addr, by int) {
	if !a.IsValid() {
		return
	}
	k := outerKey{external, a}
	users := w.doubles.outside[k]
	if users == nil {
		users = map[string]int{}
		w.doubles.outside[k] = users
	}
	was := len(users)
	if users[tenant] += by; users[tenant] <= 0 {
		delete(users, tenant)
	}
	if len(users) > 1 || was > 1 {
		for other := range users {
			w.nat.addresses.touch(addressRef{other, k})
		}
	}
	if len(users) == 0 {
		delete(w.doubles.outside, k)
	}
}

// disown notes that nothing is known of a tenant any more.
func (w *world) disown(t *tenant) {
	w.ownTenant(t.Tenant, intent.Tenant{})
	for _, n := range t.networks {
		if n.known {
			w.ownNetwork(n.intent, nil)
		}
		for _, p := range n.ports {
			w.ownPort(n, &p, nil)
		}
		for _, p := range n.peers {
			w.ownPeer(p, intent.Peer{})
		}
	}
	for _, r := range t.routes {
		w.ownRoute(r, intent.Route{})
	}
	for external, s := range t.nat.snats {
		w.ownAddress(t.Name, external, s.Address, -1)
	}
	for ref, f := range t.nat.floatings {
		w.ownAddress(t.Name, ref.External, f.Address, -1)
	}
	for ref, f := range t.nat.forwards {
		w.ownAddress(t.Name, ref.External, f.Address, -1)
	}
	for k, a := range t.nat.taken {
		w.ownAddress(t.Name, k.external, a, -1)
	}
}

// Orders of age.

func (w *world) olderTenant(a, b string) int {
	id := func(name string) intent.ID {
		if t := w.tenants[name]; t != nil {
			return t.ID
		}
		return 0
	}
	return cmp.Or(cmp.Compare(id(a), id(b)), cmp.Compare(a, b))
}

func (w *world) olderNetwork(a, b intent.NetworkRef) int {
	id := func(ref intent.NetworkRef) intent.ID {
		if t := w.tenants[ref.Tenant]; t != nil && t.networks[ref.Network] != nil {
			return t.networks[ref.Network].intent.ID
		}
		return 0
	}
	return cmp.Or(cmp.Compare(id(a), id(b)), compareNetworks(a, b))
}

func (n *network) olderPort(a, b string) int {
	return cmp.Or(cmp.Compare(n.ports[a].ID, n.ports[b].ID), cmp.Compare(a, b))
}

// tenantLeft says why nothing is done for a tenant; "": nothing is wrong.
func (w *world) tenantLeft(t *tenant) string {
	d := &w.doubles
	if len(d.tenantIDs.more)+len(d.vrfs.more) == 0 {
		return ""
	}
	if other, ok := d.vrfs.before(t.VRF, t.Name, w.olderTenant); ok {
		return fmt.Sprintf("it has VRF %d, which is that of tenant %s", t.VRF, other)
	}
	if other, ok := d.tenantIDs.before(t.ID, t.Name, w.olderTenant); ok {
		return fmt.Sprintf("it has id %d, which is that of tenant %s", t.ID, other)
	}
	return ""
}

// networkLeft says why a network, or its tenant, is left out.
func (w *world) networkLeft(t *tenant, n *network) string {
	d := &w.doubles
	if why := w.tenantLeft(t); why != "" {
		return "its tenant is left out"
	}
	if len(d.networkIDs.more)+len(d.vnis.more) == 0 {
		return ""
	}
	ref := n.intent.Ref()
	if other, ok := d.vnis.before(n.intent.VNI, ref, w.olderNetwork); ok {
		return fmt.Sprintf("it has VNI %d, which is that of network %s", n.intent.VNI, other)
	}
	if other, ok := d.networkIDs.before(n.intent.ID, ref, w.olderNetwork); ok {
		return fmt.Sprintf("it has id %d, which is that of network %s", n.intent.ID, other)
	}
	return ""
}

// doublePort says why a port is left out, but for its network.
func (w *world) doublePort(n *network, p *intent.Port) string {
	if other, ok := w.doubles.portIDs.before(p.ID, p.Ref(), comparePorts); ok {
		return fmt.Sprintf("it has id %d, which is that of port %s", p.ID, other)
	}
	if len(n.macs.more)+len(n.addrs.more) == 0 {
		return ""
	}
	if other, ok := n.macs.before(p.MAC, p.Name, n.olderPort); ok {
		return fmt.Sprintf("it has MAC %s, which is that of port %s", p.MAC, other)
	}
	for _, a := range p.Addrs {
		if other, ok := n.addrs.before(a, p.Name, n.olderPort); ok {
			return fmt.Sprintf("it has address %s, which is that of port %s", a, other)
		}
	}
	return ""
}

// portUsed says whether flows are made of a port that the store has.
func (w *world) portUsed(t *tenant, n *network, p *intent.Port) bool {
	return w.networkLeft(t, n) == "" && w.doublePort(n, p) == ""
}

// addressLeft says why a tenant does not use an address of an external.
func (w *world) addressLeft(t *tenant, k outerKey) string {
	users := w.doubles.outside[k]
	if len(users) < 2 {
		return ""
	}
	for other := range users {
		if w.olderTenant(other, t.Name) < 0 {
			return fmt.Sprintf("tenant %s has it, too", other)
		}
	}
	return ""
}

// doubled lists what is left out because an older object has what is its own.
func (w *world) doubled() []LeftOut {
	var list []LeftOut
	add := func(object, why string) {
		if why != "" {
			list = append(list, LeftOut{Object: object, Why: why, Do: "it has no flows; write it anew, or delete it; to see what else is wrong in the store: ovloom store check"})
		}
	}
	for name, why := range w.externalsLeft {
		add("external "+name, why)
	}
	for _, t := range w.tenants {
		why := w.tenantLeft(t)
		add("tenant "+t.Name, why)
		if why != "" {
			continue
		}
		for _, n := range t.networks {
			if !n.known {
				continue
			}
			why := w.networkLeft(t, n)
			add("network "+n.intent.Ref().String(), why)
			if why != "" || len(w.doubles.portIDs.more)+len(n.macs.more)+len(n.addrs.more) == 0 {
				continue
			}
			for _, p := range n.ports {
				add("port "+p.Ref().String(), w.doublePort(n, &p))
			}
		}
	}
	for id, refs := range w.doubles.peerIDs.more {
		for _, ref := range refs {
			if other, ok := w.doubles.peerIDs.before(id, ref, comparePeers); ok {
				add("peer "+ref.String(), fmt.Sprintf("it has id %d, which is that of peer %s", id, other))
			}
		}
	}
	for id, refs := range w.doubles.routeIDs.more {
		for _, ref := range refs {
			if other, ok := w.doubles.routeIDs.before(id, ref, compareRoutes); ok {
				add("route "+ref.String(), fmt.Sprintf("it has id %d, which is that of route %s", id, other))
			}
		}
	}
	for k, users := range w.doubles.outside {
		for name := range users {
			if t := w.tenants[name]; t != nil {
				add(fmt.Sprintf("address %s of tenant %s on %s", k.addr, name, k.external), w.addressLeft(t, k))
			}
		}
	}
	slices.SortFunc(list, func(a, b LeftOut) int { return cmp.Or(cmp.Compare(a.Object, b.Object), cmp.Compare(a.Why, b.Why)) })
	return list
}

// singleExternals returns the externals without those that have the number or the id of
// an older one, and why those are left out.
func singleExternals(list []intent.External) (single []intent.External, left map[string]string) {
	list = slices.SortedFunc(slices.Values(list), func(a, b intent.External) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Name, b.Name))
	})
	numbers, ids := map[uint8]string{}, map[intent.ID]string{}
	for _, e := range list {
		why := ""
		if other, taken := numbers[e.Number]; taken {
			why = fmt.Sprintf("it has number %d, which is that of external %s", e.Number, other)
		} else if other, taken := ids[e.ID]; taken {
			why = fmt.Sprintf("it has id %d, which is that of external %s", e.ID, other)
		}
		if why == "" {
			numbers[e.Number], ids[e.ID] = e.Name, e.Name
			single = append(single, e)
			continue
		}
		if left == nil {
			left = map[string]string{}
		}
		left[e.Name] = why
	}
	return single, left
}
