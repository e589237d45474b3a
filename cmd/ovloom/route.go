// ovloom route: static routes of tenants.

package main

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/intent"
)

// routeVia are the next hops; a route needs at least one.
var routeVia = stringsFlag("via", "`ADDRESS` of a next hop in one of the tenant's networks", func(r *intent.Route) *[]netip.Addr { return &r.Via }, intent.ParseAddr).
	required(intent.Route.Validate)

var routes = noun[intent.Route, intent.Route, intent.Route]{
	class: intent.ClassRoute,
	usage: "routes of a tenant to what is behind its ports",
	about: "The networks of a tenant reach each other without any. What goes elsewhere is handed to the next hop of the longest prefix that matches.",
	examples: []string{
		"ovloom route add acme 10.9.0.0/16 --via 10.0.1.7",
		"ovloom route list acme",
	},
	name: []argument{path(intent.ClassTenant), {usage: "PREFIX", of: intent.ClassRoute, words: routePrefixes}},
	parse: func(args []string) (r intent.Route, err error) {
		if r.Tenant, err = intent.ParseTenant(args[0]); err != nil {
			return r, err
		}
		r.Prefix, err = intent.ParseDestination(args[1])
		return r, err
	},
	add: &verb[intent.Route]{
		usage: "add a route",
		about: "Several next hops share the connections; each connection keeps to one. A route to 0.0.0.0/0 goes before the tenant's externals. A port that has the address of a next hop may send from the prefix.",
		examples: []string{
			"ovloom route add acme 10.9.0.0/16 --via 10.0.1.7",
			"ovloom route add acme 10.9.0.0/16 --via 10.0.1.7 --via 10.0.1.8",
			"ovloom route add acme fd00:9::/48 --via fd00:1::7",
			"ovloom route add acme 0.0.0.0/0 --via 10.0.1.254",
		},
		flags: []field[intent.Route]{routeVia}, check: validRoute, says: routeText,
	},
	set: &verb[intent.Route]{
		usage:    "change the next hops of a route",
		about:    "--via replaces all next hops. Connections over a next hop that stays are not moved.",
		examples: []string{"ovloom route set acme 10.9.0.0/16 --via 10.0.1.8 --via 10.0.1.9"},
		flags:    []field[intent.Route]{routeVia}, check: validRoute, says: routeText,
	},
	list: &listing[intent.Route]{
		usage:    "list the routes of all tenants or of one",
		examples: []string{"ovloom route list", "ovloom route list acme -o json"},
		within:   []intent.Class{intent.ClassTenant},
		columns: []column[intent.Route]{
			{"TENANT", func(r intent.Route) string { return r.Tenant }},
			{"PREFIX", func(r intent.Route) string { return r.Prefix.String() }},
			{"VIA", func(r intent.Route) string { return addrs(r.Via) }},
		},
	},
	show: &showing[intent.Route, intent.Route]{
		verb: verb[intent.Route]{usage: "show a route", examples: []string{"ovloom route show acme 10.9.0.0/16"}},
		facts: func(r intent.Route) []fact {
			return []fact{{"tenant", r.Tenant}, {"prefix", r.Prefix.String()}, {"id", decimal(r.ID)}}
		},
		more: nextHops,
	},
	delete: &verb[intent.Route]{usage: "delete a route", examples: []string{"ovloom route delete acme 10.9.0.0/16"}},
}

func validRoute(in *input[intent.Route]) error { return in.object.Validate() }

func routeText(r intent.Route) string { return "via " + addrs(r.Via) }

// nextHops returns the next hops of a route, with the ports that have them.
func nextHops(ctx context.Context, p *program, r intent.Route) ([]fact, error) {
	ports, err := api.List[api.Port](ctx, p.client, intent.ClassPort, intent.TenantRef{Tenant: r.Tenant})
	if err != nil {
		return nil, err
	}
	var fs []fact
	for _, hop := range r.Via {
		text := hop.String()
		if i := slices.IndexFunc(ports, func(v api.Port) bool { return slices.Contains(v.Addrs, hop) }); i >= 0 {
			text += ", port " + ports[i].Ref().String() + " (" + strings.TrimSpace(portState(ports[i])+" "+onHost(ports[i].Host)) + ")"
		}
		fs = append(fs, fact{"via", text})
	}
	return fs, nil
}

// onHost says on which host something is, if on any.
func onHost(host string) string {
	if host == "" {
		return ""
	}
	return "on " + host
}

// routePrefixes completes the prefix of a route of the tenant that the line names.
func routePrefixes(p *program, l line, _ string) []string {
	client, ctx, done := p.completionClient(l)
	defer done()
	rs, err := api.List[intent.Route](ctx, client, intent.ClassRoute, intent.TenantRef{Tenant: l.args[0]})
	if err != nil {
		return nil
	}
	var prefixes []string
	for _, r := range rs {
		prefixes = append(prefixes, r.Prefix.String())
	}
	return prefixes
}
