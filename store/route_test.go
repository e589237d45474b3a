package store

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/cluster"
)

func route(tenant, to string, via ...string) intent.Route {
	r := intent.Route{Tenant: tenant, Prefix: prefix(to)}
	for _, a := range via {
		r.Via = append(r.Via, addr(a))
	}
	return r
}

// refusal is the error of a change that is not allowed.
type refusal struct {
	name string
	err  error
	kind intent.Kind
	text string
}

func refusals(t *testing.T, all []refusal) {
	t.Helper()
	for _, c := range all {
		t.Run(c.name, func(t *testing.T) {
			if c.err == nil || intent.KindOf(c.err) != c.kind || !strings.Contains(c.err.Error(), c.text) {
				t.Errorf("got %q: %v\nwant %q: ...%s...", intent.KindOf(c.err), c.err, c.kind, c.text)
			}
		})
	}
}

func TestRoutes(t *testing.T) {
	s := open(t, cluster.Config{})
	ctx := t.Context()
	acme(t, s)
	must[intent.Network](t)(s.AddNetwork(ctx, network("acme/db", "10.1.0.0/24")))
	m, _ := watch(t, s, "acme")
	wide := must[intent.Route](t)(s.AddRoute(ctx, route("acme", "10.0.0.0/8", "10.1.0.7", "10.0.0.7"))) // contains both networks
	all := must[intent.Route](t)(s.AddRoute(ctx, route("acme", "::/0", "fd00::7")))
	host9 := must[intent.Route](t)(s.AddRoute(ctx, route("acme", "10.9.0.9/32", "10.1.0.9")))
	must[intent.Route](t)(s.AddRoute(ctx, route("acme", "10.9.0.0/16", "10.1.0.9")))
	if got, err := s.Route(ctx, wide.Ref()); err != nil || !slices.Equal(got.Via, []netip.Addr{addr("10.0.0.7"), addr("10.1.0.7")}) || got.ID == 0 {
		t.Errorf("the route reads %+v, %v", got, err)
	}
	list, err := s.Routes(ctx, "acme")
	var got []string
	for _, r := range list {
		got = append(got, r.Prefix.String())
	}
	if want := "10.0.0.0/8 10.9.0.0/16 10.9.0.9/32 ::/0"; err != nil || strings.Join(got, " ") != want {
		t.Errorf("routes %v, %v, want %s", got, err, want)
	}
	edited, rev, err := s.SetRoute(ctx, host9.Ref(), func(r *intent.Route) error {
		r.Via = []netip.Addr{addr("10.0.0.9")}
		return nil
	})
	if err != nil || edited.ID != host9.ID {
		t.Errorf("set to %+v, %v", edited, err)
	}
	if _, again, err := s.SetRoute(ctx, host9.Ref(), func(*intent.Route) error { return nil }); err != nil || again != rev {
		t.Errorf("without a change: revision %d after %d, %v", again, rev, err)
	}

	web, db := intent.NetworkRef{Tenant: "acme", Network: "web"}, intent.NetworkRef{Tenant: "acme", Network: "db"}
	set := func(edit func(*intent.Route)) error {
		return third(s.SetRoute(ctx, wide.Ref(), func(r *intent.Route) error { edit(r); return nil }))
	}
	setDB := func(edit func(*intent.Network)) error {
		return third(s.SetNetwork(ctx, db, func(n *intent.Network) error { edit(n); return nil }))
	}
	refusals(t, []refusal{
		{"twice", third(s.AddRoute(ctx, route("acme", "::/0", "fd00::7"))), intent.Conflict, "route acme ::/0 exists"},
		{"no tenant", third(s.AddRoute(ctx, route("globex", "::/0", "fd00::7"))), intent.NotFound, "tenant globex does not exist"},
		{"no next hop", third(s.AddRoute(ctx, route("acme", "10.7.0.0/16"))), intent.Invalid, "has no next hop"},
		{"a next hop elsewhere", third(s.AddRoute(ctx, route("acme", "10.7.0.0/16", "10.0.0.7", "10.2.0.7"))), intent.Invalid,
			"next hop 10.2.0.7 is in no subnet of tenant acme; name an address in one of its networks"},
		{"via a gateway", third(s.AddRoute(ctx, route("acme", "10.7.0.0/16", "10.0.0.1"))), intent.Invalid,
			"next hop address 10.0.0.1 is the gateway of subnet 10.0.0.0/24; choose"},
		{"via a broadcast address", third(s.AddRoute(ctx, route("acme", "10.7.0.0/16", "10.0.0.255"))), intent.Invalid, "is the broadcast address"},
		{"to an own subnet", third(s.AddRoute(ctx, route("acme", "10.1.0.0/24", "10.0.0.7"))), intent.Conflict,
			"route acme 10.1.0.0/24 leads into subnet 10.1.0.0/24 of network acme/db; a tenant's own subnets are reached directly"},
		{"into an own subnet", third(s.AddRoute(ctx, route("acme", "10.1.0.128/25", "10.0.0.7"))), intent.Conflict, "leads into subnet 10.1.0.0/24"},
		{"another prefix", set(func(r *intent.Route) { r.Prefix = prefix("10.7.0.0/16") }), intent.Invalid, "cannot be changed"},
		{"set to nowhere", set(func(r *intent.Route) { r.Via = []netip.Addr{addr("10.2.0.7")} }), intent.Invalid, "next hop 10.2.0.7 is in no subnet"},
		{"no route", third(s.DeleteRoute(ctx, route("acme", "10.7.0.0/16").Ref())), intent.NotFound, "route acme 10.7.0.0/16 does not exist"},
		{"a network around a route", third(s.AddNetwork(ctx, network("acme/lab", "10.9.0.0/16"))), intent.Conflict, "leads into subnet 10.9.0.0/16 of network acme/lab"},
		{"a subnet around a route", setDB(func(n *intent.Network) { n.Subnets = append(n.Subnets, intent.Subnet{Prefix: prefix("10.9.0.0/24")}) }),
			intent.Conflict, "leads into subnet 10.9.0.0/24 of network acme/db"},
		{"a subnet that next hops are in", setDB(func(n *intent.Network) { n.Subnets = nil }), intent.InUse,
			"routes need what the change of network acme/db takes away: next hop 10.1.0.7 is in no other subnet (used by route acme 10.0.0.0/8, route acme 10.9.0.0/16)"},
		{"a gateway that is a next hop", setDB(func(n *intent.Network) { n.Subnets[0].Gateway = addr("10.1.0.9") }), intent.InUse,
			"next hop address 10.1.0.9 is the gateway of subnet 10.1.0.0/24"},
		{"a network that next hops are in", third(s.DeleteNetwork(ctx, db, false)), intent.InUse, "(used by route acme 10.0.0.0/8, route acme 10.9.0.0/16)"},
		{"a tenant with routes", third(s.DeleteTenant(ctx, "acme", false)), intent.InUse, "route acme ::/0, network acme/db, network acme/web"},
	})
	checked(t, s)

	deleted, rev, err := s.DeleteNetwork(ctx, db, true)
	if want := "route acme 10.0.0.0/8, route acme 10.9.0.0/16, network acme/db"; err != nil || strings.Join(deleted, ", ") != want {
		t.Errorf("deleted %v, %v, want %s", deleted, err, want)
	}
	m.reaches(t, rev)
	m.equals(t, s, "acme")
	if _, _, err := s.DeleteRoute(ctx, host9.Ref()); err != nil {
		t.Error(err)
	}
	checked(t, s)
	if deleted, _, err := s.DeleteNetwork(ctx, web, true); err != nil || !slices.Equal(deleted, []string{intent.ObjectName(all), "network acme/web"}) {
		t.Errorf("deleted %v, %v", deleted, err)
	}
	checked(t, s)
}
