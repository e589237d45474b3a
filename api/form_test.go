package api

import (
	"net/http/httptest"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/ovloom/ovloom/intent"
)

// patched changes an object by the body of a request.
func patched[T intent.Object, R intent.Reference](t *testing.T, d *declared[T, R], o T, body string) (T, *form, error) {
	t.Helper()
	f := d.changes()
	c := &call{w: &response{ResponseWriter: httptest.NewRecorder()}, r: httptest.NewRequest("PATCH", "/", strings.NewReader(body))}
	err := c.change(f)
	f.change(&o)
	return o, f, err
}

func TestChange(t *testing.T) {
	old := exampleNetwork
	old.MTU, old.Learning, old.EtherTypes = 1400, true, []intent.EtherType{0x88b5}
	with := func(f func(*intent.Network)) intent.Network {
		n := old
		f(&n)
		return n
	}
	other := []intent.Subnet{{Prefix: netip.MustParsePrefix("10.7.0.0/24")}}
	for _, tc := range []struct {
		name, body string
		want       intent.Network
		given      []string
	}{
		{"nothing", `{}`, old, nil},
		{"one field", `{"mtu":1300}`, with(func(n *intent.Network) { n.MTU = 1300 }), []string{"mtu"}},
		{"zero values", `{"mtu":0,"learning":false}`, with(func(n *intent.Network) { n.MTU, n.Learning = 0, false }), []string{"mtu", "learning"}},
		{"null takes away", `{"mtu":null,"ethertypes":null}`, with(func(n *intent.Network) { n.MTU, n.EtherTypes = 0, nil }), []string{"mtu", "ethertypes"}},
		{"names in any case", `{"MTU":null,"Learning":false}`, with(func(n *intent.Network) { n.MTU, n.Learning = 0, false }), []string{"mtu", "learning"}},
		// Of the subnet that was there nothing stays, not its gateway either.
		{"a list replaces all", `{"subnets":[{"prefix":"10.7.0.0/24"}]}`, with(func(n *intent.Network) { n.Subnets = other }), []string{"subnets"}},
		{"an empty list", `{"subnets":[]}`, with(func(n *intent.Network) { n.Subnets = []intent.Subnet{} }), []string{"subnets"}},
	} {
		got, f, err := patched(t, &networkClass, old, tc.body)
		if err != nil || !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%s: %+v, %v; want %+v", tc.name, got, err, tc.want)
		}
		if given := f.given(); !slices.Equal(given, tc.given) {
			t.Errorf("%s: %q are given, want %q", tc.name, given, tc.given)
		}
	}
	if old.Subnets[0].Gateway != exampleNetwork.Subnets[0].Gateway {
		t.Error("the old object was written to")
	}
	for _, body := range []string{`{"vni":7}`, `{"id":7}`, `{"mtu":"1300"}`, `null x`, `[]`} {
		if _, _, err := patched(t, &networkClass, old, body); intent.KindOf(err) != intent.Invalid {
			t.Errorf("%s is taken: %v", body, err)
		}
	}
}

// What is allowed besides and no longer is no field of an external.
func TestMoreFieldsOfAChange(t *testing.T) {
	old := exampleInternet
	old.Allow = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/28")}
	got, f, err := patched(t, &externalClass, old, `{"allow":["192.0.2.32/28"],"no_allow":["192.0.2.0/28"],"vlan":7}`)
	if err != nil || got.VLAN != 7 || !slices.Equal(got.Allow, old.Allow) {
		t.Errorf("%+v, %v", got, err)
	}
	if err := externalClass.amend(&got, f.more(externalAllowed{})); err != nil || !slices.Equal(got.Allow, []netip.Prefix{netip.MustParsePrefix("192.0.2.32/28")}) {
		t.Errorf("allowed are %v, %v", got.Allow, err)
	}
	if _, f, _ := patched(t, &externalClass, old, `{"allow":[],"no_allow":null}`); len(f.given()) != 0 {
		t.Errorf("%q are given", f.given())
	}
}
