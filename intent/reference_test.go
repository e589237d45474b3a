package intent

import (
	"reflect"
	"testing"
)

// Each object that has an id tells it, and each that is a tenant's says whose.
func TestObjectsSayWhatTheyHave(t *testing.T) {
	for _, o := range []Object{Tenant{}, Network{}, Port{}, Binding{}, Peer{}, Route{}, External{}, SNAT{}, Floating{}, Forward{}, NATAddress{}, Host{}, Guarded{}} {
		v := reflect.New(reflect.TypeOf(o)).Elem()
		if f := v.FieldByName("ID"); f.IsValid() {
			f.SetUint(7)
		}
		if f := v.FieldByName("Tenant"); f.IsValid() {
			f.SetString("acme")
		}
		o = v.Interface().(Object)
		if id, has := IDOf(o); has != v.FieldByName("ID").IsValid() || has && id != 7 {
			t.Errorf("%T: id %d, %v", o, id, has)
		}
		tenant, is := TenantOf(o.Reference())
		if _, itself := o.(Tenant); itself {
			continue
		}
		if is != v.FieldByName("Tenant").IsValid() || is && tenant != "acme" {
			t.Errorf("%T: tenant %q, %v", o, tenant, is)
		}
	}
	if tenant, is := TenantOf(TenantRef{"acme"}); tenant != "acme" || !is {
		t.Errorf("a tenant is of %q, %v", tenant, is)
	}
}
