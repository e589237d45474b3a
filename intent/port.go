package intent

import "slices"

// Limits of a port.
const (
	AddrsMax = 32   // addresses of one port
	LearnMax = 1024 // MACs that may be learned behind one port
)

// Validate checks p in network n, which it must be part of. A port that was added
// without addresses, MAC or UUID is valid: they are still to be chosen.
func (p Port) Validate(n Network) error {
	if err := p.Ref().Validate(); err != nil {
		return err
	}
	if p.Ref().NetworkRef() != n.Ref() {
		return Invalidf("port %s is not of network %s", p.Ref(), n.Ref())
	}
	if err := validateID(p.ID); err != nil {
		return err
	}
	if p.UUID != "" && !IsUUID(p.UUID) {
		return Invalidf("UUID %q is malformed", p.UUID).WithHint("write it in lower case, such as 6ba7b810-9dad-41d1-80b4-00c04fd430c8")
	}
	if !p.MAC.IsZero() {
		if err := p.MAC.Validate(); err != nil {
			return err
		}
	}
	if err := p.validateAddrs(n); err != nil {
		return err
	}
	switch {
	case p.Learn < 0 || p.Learn > LearnMax:
		return Invalidf("learning limit %d is out of range", p.Learn).WithHint("choose between 0 and %d", LearnMax)
	case p.Learn > 0 && !n.Learning:
		return Invalidf("port %s has a learning limit, but network %s does not learn", p.Ref(), n.Ref()).WithHint("leave the limit out, or set --learning on the network first")
	}
	return nil
}

func (p Port) validateAddrs(n Network) error {
	if len(p.Addrs) > AddrsMax {
		return Invalidf("port %s has %d addresses", p.Ref(), len(p.Addrs)).WithHint("at most %d", AddrsMax)
	}
	for i, a := range p.Addrs {
		if err := validateAddr(a); err != nil {
			return err
		}
		if slices.Contains(p.Addrs[:i], a) {
			return Invalidf("address %s is given twice", a).WithHint("give it once")
		}
		if err := n.assignable(a); err != nil {
			return err
		}
	}
	return nil
}

// IsUUID reports whether s is a UUID in the only form accepted here: lower case, with
// hyphens (RFC 9562).
func IsUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i, c := range []byte(s) {
		switch {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case (c < '0' || c > '9') && (c < 'a' || c > 'f'):
			return false
		}
	}
	return true
}
