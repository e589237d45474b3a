package intent

import (
	"encoding/json"
	"net/netip"
	"testing"
)

// Whatever parses is written as it was read, and is valid.
func FuzzRefs(f *testing.F) {
	for _, s := range []string{"acme", "acme/web", "acme/web/c1", "", "/", "a//b", "A/b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if n, err := ParseTenant(s); err == nil && (n != s || ValidateName("tenant", n) != nil) {
			t.Errorf("tenant %q is read as %q", s, n)
		}
		if r, err := ParseNetworkRef(s); err == nil && (r.String() != s || r.Validate() != nil) {
			t.Errorf("network %q is read as %q", s, r)
		}
		if r, err := ParsePortRef(s); err == nil && (r.String() != s || r.Validate() != nil) {
			t.Errorf("port %q is read as %q", s, r)
		}
	})
}

func FuzzMAC(f *testing.F) {
	for _, s := range []string{"02:00:00:00:00:05", "02-00-00-00-00-05", "0200.0000.0005", "", "01:00:00:00:00:00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m, err := ParseMAC(s)
		if err != nil {
			return
		}
		if err := m.Validate(); err != nil {
			t.Errorf("%q: %v", s, err)
		}
		b, err := json.Marshal(m)
		var back MAC
		if err != nil || json.Unmarshal(b, &back) != nil || back != m {
			t.Errorf("%q is written as %s and read as %s", s, b, back)
		}
	})
}

func FuzzPrefix(f *testing.F) {
	for _, s := range []string{"10.0.0.0/24", "fd00::/64", "10.0.0.1/24", "0.0.0.0/0", "::/0", "10.0.0.0/30", "::ffff:10.0.0.0/120"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePrefix(s)
		if err != nil {
			return
		}
		sub := Subnet{Prefix: p, Gateway: DefaultGateway(p)}
		if err := sub.Validate(); err != nil {
			t.Errorf("%q: %v", s, err)
		}
		if a := sub.Next(p.Addr()); sub.Assignable(a) != nil || !p.Contains(sub.First()) || !p.Contains(sub.Last()) {
			t.Errorf("%q: first %v, last %v, next %v", s, sub.First(), sub.Last(), a)
		}
	})
}

func FuzzAddr(f *testing.F) {
	for _, s := range []string{"10.0.0.5", "fd00::5", "fe80::1%eth0", "::ffff:10.0.0.5", "10.0.0.5/24"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseAddr(s)
		if err == nil && (a != a.Unmap() || a.Zone() != "") {
			t.Errorf("%q is read as %v", s, a)
		}
		if v, err := ParseVTEP(s); err == nil && (!v.Is4() || v == netip.IPv4Unspecified()) {
			t.Errorf("VTEP %q is read as %v", s, v)
		}
	})
}
