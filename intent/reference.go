package intent

// Class is the class of an object in the store, as users call it: "port".
type Class string

// The classes of objects.
const (
	ClassTenant     Class = "tenant"
	ClassNetwork    Class = "network"
	ClassPort       Class = "port"
	ClassBinding    Class = "binding"
	ClassPeer       Class = "peer"
	ClassRoute      Class = "route"
	ClassExternal   Class = "external"
	ClassSNAT       Class = "snat"
	ClassFloating   Class = "floating"
	ClassForward    Class = "forward"
	ClassNATAddress Class = "nat-address"
	ClassHost       Class = "host"
	ClassGuarded    Class = "guarded"
)

// Object is an object of the store.
type Object interface {
	// Reference returns the object's unique name.
	Reference() Reference
	// stored does the checks of Stored.
	stored() error
}

// As returns an object as a T, for functions that return objects of any class.
func As[T Object](o Object, err error) (T, error) {
	v, _ := o.(T)
	return v, err
}

// AllAs is As for a list.
func AllAs[T Object](list []Object, err error) ([]T, error) {
	var all []T
	for _, o := range list {
		all = append(all, o.(T))
	}
	return all, err
}

// Reference names an object of the store. References can be compared.
type Reference interface {
	Class() Class
	String() string // its name among objects of its class: "acme/web/c1"
	Validate() error
}

// Title is an object's class and name, for users: "port acme/web/c1".
func Title(r Reference) string {
	if t, ok := r.(interface{ title() string }); ok {
		return t.title()
	}
	return string(r.Class()) + " " + r.String()
}

// Titles returns the Title of each.
func Titles(refs []Reference) []string {
	var out []string
	for _, r := range refs {
		out = append(out, Title(r))
	}
	return out
}

// TenantRef names a tenant: acme.
type TenantRef struct{ Tenant string }

// ExternalRef names an external: internet.
type ExternalRef struct{ External string }

// HostRef names a host: host1.
type HostRef struct{ Host string }

// BindingRef names the claim of a host on a port.
type BindingRef struct {
	PortRef
	Host string
}

// NATAddressRef names the address that a host has claimed for a tenant's SNAT.
type NATAddressRef struct{ Tenant, External, Host string }

// GuardedRef names what is closed to tenants: a peer's VTEP, or a host's addresses.
type GuardedRef struct{ VTEP, Host string }

// String returns the tenant's name.
func (r TenantRef) String() string { return r.Tenant }

// String returns the external's name.
func (r ExternalRef) String() string { return r.External }

// String returns the host's name.
func (r HostRef) String() string { return r.Host }

// String returns the reference for people: acme/web/c1 on host1.
func (r BindingRef) String() string { return r.PortRef.String() + " on " + r.Host }

// String returns the reference for people.
func (r NATAddressRef) String() string {
	return "of tenant " + r.Tenant + " on external " + r.External + " at " + r.Host
}

func (r NATAddressRef) title() string { return "NAT address " + r.String() }

// String returns the reference for people.
func (r GuardedRef) String() string {
	if r.Host != "" {
		return "addresses of host " + r.Host
	}
	return "VTEP " + r.VTEP + " of a peer"
}

func (r GuardedRef) title() string { return r.String() }

// Validate checks the name.
func (r TenantRef) Validate() error {
	_, err := ParseTenant(r.Tenant)
	return err
}

// Validate checks the name.
func (r ExternalRef) Validate() error { return ValidateName("external", r.External) }

// Validate checks the name.
func (r HostRef) Validate() error { return ValidateName("host", r.Host) }

// Validate checks the names in the reference.
func (r BindingRef) Validate() error {
	return firstError(r.PortRef.Validate(), ValidateName("host", r.Host))
}

// Validate checks the names in the reference.
func (r NATAddressRef) Validate() error {
	return firstError(validateNAT(r.Tenant, r.External, 0), ValidateName("host", r.Host))
}

// Validate accepts everything: only hosts make one.
func (r GuardedRef) Validate() error { return nil }

// Validate checks the names in the reference.
func (r FloatingRef) Validate() error {
	return firstError(r.PortRef.Validate(), validateNAT(r.Tenant, r.External, 0))
}

// Validate checks the names, the protocol and the port.
func (r ForwardRef) Validate() error {
	if err := firstError(validateNAT(r.Tenant, r.External, 0), r.Protocol.Validate()); err != nil {
		return err
	}
	if r.Port == 0 {
		return Invalidf("%s port 0 cannot be forwarded", r.Protocol).WithHint("choose between 1 and 65535")
	}
	return nil
}

// Class implements Reference.
func (TenantRef) Class() Class { return ClassTenant }

// Class implements Reference.
func (NetworkRef) Class() Class { return ClassNetwork }

// Class implements Reference.
func (PortRef) Class() Class { return ClassPort }

