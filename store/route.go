package store

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/kv"
)

// Each next hop of a route must be an address that a port could have in one of the
// tenant's networks, and the prefix may not be within one of the tenant's own subnets,
// which always win. Nothing uses a route.
var routes = declared[intent.Route, intent.RouteRef]{
	class: intent.ClassRoute,
	rank:  rankRoutes,
	in:    func(s *intent.Snapshot) *[]intent.Route { return &s.Routes },
	key:   routeKey,
	parse: func(tenant string, p []string) (intent.Route, bool) {
		if len(p) != 1 {
			return intent.Route{}, false
		}
		prefix, ok := parsePrefixName(p[0])
		return intent.Route{Tenant: tenant, Prefix: prefix}, ok
	},
	root: func(within intent.Reference) string { return routesRoot(within.(intent.TenantRef).Tenant) },
	// IPv4 first, and containing prefixes before contained ones.
	less: func(a, b intent.Route) int {
		return cmp.Or(a.Prefix.Addr().Compare(b.Prefix.Addr()), a.Prefix.Bits()-b.Prefix.Bits())
	},
	missing: func(r intent.RouteRef) *intent.Error {
		return intent.NotFoundf("route %s does not exist", r).WithHint("see: ovloom route list %s", r.Tenant)
	},
	normal: func(r intent.Route) intent.Route {
		r.Via = inOrder(r.Via)
		return r
	},
	valid: intent.Route.Validate,
	needs: func(r intent.Route) []intent.Reference { return []intent.Reference{intent.TenantRef{Tenant: r.Tenant}} },
	fill: func(c *change[intent.Route]) (err error) {
		c.o.ID, err = c.s.newID(c.ctx)
		return err
	},
	copied: func(r intent.Route) intent.Route {
		r.Via = slices.Clone(r.Via)
		return r
	},
	frozen: func(old, r intent.Route) error {
		if r.Ref() != old.Ref() || r.ID != old.ID {
			return intent.Invalidf("the prefix and id of route %s cannot be changed", old.Ref())
		}
		return nil
	},
	rules: func(c *change[intent.Route]) error {
		v, err := c.s.kv.Read(c.ctx, kv.Below(networksRoot(c.o.Tenant)))
		if err != nil {
			return err
		}
		return routable(&c.tx, c.o, v.Found[0], v.Revision)
	},
}

func init() { keptIn("routes", &routes) }

func inOrder(addrs []netip.Addr) []netip.Addr {
	return slices.SortedFunc(slices.Values(addrs), netip.Addr.Compare)
}

// routable refuses a route that contradicts the tenant's networks, as read at a revision,
// and makes sure that the networks it needs stay and that none is added meanwhile.
func routable(tx *kv.Txn, r intent.Route, networks []kv.Item, revision int64) error {
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
		tx.Unchanged(it.Key, it.Revision)
		missing = slices.DeleteFunc(missing, func(hop netip.Addr) bool { return within(n.Subnets, hop) })
	}
	if len(missing) > 0 {
		return intent.Invalidf("next hop %s is in no subnet of tenant %s", missing[0], r.Tenant).
			WithHint("name an address in one of its networks; see: ovloom network list %s", r.Tenant)
	}
	tx.QuietBelow(networksRoot(r.Tenant), revision)
	return nil
}

// noRouteInto refuses a route into a subnet of a network of the same tenant: no packet
// would ever take the route.
func noRouteInto(n intent.Network, r intent.Route) error {
	for _, sub := range n.Subnets {
		if sub.Prefix.Contains(r.Prefix.Addr()) && sub.Prefix.Bits() <= r.Prefix.Bits() {
			return intent.Conflictf("%s leads into subnet %s of network %s", intent.Title(r.Ref()), sub.Prefix, n.Ref()).
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

// leadsInto reports whether a next hop of the route is in one of the subnets.
func leadsInto(r intent.Route, subnets []intent.Subnet) bool {
	return slices.ContainsFunc(r.Via, func(hop netip.Addr) bool { return within(subnets, hop) })
}

// routesStay refuses a network that contradicts routes of its tenant, as read at a
// revision, or a change that removes the subnets of next hops, and makes sure that no
// route is added or changed meanwhile. old is the network before the change; its zero
// value: none.
func routesStay(tx *kv.Txn, old, n intent.Network, routes []kv.Item, revision int64) error {
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
			users = append(users, intent.Title(r.Ref()))
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
	tx.QuietBelow(routesRoot(n.Tenant), revision)
	return nil
}

func firstOf(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// routesVia returns those of the routes that have a next hop in a network.
func routesVia(n intent.Network, routes []kv.Item) ([]intent.Reference, error) {
	var refs []intent.Reference
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
