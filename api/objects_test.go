package api_test

import (
	"encoding/json"
	"net/netip"
	"testing"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/api/hosttest"
	"github.com/ovloom/ovloom/intent"
)

// The client's calls about objects, for every class that a user writes.
func TestObjects(t *testing.T) {
	o := hosttest.New(t)
	c := dial(t, o.Serve())
	ctx := background(t)
	acme := intent.TenantRef{Tenant: "acme"}
	web := intent.NetworkRef{Tenant: "acme", Network: "web"}
	c1 := intent.PortRef{Tenant: "acme", Network: "web", Port: "c1"}
	for _, o := range []intent.Object{
		intent.Tenant{Name: "acme"},
		intent.Network{Tenant: "acme", Name: "web", Subnets: []intent.Subnet{{Prefix: netip.MustParsePrefix("10.0.0.0/24")}}},
		intent.Port{Tenant: "acme", Network: "web", Name: "c1"},
		intent.Peer{Tenant: "acme", Network: "web", Name: "tor1", VTEP: netip.MustParseAddr("192.0.2.40")},
		intent.Route{Tenant: "acme", Prefix: netip.MustParsePrefix("10.9.0.0/16"), Via: []netip.Addr{netip.MustParseAddr("10.0.0.7")}},
		intent.External{Name: "internet", Kind: intent.ExternalHost},
		intent.SNAT{Tenant: "acme", External: "internet"},
		intent.Forward{Tenant: "acme", External: "internet", Protocol: intent.TCP, Port: 8080, To: c1, ToPort: 80},
	} {
		w := must(c.Add(ctx, o))(t)
		if w.Revision == 0 || w.Object == nil || w.Object.Reference() != o.Reference() {
			t.Errorf("adding %s is answered with %+v", intent.Title(o.Reference()), w)
		}
	}
	want(t, "tenant", must(api.Get[api.Tenant](ctx, c, acme))(t).Networks, []string{"web"})
	want(t, "peer", must(api.Get[intent.Peer](ctx, c, intent.PeerRef{Tenant: "acme", Network: "web", Peer: "tor1"}))(t).VTEP, netip.MustParseAddr("192.0.2.40"))
	for _, within := range []intent.Reference{nil, acme, web} {
		want(t, "ports", len(must(api.List[api.Port](ctx, c, intent.ClassPort, within))(t)), 1)
	}
	want(t, "forwards", must(api.List[intent.Forward](ctx, c, intent.ClassForward, acme))(t)[0].ToPort, uint16(80))
	want(t, "tenants", len(must(api.List[intent.Tenant](ctx, c, intent.ClassTenant, nil))(t)), 1)
	w := must(c.Set(ctx, web, map[string]any{"mtu": 1400, "learning": true}))(t)
	n := w.Object.(intent.Network)
	want(t, "MTU", n.MTU, 1400)
	want(t, "learning", n.Learning, true)
	w = must(c.Delete(ctx, acme, api.DeleteMode{Cascade: true}))(t)
	want(t, "deleted", w.Deleted[len(w.Deleted)-1], "tenant acme")
	_, err := c.Add(ctx, intent.Binding{})
	wantError(t, err, "internal", "no objects of class binding")
}

func TestWrittenInJSON(t *testing.T) {
	for _, tc := range []struct {
		w    api.Written
		json string
	}{
		{api.Written{Revision: 7, Object: intent.Tenant{Name: "acme", ID: 1, VRF: 2}, LeftToDo: []string{"a & b"}},
			`{"revision":7,"tenant":{"name":"acme","id":1,"vrf":2},"left_to_do":["a \u0026 b"]}`},
		{api.Written{Deleted: []string{"tenant acme"}}, `{"revision":0,"deleted":["tenant acme"]}`},
		{api.Written{}, `{"revision":0}`},
	} {
		b, err := json.Marshal(tc.w)
		if err != nil || string(b) != tc.json {
			t.Errorf("%+v is %s, %v", tc.w, b, err)
		}
		var w api.Written
		if err := json.Unmarshal(b, &w); err != nil {
			t.Error(err)
		}
		want(t, tc.json, w, tc.w)
	}
}