// Class implements Reference.
func (BindingRef) Class() Class { return ClassBinding }

// Class implements Reference.
func (PeerRef) Class() Class { return ClassPeer }

// Class implements Reference.
func (RouteRef) Class() Class { return ClassRoute }

// Class implements Reference.
func (ExternalRef) Class() Class { return ClassExternal }

// Class implements Reference.
func (SNATRef) Class() Class { return ClassSNAT }

// Class implements Reference.
func (FloatingRef) Class() Class { return ClassFloating }

// Class implements Reference.
func (ForwardRef) Class() Class { return ClassForward }

// Class implements Reference.
func (NATAddressRef) Class() Class { return ClassNATAddress }

// Class implements Reference.
func (HostRef) Class() Class { return ClassHost }

// Class implements Reference.
func (GuardedRef) Class() Class { return ClassGuarded }

// Ref returns the tenant's reference.
func (t Tenant) Ref() TenantRef { return TenantRef{t.Name} }

// Ref returns the external's reference.
func (e External) Ref() ExternalRef { return ExternalRef{e.Name} }

// Ref returns the host's reference.
func (h Host) Ref() HostRef { return HostRef{h.Name} }

// Ref returns the claim's reference.
func (b Binding) Ref() BindingRef { return BindingRef{b.PortRef(), b.Host} }

// Ref returns the address's reference.
func (a NATAddress) Ref() NATAddressRef { return NATAddressRef{a.Tenant, a.External, a.Host} }

// Ref returns its reference.
func (g Guarded) Ref() GuardedRef {
	r := GuardedRef{Host: g.Host}
	if g.VTEP.IsValid() {
		r.VTEP = g.VTEP.String()
	}
	return r
}

// Reference implements Object.
func (t Tenant) Reference() Reference { return t.Ref() }

// Reference implements Object.
func (n Network) Reference() Reference { return n.Ref() }

// Reference implements Object.
func (p Port) Reference() Reference { return p.Ref() }

// Reference implements Object.
func (b Binding) Reference() Reference { return b.Ref() }

// Reference implements Object.
func (p Peer) Reference() Reference { return p.Ref() }

// Reference implements Object.
func (r Route) Reference() Reference { return r.Ref() }

// Reference implements Object.
func (e External) Reference() Reference { return e.Ref() }

// Reference implements Object.
func (s SNAT) Reference() Reference { return s.Ref() }

// Reference implements Object.
func (f Floating) Reference() Reference { return f.Ref() }

// Reference implements Object.
func (f Forward) Reference() Reference { return f.Ref() }

// Reference implements Object.
func (a NATAddress) Reference() Reference { return a.Ref() }

// Reference implements Object.
func (h Host) Reference() Reference { return h.Ref() }

// Reference implements Object.
func (g Guarded) Reference() Reference { return g.Ref() }

// IDOf returns the id of an object; false: objects of its class have none.
func IDOf(o Object) (ID, bool) {
	if v, ok := o.(interface{ id() ID }); ok {
		return v.id(), true
	}
	return 0, false
}

func (t Tenant) id() ID   { return t.ID }
func (n Network) id() ID  { return n.ID }
func (p Port) id() ID     { return p.ID }
func (p Peer) id() ID     { return p.ID }
func (r Route) id() ID    { return r.ID }
func (e External) id() ID { return e.ID }
func (s SNAT) id() ID     { return s.ID }
func (f Floating) id() ID { return f.ID }
func (f Forward) id() ID  { return f.ID }
func (h Host) id() ID     { return h.ID }

// Within returns the object that contains another, and that must exist for it to be
// found; nil: none.
func Within(r Reference) Reference {
	if v, ok := r.(interface{ within() Reference }); ok {
		return v.within()
	}
	return nil
}

// TenantOf returns the tenant that an object is part of, or is; false: none.
func TenantOf(r Reference) (string, bool) {
	for ; r != nil; r = Within(r) {
		if t, ok := r.(TenantRef); ok {
			return t.Tenant, true
		}
	}
	return "", false
}

func (r NetworkRef) within() Reference    { return TenantRef{r.Tenant} }
func (r PortRef) within() Reference       { return r.NetworkRef() }
func (r BindingRef) within() Reference    { return r.PortRef }
func (r PeerRef) within() Reference       { return r.NetworkRef() }
func (r RouteRef) within() Reference      { return TenantRef{r.Tenant} }
func (r SNATRef) within() Reference       { return TenantRef{r.Tenant} }
func (r FloatingRef) within() Reference   { return TenantRef{r.Tenant} } // stored with the tenant's NAT, not with the port
func (r ForwardRef) within() Reference    { return TenantRef{r.Tenant} }
func (r NATAddressRef) within() Reference { return TenantRef{r.Tenant} }
