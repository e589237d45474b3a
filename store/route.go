package store

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/ovloom/ovloom/intent"
)

// AddRoute adds a static route and returns it as stored, with its id and its next
// hops in order, and the revision of the change. Each next hop must be an address
// that a port could have in one of the tenant's networks, and the prefix may not be
// in one of the tenant's own subnets, which always win.
func (s *Store) AddRoute(ctx context.Context, r intent.Route) (intent.Route, int64, error) {
	r.Via = inOrder(r.Via)
	if err := r.Validate(); err != nil {
		return intent.Route{}, 0, err
	}
	var revision int64
	err := s.update(ctx, "add "+intent.ObjectName(r), func(ctx context.Context) error {
		v, err := s.read(ctx, key(tenantKey(r.Tenant)), below(networksRoot(r.Tenant)))
		if err != nil {
			return err
		}
		_, tenant, err := tenantOf(v.one(0), r.Tenant)
		if err != nil {
			return err
		}
		if r.ID, err = s.newID(ctx); err != nil {
			return err
		}
		var tx txn
		tx.unchanged(tenant.key, tenant.revision)
		if err := tx.create(routeKey(r.Ref()), intent.ObjectName(r), r); err != nil {
			return err
		}
		if err := routable(&tx, r, v.found[1], v.revision); err != nil {
			return err
		}
		revision, err = s.commit(ctx, &tx)
		return err
	})
	if err != nil {
		return intent.Route{}, 0, err
	}
	return r, revision, nil
}

// SetRoute changes the next hops of a route: edit is given the stored one, and is
// called again if another change came between. Returns the route and the revision
// of the change; if edit changed nothing, that of the last change.
func (s *Store) SetRoute(ctx context.Context, ref intent.RouteRef, edit func(*intent.Route) error) (intent.Route, int64, error) {
	if err := ref.Validate(); err != nil {
		return intent.Route{}, 0, err
	}
	var r intent.Route
	var revision int64
	err := s.update(ctx, "set route "+ref.String(), func(ctx context.Context) error {
		v, err := s.read(ctx, key(routeKey(ref)), below(networksRoot(ref.Tenant)))
		if err != nil {
			return err
		}
		old, it, err := routeOf(v.one(0), ref)
		if err != nil {
			return err
		}
		r = old
		r.Via = slices.Clone(old.Via)
		if err := edit(&r); err != nil {
			return &editError{err}
		}
		if r.Ref() != ref || r.ID != old.ID {
			return intent.Invalidf("the prefix and id of route %s cannot be changed", ref)
		}
		r.Via = inOrder(r.Via)
		if err := r.Validate(); err != nil {
			return err
		}
		var tx txn
		changed, err := tx.replace(it, r)
		if err != nil || !changed {
			revision = it.revision // hosts are told of this one, not of what came later
			return err
		}
		if err := routable(&tx, r, v.found[1], v.revision); err != nil {
			return err
		}
		revision, err = s.commit(ctx, &tx)
		return err
	})
	if err != nil {
		return intent.Route{}, 0, err
	}
	return r, revision, nil
}

func inOrder(addrs []netip.Addr) []netip.Addr {
	return slices.SortedFunc(slices.Values(addrs), netip.Addr.Compare)
}

// routable refuses a route that contradicts the tenant's networks, as they were
// read at a revision, and makes sure that those it needs stay and that none is
// added meanwhile.
func routable(tx *txn, r intent.Route, networks []item, revision int64) error {
	missing := slices.Clone(r.Via)
	for _, it := range networks {
		n, err := objectOf[intent.Network](it)
		if err != nil {
			return err
		}
		if err := noRouteInto(n, r); err != nil {
			return err
		}
		if err := hopsFit(r, n); err != nil {
			return err
		}
		if !leadsInto(r, n.Subnets) {
			continue
		}
		tx.unchanged(it.key, it.revision)
		missing = slices.DeleteFunc(missing, func(hop netip.Addr) bool { return within(n.Subnets, hop) })
	}
	if len(missing) > 0 {
		return intent.Invalidf("next hop %s is in no subnet of tenant %s", missing[0], r.Tenant).
			WithHint("name an address in one of its networks; see: ovloom network list %s", r.Tenant)
	}
	tx.quietBelow(networksRoot(r.Tenant), revision)
	return nil
}

// noRouteInto refuses a route into a subnet of a network of the same tenant: no
// packet would ever take it.
func noRouteInto(n intent.Network, r intent.Route) error {
	for _, sub := range n.Subnets {
		if sub.Prefix.Contains(r.Prefix.Addr()) && sub.Prefix.Bits() <= r.Prefix.Bits() {
			return intent.Conflictf("%s leads into subnet %s of network %s", intent.ObjectName(r), sub.Prefix, n.Ref()).
				WithHint("a tenant's own subnets are reached directly: route a prefix that is not part of one")
		}
	}
	return nil
}

