package api

import (
	"cmp"
	"net/netip"
	"strconv"

	"github.com/ovloom/ovloom/intent"
)

var routeClass = declared[intent.Route, intent.RouteRef]{
	class: intent.ClassRoute,
	at:    "/v1/tenants/{tenant}/routes", name: "/{address}/{length}",
	values: func(r intent.RouteRef) []string {
		return []string{r.Tenant, r.Prefix.Addr().String(), strconv.Itoa(r.Prefix.Bits())}
	},
	ref: func(v values) (intent.RouteRef, error) {
		prefix, err := intent.ParseDestination(v("address") + "/" + v("length"))
		return intent.RouteRef{Tenant: v("tenant"), Prefix: prefix}, err
	},
	add:   []string{"prefix", "via"},
	set:   []string{"via"},
	place: func(r *intent.Route, v values) { r.Tenant = v("tenant") },
	fits: func(ref intent.RouteRef, r intent.Route) error {
		r.Tenant, r.Prefix = ref.Tenant, ref.Prefix
		return r.Validate()
	},
	order: func(a, b intent.Object) int {
		ra, rb := a.(intent.Route), b.(intent.Route)
		return cmp.Or(intent.Natural(ra.Tenant, rb.Tenant), comparePrefixes(ra.Prefix, rb.Prefix))
	},
	docs: documented[intent.Route]{
		one: "static route", several: "static routes", by: "prefix",
		add:     "Add a static route: what goes to the prefix, and to no subnet of the tenant's own, is handed to a next hop. Several next hops share the connections.",
		show:    "One static route, named by its prefix: `/v1/tenants/acme/routes/10.9.0.0/16`.",
		set:     "Change a static route: `via` replaces all its next hops.",
		example: exampleRoute, given: intent.Route{Prefix: exampleRoute.Prefix, Via: exampleRoute.Via}, changed: map[string]any{"via": exampleRoute.Via},
		revisions: [3]int64{62, 63, 64},
	},
}

// comparePrefixes orders prefixes by family, address and length.
func comparePrefixes(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}
