package intent

import (
	"net/netip"
	"testing"
)

func addrs(as ...string) []netip.Addr {
	var out []netip.Addr
	for _, a := range as {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

func TestRouteValidate(t *testing.T) {
	for _, c := range []struct {
		name, prefix string
		via          []netip.Addr
		want         string
	}{
		{"one next hop", "10.9.0.0/16", addrs("10.0.1.7"), ""},
		{"several next hops", "fd00:9::/48", addrs("fd00:1::7", "fd00:1::8"), ""},
		{"everything", "0.0.0.0/0", addrs("10.0.1.7"), ""},
		{"all of IPv6", "::/0", addrs("fd00:1::7"), ""},
		{"one address", "10.9.0.1/32", addrs("10.0.1.7"), ""},
		{"more than link-local", "169.0.0.0/8", addrs("10.0.1.7"), ""},
		{"no next hop", "10.9.0.0/16", nil, "route 10.9.0.0/16 of tenant acme has no next hop; name one, such as --via 10.0.1.7"},
		{"a next hop twice", "10.9.0.0/16", addrs("10.0.1.7", "10.0.1.7"), "next hop 10.0.1.7 is named twice"},
		{"IPv4 via IPv6", "10.9.0.0/16", addrs("fd00:1::7"), "next hop fd00:1::7 is not of the family of 10.9.0.0/16; route IPv4 via IPv4"},
		{"a next hop with a zone", "fd00:9::/48", addrs("fe80::1%eth0"), "has a zone"},
		{"bits behind the prefix", "10.9.0.1/16", addrs("10.0.1.7"), "destination 10.9.0.1/16 has bits set behind its prefix; write 10.9.0.0/16"},
		{"IPv4 written as IPv6", "::ffff:10.9.0.0/112", addrs("fd00:1::7"), "is an IPv4 prefix written as IPv6"},
		{"multicast", "239.0.0.0/8", addrs("10.0.1.7"), "destination 239.0.0.0/8 is multicast address space (224.0.0.0/4); it is never routed"},
		{"link-local", "fe80::/64", addrs("fd00:1::7"), "is link-local address space"},
		{"too many next hops", "10.9.0.0/16", many(RouteHopsMax + 1), "has 17 next hops; at most 16"},
		{"as many as can be", "10.9.0.0/16", many(RouteHopsMax), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			check(t, Route{Tenant: "acme", Prefix: netip.MustParsePrefix(c.prefix), ID: 7, Via: c.via}.Validate(), c.want)
		})
	}
	check(t, Route{Tenant: "acme", Via: addrs("10.0.1.7")}.Validate(), "the destination is empty")
	check(t, Route{Tenant: "Acme", Prefix: netip.MustParsePrefix("::/0"), Via: addrs("fd00::7")}.Validate(), `tenant name "Acme" is malformed`)
	check(t, Route{Tenant: "acme", Prefix: netip.MustParsePrefix("::/0"), ID: IDMax + 1, Via: addrs("fd00::7")}.Validate(), "more than 48 bits")
	if got := (Route{Tenant: "acme", Prefix: netip.MustParsePrefix("10.9.0.0/16")}).Ref().String(); got != "acme 10.9.0.0/16" {
		t.Errorf("it is called %q", got)
	}
}

func many(n int) []netip.Addr {
	var out []netip.Addr
	for i := range n {
		out = append(out, netip.AddrFrom4([4]byte{10, 0, 1, byte(i + 2)}))
	}
	return out
}

func TestParseDestination(t *testing.T) {
	for text, want := range map[string]string{
		"10.9.0.0/16": "10.9.0.0/16", "10.9.0.1": "10.9.0.1/32", "fd00::1": "fd00::1/128", "0.0.0.0/0": "0.0.0.0/0", "::/0": "::/0",
	} {
		if got, err := ParseDestination(text); err != nil || got.String() != want {
			t.Errorf("%s is read as %s, %v", text, got, err)
		}
	}
	for text, says := range map[string]string{
		"":             `destination "" is malformed; write a prefix such as 10.9.0.0/16`,
		"default":      `destination "default" is malformed`,
		"10.9.0.0/33":  "is malformed",
		"10.9.1.0/16":  "write 10.9.0.0/16",
		"fe80::1%eth0": "has a zone",
		"127.0.0.1/32": "is loopback address space",
		"127.0.0.1":    "is loopback address space",
	} {
		_, err := ParseDestination(text)
		check(t, err, says)
	}
}

// Each host has a MAC of its own for what it has routed, and none is a port's.
func TestRouterMAC(t *testing.T) {
	if got := RouterMAC(0x01020304).String(); got != "0e:0e:01:02:03:04" {
		t.Errorf("host 0x01020304 has %s", got)
	}
	seen := map[MAC]ID{GatewayMAC: 0}
	for id := ID(1); id < 10000; id += 7 {
		m := RouterMAC(id)
		if other, taken := seen[m]; taken {
			t.Fatalf("hosts %d and %d have %s", id, other, m)
		}
		seen[m] = id
		check(t, m.Validate(), "is a router's own")
		if d := DerivedMAC(id); d.Validate() != nil || d == m {
			t.Errorf("port %d has %s: %v", id, d, d.Validate())
		}
	}
}

// What parses is a destination, and is written as it was read.
func FuzzDestination(f *testing.F) {
	for _, s := range []string{"10.9.0.0/16", "10.9.0.1", "::", "::/0", "fe80::1%eth0", "::ffff:10.0.0.0/120"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParseDestination(s)
		if err != nil {
			return
		}
		if again, err := ParseDestination(p.String()); err != nil || again != p || p != p.Masked() {
			t.Errorf("%q is read as %v, and that as %v, %v", s, p, again, err)
		}
	})
}