// hopsFit refuses next hops that no port of the network could have.
func hopsFit(r intent.Route, n intent.Network) error {
	for _, hop := range r.Via {
		for _, sub := range n.Subnets {
			if !sub.Prefix.Contains(hop) {
				continue
			}
			var e *intent.Error
			if err := sub.Assignable(hop); errors.As(err, &e) {
				e.What = "next hop " + e.What
				return e
			}
		}
	}
	return nil
}

func within(subnets []intent.Subnet, a netip.Addr) bool {
	return slices.ContainsFunc(subnets, func(s intent.Subnet) bool { return s.Prefix.Contains(a) })
}

// leadsInto says whether a next hop of the route is in one of the subnets.
func leadsInto(r intent.Route, subnets []intent.Subnet) bool {
	return slices.ContainsFunc(r.Via, func(hop netip.Addr) bool { return within(subnets, hop) })
}

// routesStay refuses a network that contradicts routes of its tenant, as they were
// read at a revision, or whose change takes away what next hops are in, and makes
// sure that no route is added or changed meanwhile. old is the network before the
// change; its zero value: none.
func routesStay(tx *txn, old, n intent.Network, routes []item, revision int64) error {
	var users []string
	var first error
	for _, it := range routes {
		r, err := objectOf[intent.Route](it)
		if err != nil {
			return err
		}
		if err := noRouteInto(n, r); err != nil {
			return err
		}
		err = hopsFit(r, n)
		for _, hop := range r.Via {
			if within(old.Subnets, hop) && !within(n.Subnets, hop) {
				err = intent.Invalidf("next hop %s is in no other subnet", hop)
			}
		}
		if err != nil {
			users = append(users, intent.ObjectName(r))
			first = firstOf(first, err)
		}
	}
	if len(users) > 0 {
		return &intent.Error{
			Kind: intent.InUse,
			What: fmt.Sprintf("routes need what the change of network %s takes away: %v", n.Ref(), first),
			Used: users, Hint: "change or delete those first", Err: first,
		}
	}
	tx.quietBelow(routesRoot(n.Tenant), revision)
	return nil
}

func firstOf(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// routesVia returns the routes, as they were read, of which a next hop is in a network.
func routesVia(n intent.Network, routes []item) ([]intent.RouteRef, error) {
	var refs []intent.RouteRef
	for _, it := range routes {
		r, err := objectOf[intent.Route](it)
		if err != nil {
			return nil, err
		}
		if leadsInto(r, n.Subnets) {
			refs = append(refs, r.Ref())
		}
	}
	return refs, nil
}

// Route returns one route.
func (s *Store) Route(ctx context.Context, ref intent.RouteRef) (intent.Route, error) {
	var r intent.Route
	err := s.call(ctx, "read route "+ref.String(), func(ctx context.Context) error {
		v, err := s.read(ctx, key(routeKey(ref)), key(tenantKey(ref.Tenant)))
		if err != nil {
			return err
		}
		if _, _, err := tenantOf(v.one(1), ref.Tenant); err != nil {
			return err
		}
		r, _, err = routeOf(v.one(0), ref)
		return err
	})
	return r, err
}

func routeOf(it item, ref intent.RouteRef) (intent.Route, item, error) {
	if it.value == nil {
		return intent.Route{}, item{}, intent.NotFoundf("route %s does not exist", ref).WithHint("see: ovloom route list %s", ref.Tenant)
	}
	r, err := objectOf[intent.Route](it)
	return r, it, err
}

// Routes returns the routes of a tenant, ordered by prefix: IPv4 first, and what
// contains before what is contained.
func (s *Store) Routes(ctx context.Context, tenant string) ([]intent.Route, error) {
	if _, err := s.Tenant(ctx, tenant); err != nil {
		return nil, err
	}
	routes, err := listOf[intent.Route](ctx, s, "list routes of "+tenant, routesRoot(tenant))
	slices.SortFunc(routes, func(a, b intent.Route) int {
		if c := a.Prefix.Addr().Compare(b.Prefix.Addr()); c != 0 {
			return c
		}
		return a.Prefix.Bits() - b.Prefix.Bits()
	})
	return routes, err
}

// DeleteRoute deletes a route and returns its name, as "route acme 10.9.0.0/16",
// and the revision of the change. Nothing uses a route, so it is never refused.
func (s *Store) DeleteRoute(ctx context.Context, ref intent.RouteRef) (deleted []string, revision int64, err error) {
	if _, err := s.Route(ctx, ref); err != nil {
		return nil, 0, err
	}
	what := "route " + ref.String()
	err = s.update(ctx, "delete "+what, func(ctx context.Context) error {
		it, err := s.get(ctx, routeKey(ref))
		if err != nil {
			return err
		}
		if _, _, err := routeOf(it, ref); err != nil {
			return err
		}
		var tx txn
		tx.unchanged(it.key, it.revision)
		tx.delete(it.key)
		revision, err = s.commit(ctx, &tx)
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	return []string{what}, revision, nil
}
