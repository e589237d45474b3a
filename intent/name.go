package intent

import "strings"

// NameMax is the longest name of one object, in bytes.
const NameMax = 63

// wellFormed reports whether a non-empty name has lower-case letters, digits and inner
// hyphens only. Hosts check this for every object that they read.
func wellFormed(name string) bool {
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return name[0] != '-' && name[len(name)-1] != '-'
}

// ValidateName checks one name (one part of a path such as acme/web/c1).
func ValidateName(what, name string) error {
	switch {
	case name == "":
		return Invalidf("%s name is empty", what).WithHint("use lower-case letters, digits and inner hyphens")
	case len(name) > NameMax:
		return Invalidf("%s name %q has %d bytes", what, name, len(name)).WithHint("at most %d", NameMax)
	case !wellFormed(name):
		return Invalidf("%s name %q is malformed", what, name).WithHint("use lower-case letters, digits and inner hyphens")
	}
	return nil
}

// NetworkRef names a network: acme/web.
type NetworkRef struct {
	Tenant, Network string
}

// String returns the reference as users write it.
func (r NetworkRef) String() string { return r.Tenant + "/" + r.Network }

// PortRef names a port: acme/web/c1.
type PortRef struct {
	Tenant, Network, Port string
}

// String returns the reference as users write it.
func (r PortRef) String() string { return r.Tenant + "/" + r.Network + "/" + r.Port }

// NetworkRef returns the reference of the network that the port is part of.
func (r PortRef) NetworkRef() NetworkRef { return NetworkRef{r.Tenant, r.Network} }

// ParseTenant checks the name of a tenant given by a user.
func ParseTenant(s string) (string, error) {
	if strings.Contains(s, "/") {
		return "", Invalidf("tenant %q has a slash", s).WithHint("name a tenant as TENANT, such as acme")
	}
	return s, ValidateName("tenant", s)
}

// ParseNetworkRef parses TENANT/NETWORK.
func ParseNetworkRef(s string) (NetworkRef, error) {
	p := strings.Split(s, "/")
	if len(p) != 2 {
		return NetworkRef{}, Invalidf("%q is no name of a network", s).WithHint("name a network as TENANT/NETWORK, such as acme/web")
	}
	r := NetworkRef{p[0], p[1]}
	return r, r.Validate()
}

// Validate checks the names in the reference.
func (r NetworkRef) Validate() error {
	if err := ValidateName("tenant", r.Tenant); err != nil {
		return err
	}
	return ValidateName("network", r.Network)
}

// ParsePortRef parses TENANT/NETWORK/PORT.
func ParsePortRef(s string) (PortRef, error) {
	p := strings.Split(s, "/")
	if len(p) != 3 {
		return PortRef{}, Invalidf("%q is no name of a port", s).WithHint("name a port as TENANT/NETWORK/PORT, such as acme/web/c1")
	}
	r := PortRef{p[0], p[1], p[2]}
	return r, r.Validate()
}

// MarshalText implements encoding.TextMarshaler; an absent reference is "".
func (r PortRef) MarshalText() ([]byte, error) {
	if r == (PortRef{}) {
		return nil, nil
	}
	return []byte(r.String()), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *PortRef) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*r = PortRef{}
		return nil
	}
	v, err := ParsePortRef(string(b))
	if err == nil {
		*r = v
	}
	return err
}

// Validate checks the names in the reference.
func (r PortRef) Validate() error {
	if err := r.NetworkRef().Validate(); err != nil {
		return err
	}
	return ValidateName("port", r.Port)
}

// ValidateObject checks a name that may be a tenant's, a network's or a port's: acme,
// acme/web or acme/web/c1.
func ValidateObject(s string) error {
	var err error
	switch strings.Count(s, "/") {
	case 0:
		_, err = ParseTenant(s)
	case 1:
		_, err = ParseNetworkRef(s)
	case 2:
		_, err = ParsePortRef(s)
	default:
		return Invalidf("%q is no name of an object", s).WithHint("name a TENANT, TENANT/NETWORK or TENANT/NETWORK/PORT")
	}
	return err
}
