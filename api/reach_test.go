package api_test

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/api/hosttest"
	"github.com/ovloom/ovloom/intent"
)

func prefixes(ss ...string) []netip.Prefix {
	var ps []netip.Prefix
	for _, s := range ss {
		ps = append(ps, netip.MustParsePrefix(s))
	}
	return ps
}

func TestCallsOfRoutes(t *testing.T) {
	o := hosttest.New(t)
	c := dial(t, o.Serve())
	ctx := background(t)
	addC1(t, c)
	c1Addr := must(api.Get[api.Port](ctx, c, c1))(t).Addrs[0]
	for _, p := range prefixes("10.9.1.0/24", "10.9.0.0/16", "0.0.0.0/0") {
		w := must(c.Add(ctx, intent.Route{Tenant: "acme", Prefix: p, Via: []netip.Addr{c1Addr}}))(t)
		want(t, "added route", w.Object.(intent.Route).Prefix, p)
	}
	var listed []netip.Prefix
	for _, r := range must(api.List[intent.Route](ctx, c, intent.ClassRoute, nil))(t) {
		listed = append(listed, r.Prefix)
	}
	want(t, "routes", listed, prefixes("0.0.0.0/0", "10.9.0.0/16", "10.9.1.0/24"))
	ref := intent.RouteRef{Tenant: "acme", Prefix: listed[1]}
	other := []netip.Addr{netip.MustParseAddr("10.0.0.77")}
	want(t, "changed route", must(c.Set(ctx, ref, map[string]any{"via": other}))(t).Object.(intent.Route).Via, other)
	want(t, "route", must(api.Get[intent.Route](ctx, c, ref))(t).Via, other)
	want(t, "routes to a port", must(api.Get[api.Port](ctx, c, c1))(t).Routes, prefixes("0.0.0.0/0", "10.9.1.0/24"))
	want(t, "routes via a network", must(api.Get[api.Network](ctx, c, web))(t).Routes, listed)
	want(t, "routes of a tenant", must(api.Get[api.Tenant](ctx, c, intent.TenantRef{Tenant: "acme"}))(t).Routes, 3)
	want(t, "deleted", must(c.Delete(ctx, ref, api.DeleteMode{}))(t).Deleted, []string{"route acme 10.9.0.0/16"})
	_, err := api.Get[intent.Route](ctx, c, ref)
	wantError(t, err, intent.NotFound, "10.9.0.0/16")
}

