package world

import (
	"net/netip"
	"reflect"
	"testing"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/pipeline"
)

// Every field of a view counts when two views are compared: a forgotten field would leave old
// flows in the switch silently. The exceptions are listed here.
func TestEveryFieldOfAViewIsCompared(t *testing.T) {
	w := newWorld(self)
	compared(t, w.networks.same, pipeline.NetworkView{})
	compared(t, w.ports.same, pipeline.PortView{Network: &intent.Network{}},
		"Port.Tenant", "Port.Network", // with the name, these are the key of the comparison
		"Port.UUID") // no flow contains it
	compared(t, w.peers.same, pipeline.PeerView{})
	compared(t, w.routes.same, pipeline.RouteView{})
	compared(t, w.senders.same, pipeline.SendersView{})
	compared(t, w.externals.same, pipeline.ExternalView{})
	compared(t, w.addresses.same, pipeline.AddressView{})
	compared(t, w.tenantNAT.same, pipeline.TenantView{})
	compared(t, w.snats.same, pipeline.SNATView{})
	compared(t, w.floatings.same, pipeline.FloatingView{})
	compared(t, w.forwards.same, pipeline.ForwardView{})
	compared(t, w.guards.same, pipeline.GuardView{})
}

// compared changes each field of a view on its own.
func compared[V any](t *testing.T, same func(a, b *V) bool, view V, ignored ...string) {
	t.Helper()
	a, b := view, view
	if !same(&a, &b) {
		t.Errorf("%T: two views that are equal differ", view)
	}
	left := map[string]bool{}
	for _, name := range ignored {
		left[name] = true
	}
	seen := map[string]bool{}
	for _, path := range leaves(reflect.TypeOf(view), "", nil) {
		seen[path.name] = true
		b := view
		alter(reflect.ValueOf(&b).Elem(), path.index)
		if got := same(&a, &b); got != left[path.name] {
			t.Errorf("%T: a change of %s: same is %t", view, path.name, got)
		}
	}
	for name := range left {
		if !seen[name] {
			t.Errorf("%T has no field %s", view, name)
		}
	}
}

type viewField struct {
	name  string
	index []int // of the fields on the way to it
}

// leaves returns the fields of a struct, including those of nested structs.
func leaves(t reflect.Type, prefix string, index []int) []viewField {
	var list []viewField
	for i := range t.NumField() {
		f := t.Field(i)
		at := append(append([]int(nil), index...), i)
		inner := f.Type
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		if inner.Kind() == reflect.Struct && inner != reflect.TypeFor[netip.Addr]() && inner != reflect.TypeFor[netip.Prefix]() {
			list = append(list, leaves(inner, prefix+f.Name+".", at)...)
			continue
		}
		list = append(list, viewField{prefix + f.Name, at})
	}
	return list
}

// alter changes the field at index, after copying what the pointers on the way point to.
func alter(v reflect.Value, index []int) {
	for _, i := range index {
		v = v.Field(i)
		if v.Kind() == reflect.Pointer {
			inner := reflect.New(v.Type().Elem())
			if !v.IsNil() {
				inner.Elem().Set(v.Elem())
			}
			v.Set(inner)
			v = inner.Elem()
		}
	}
	switch v.Interface().(type) {
	case netip.Addr:
		v.Set(reflect.ValueOf(netip.AddrFrom4([4]byte{192, 0, 2, 77})))
		return
	case netip.Prefix:
		v.Set(reflect.ValueOf(netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, 0}), 24)))
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.String:
		v.SetString(v.String() + "x")
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(v.Int() + 1)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(v.Uint() + 1)
	case reflect.Slice:
		v.Set(reflect.Append(v, reflect.Zero(v.Type().Elem())))
	case reflect.Array:
		alter(v.Index(0).Addr().Elem(), nil)
	case reflect.Map:
		m := reflect.MakeMap(v.Type())
		m.SetMapIndex(reflect.Zero(v.Type().Key()), reflect.Zero(v.Type().Elem()))
		v.Set(m)
	default:
		panic("a view has a field of kind " + v.Kind().String())
	}
}
