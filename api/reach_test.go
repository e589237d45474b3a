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
	c1Addr := must(c.Port(ctx, c1))(t).Addrs[0]
	for _, p := range prefixes("10.9.1.0/24", "10.9.0.0/16", "0.0.0.0/0") {
		w := must(c.AddRoute(ctx, "acme", api.RouteSpec{Prefix: p, Via: []netip.Addr{c1Addr}}))(t)
		want(t, "added route", w.Object.(intent.Route).Prefix, p)
	}
	var listed []netip.Prefix
	for _, r := range must(c.Routes(ctx, ""))(t) {
		listed = append(listed, r.Prefix)
	}
	want(t, "routes", listed, prefixes("0.0.0.0/0", "10.9.0.0/16", "10.9.1.0/24"))
	ref := intent.RouteRef{Tenant: "acme", Prefix: listed[1]}
	other := []netip.Addr{netip.MustParseAddr("10.0.0.77")}
	want(t, "changed route", must(c.SetRoute(ctx, ref, api.RouteChange{Via: &other}))(t).Object.(intent.Route).Via, other)
	want(t, "route", must(c.Route(ctx, ref))(t).Via, other)
	want(t, "routes to a port", must(c.Port(ctx, c1))(t).Routes, prefixes("0.0.0.0/0", "10.9.1.0/24"))
	want(t, "routes via a network", must(c.Network(ctx, web))(t).Routes, listed)
	want(t, "routes of a tenant", must(c.Tenant(ctx, "acme"))(t).Routes, 3)
	want(t, "deleted", must(c.DeleteRoute(ctx, ref, api.DeleteMode{}))(t).Deleted, []string{"route acme 10.9.0.0/16"})
	_, err := c.Route(ctx, ref)
	wantError(t, err, intent.NotFound, "10.9.0.0/16")
}

func TestCallsOfExternalsAndNAT(t *testing.T) {
	o := hosttest.New(t)
	c := dial(t, o.Serve())
	ctx := background(t)
	addC1(t, c)
	must(c.AddExternal(ctx, api.ExternalSpec{Name: "internet", Kind: intent.ExternalHost}))(t)
	must(c.AddExternal(ctx, api.ExternalSpec{Name: "campus", Kind: intent.ExternalBridge, Bridge: "br-ex", Subnet: prefixes("203.0.113.0/24")[0],
		Pool: intent.AddrRange{First: netip.MustParseAddr("203.0.113.10"), Last: netip.MustParseAddr("203.0.113.12")}}))(t)
	es := must(c.Externals(ctx))(t)
	want(t, "externals", []string{es[0].Name, es[1].Name}, []string{"campus", "internet"})

	must(c.SetExternal(ctx, "internet", api.ExternalChange{Allow: prefixes("192.0.2.7/32", "192.0.2.0/30")}))(t)
	e := must(c.SetExternal(ctx, "internet", api.ExternalChange{Allow: prefixes("192.0.2.8/32", "192.0.2.7/32"), NoAllow: prefixes("192.0.2.0/30")}))(t)
	want(t, "allowed", e.Object.(intent.External).Allow, prefixes("192.0.2.7/32", "192.0.2.8/32"))
	_, err := c.SetExternal(ctx, "internet", api.ExternalChange{NoAllow: prefixes("192.0.2.0/30")})
	wantError(t, err, intent.NotFound, "192.0.2.0/30")

	snat := must(c.AddSNAT(ctx, "acme", api.SNATSpec{External: "campus"}))(t).Object.(intent.SNAT)
	limit := uint32(7)
	want(t, "limit", must(c.SetSNAT(ctx, snat.Ref(), api.SNATChange{MaxConnections: &limit}))(t).Object.(intent.SNAT).MaxConnections, limit)
	o.TakeNATAddress(snat.Ref(), "host2")
	want(t, "address of a host", must(c.SNAT(ctx, snat.Ref()))(t).Hosts, []api.HostAddress{{Host: "host2", Address: netip.MustParseAddr("203.0.113.10")}})
	floating := must(c.AddFloating(ctx, c1, api.FloatingSpec{External: "campus"}))(t).Object.(intent.Floating)
	forward := must(c.AddForward(ctx, "acme", api.ForwardSpec{External: "campus", Protocol: intent.UDP, Port: 53, To: c1, ToPort: 5353}))(t).Object.(intent.Forward)
	must(c.Plug(ctx, api.PlugRequest{Ref: c1, Netns: "ns1"}))(t)
	want(t, "host of a floating address", must(c.Floating(ctx, floating.Ref()))(t).Host, "host1")
	f := must(c.Forward(ctx, forward.Ref()))(t)
	want(t, "target of a forward", []any{f.To, f.ToPort, f.Host}, []any{c1, uint16(5353), "host1"})

	used := must(c.External(ctx, "campus"))(t)
	var by [][]string
	for _, u := range used.Used {
		by = append(by, u.By)
	}
	want(t, "users", by, [][]string{{"snat acme through campus on host2"}, {"floating acme/web/c1 on campus"}, {"forward acme campus udp/53"}})
	want(t, "free", used.Free, 0)
	want(t, "free of another", must(c.External(ctx, "internet"))(t).Free, 1<<16-3)

	port := must(c.Port(ctx, c1))(t)
	want(t, "what leads to a port", []int{len(port.Floatings), len(port.Forwards)}, []int{1, 1})
	want(t, "the port in a list", must(c.Ports(ctx, "acme", "web"))(t)[0], port)
	tenant := must(c.Tenant(ctx, "acme"))(t)
	want(t, "NAT of a tenant", []int{len(tenant.SNATs), tenant.Floatings, tenant.Forwards}, []int{1, 1, 1})

	_, err = c.DeleteExternal(ctx, "campus", api.DeleteMode{})
	wantError(t, err, intent.InUse, "forward acme campus udp/53")
	want(t, "deleted", must(c.DeleteForward(ctx, forward.Ref(), api.DeleteMode{}))(t).Deleted, []string{"forward acme campus udp/53"})
	want(t, "deleted", must(c.DeleteFloating(ctx, floating.Ref(), api.DeleteMode{}))(t).Deleted, []string{"floating acme/web/c1 on campus"})
	want(t, "deleted", must(c.DeleteSNAT(ctx, snat.Ref(), api.DeleteMode{}))(t).Deleted, []string{"snat acme through campus"})
	must(c.DeleteExternal(ctx, "campus", api.DeleteMode{}))(t)
	nat := must(c.NAT(ctx, ""))(t)
	want(t, "NAT", nat, api.NAT{SNATs: []api.SNAT{}, Floatings: []intent.Floating{}, Forwards: []intent.Forward{}})
}

func TestNATIsInOrder(t *testing.T) {
	o := hosttest.New(t)
	c := dial(t, o.Serve())
	ctx := background(t)
	addC1(t, c)
	must(c.AddExternal(ctx, api.ExternalSpec{Name: "internet", Kind: intent.ExternalHost}))(t)
	for _, port := range []uint16{443, 80, 8080} {
		for _, proto := range []intent.Protocol{intent.UDP, intent.TCP} {
			must(c.AddForward(ctx, "acme", api.ForwardSpec{External: "internet", Protocol: proto, Port: port, To: c1, ToPort: 1}))(t)
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