func TestCallsOfExternalsAndNAT(t *testing.T) {
	o := hosttest.New(t)
	c := dial(t, o.Serve())
	ctx := background(t)
	addC1(t, c)
	must(c.Add(ctx, intent.External{Name: "internet", Kind: intent.ExternalHost}))(t)
	must(c.Add(ctx, intent.External{Name: "campus", Kind: intent.ExternalBridge, Bridge: "br-ex", Subnet: prefixes("203.0.113.0/24")[0],
		Pool: intent.AddrRange{First: netip.MustParseAddr("203.0.113.10"), Last: netip.MustParseAddr("203.0.113.12")}}))(t)
	es := must(api.List[intent.External](ctx, c, intent.ClassExternal, nil))(t)
	want(t, "externals", []string{es[0].Name, es[1].Name}, []string{"campus", "internet"})

	must(c.Set(ctx, intent.ExternalRef{External: "internet"}, map[string]any{"allow": prefixes("192.0.2.7/32", "192.0.2.0/30")}))(t)
	e := must(c.Set(ctx, intent.ExternalRef{External: "internet"}, map[string]any{"allow": prefixes("192.0.2.8/32", "192.0.2.7/32"), "no_allow": prefixes("192.0.2.0/30")}))(t)
	want(t, "allowed", e.Object.(intent.External).Allow, prefixes("192.0.2.7/32", "192.0.2.8/32"))
	_, err := c.Set(ctx, intent.ExternalRef{External: "internet"}, map[string]any{"no_allow": prefixes("192.0.2.0/30")})
	wantError(t, err, intent.NotFound, "192.0.2.0/30")

	snat := must(c.Add(ctx, intent.SNAT{Tenant: "acme", External: "campus"}))(t).Object.(intent.SNAT)
	limit := uint32(7)
	want(t, "limit", must(c.Set(ctx, snat.Ref(), map[string]any{"max_connections": limit}))(t).Object.(intent.SNAT).MaxConnections, limit)
	o.TakeNATAddress(snat.Ref(), "host2")
	want(t, "address of a host", must(api.Get[api.SNAT](ctx, c, snat.Ref()))(t).Hosts, []api.HostAddress{{Host: "host2", Address: netip.MustParseAddr("203.0.113.10")}})
	floating := must(c.Add(ctx, intent.Floating{Tenant: "acme", Network: "web", Port: "c1", External: "campus"}))(t).Object.(intent.Floating)
	forward := must(c.Add(ctx, intent.Forward{Tenant: "acme", External: "campus", Protocol: intent.UDP, Port: 53, To: c1, ToPort: 5353}))(t).Object.(intent.Forward)
	must(c.Plug(ctx, api.PlugRequest{Ref: c1, Netns: "ns1"}))(t)
	want(t, "host of a floating address", must(api.Get[api.Floating](ctx, c, floating.Ref()))(t).Host, "host1")
	f := must(api.Get[api.Forward](ctx, c, forward.Ref()))(t)
	want(t, "target of a forward", []any{f.To, f.ToPort, f.Host}, []any{c1, uint16(5353), "host1"})

	used := must(api.Get[api.External](ctx, c, intent.ExternalRef{External: "campus"}))(t)
	var by [][]string
	for _, u := range used.Used {
		by = append(by, u.By)
	}
	want(t, "users", by, [][]string{{"snat acme through campus on host2"}, {"floating acme/web/c1 on campus"}, {"forward acme campus udp/53"}})
	want(t, "free", used.Free, 0)
	want(t, "free of another", must(api.Get[api.External](ctx, c, intent.ExternalRef{External: "internet"}))(t).Free, 1<<16-3)

	port := must(api.Get[api.Port](ctx, c, c1))(t)
	want(t, "what leads to a port", []int{len(port.Floatings), len(port.Forwards)}, []int{1, 1})
	want(t, "the port in a list", must(api.List[api.Port](ctx, c, intent.ClassPort, intent.NetworkRef{Tenant: "acme", Network: "web"}))(t)[0], port)
	tenant := must(api.Get[api.Tenant](ctx, c, intent.TenantRef{Tenant: "acme"}))(t)
	want(t, "NAT of a tenant", []int{len(tenant.SNATs), tenant.Floatings, tenant.Forwards}, []int{1, 1, 1})

	_, err = c.Delete(ctx, intent.ExternalRef{External: "campus"}, api.DeleteMode{})
	wantError(t, err, intent.InUse, "forward acme campus udp/53")
	want(t, "deleted", must(c.Delete(ctx, forward.Ref(), api.DeleteMode{}))(t).Deleted, []string{"forward acme campus udp/53"})
	want(t, "deleted", must(c.Delete(ctx, floating.Ref(), api.DeleteMode{}))(t).Deleted, []string{"floating acme/web/c1 on campus"})
	want(t, "deleted", must(c.Delete(ctx, snat.Ref(), api.DeleteMode{}))(t).Deleted, []string{"snat acme through campus"})
	must(c.Delete(ctx, intent.ExternalRef{External: "campus"}, api.DeleteMode{}))(t)
	nat := must(c.NAT(ctx, ""))(t)
	want(t, "NAT", nat, api.NAT{SNATs: []api.SNAT{}, Floatings: []intent.Floating{}, Forwards: []intent.Forward{}})
}

func TestNATIsInOrder(t *testing.T) {
	o := hosttest.New(t)
	c := dial(t, o.Serve())
	ctx := background(t)
	addC1(t, c)
	must(c.Add(ctx, intent.External{Name: "internet", Kind: intent.ExternalHost}))(t)
	for _, port := range []uint16{443, 80, 8080} {
		for _, proto := range []intent.Protocol{intent.UDP, intent.TCP} {
			must(c.Add(ctx, intent.Forward{Tenant: "acme", External: "internet", Protocol: proto, Port: port, To: c1, ToPort: 1}))(t)
		}
	}
	var names []string
	for _, f := range must(c.NAT(ctx, "acme"))(t).Forwards {
		names = append(names, f.Ref().String())
	}
	if w := []string{"acme internet tcp/80", "acme internet tcp/443", "acme internet tcp/8080", "acme internet udp/80", "acme internet udp/443", "acme internet udp/8080"}; !slices.Equal(names, w) {
		t.Errorf("got %q, want %q", names, w)
	}
}
