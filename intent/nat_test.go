package intent

import (
	"net/netip"
	"testing"
)

func TestSNATValidate(t *testing.T) {
	right := SNAT{Tenant: "acme", External: "internet"}
	for _, c := range []struct {
		name string
		edit func(*SNAT)
		want string
	}{
		{"nothing but names", func(*SNAT) {}, ""},
		{"everything", func(s *SNAT) { s.ID, s.Address, s.MaxConnections = IDMax, netip.MustParseAddr("100.64.0.9"), 1<<30 }, ""},
		{"no tenant", func(s *SNAT) { s.Tenant = "" }, "tenant name is empty"},
		{"a malformed external", func(s *SNAT) { s.External = "Internet" }, `external name "Internet" is malformed`},
		{"an id of 49 bits", func(s *SNAT) { s.ID = IDMax + 1 }, "more than 48 bits"},
		{"IPv6", func(s *SNAT) { s.Address = netip.MustParseAddr("fd00::1") }, "address fd00::1 is IPv6; NAT is for IPv4 only"},
		{"IPv4 written as IPv6", func(s *SNAT) { s.Address = netip.MustParseAddr("::ffff:100.64.0.9") }, "write 100.64.0.9"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := right
			c.edit(&s)
			check(t, s.Validate(), c.want)
		})
	}
}

func TestFloatingValidate(t *testing.T) {
	right := Floating{Tenant: "acme", Network: "web", Port: "c1", External: "campus"}
	for _, c := range []struct {
		name string
		edit func(*Floating)
		want string
	}{
		{"nothing but names", func(*Floating) {}, ""},
		{"everything", func(f *Floating) { f.ID, f.Address = IDMax, netip.MustParseAddr("203.0.113.10") }, ""},
		{"no port", func(f *Floating) { f.Port = "" }, "port name is empty"},
		{"no external", func(f *Floating) { f.External = "" }, "external name is empty"},
		{"IPv6", func(f *Floating) { f.Address = netip.MustParseAddr("fd00::1") }, "is IPv6"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := right
			c.edit(&f)
			check(t, f.Validate(), c.want)
		})
	}
	if got := right.Ref().String(); got != "acme/web/c1 on campus" {
		t.Errorf("it is called %q", got)
	}
}

func TestForwardValidate(t *testing.T) {
	right := Forward{Tenant: "acme", External: "internet", Protocol: TCP, Port: 8080, To: PortRef{"acme", "web", "c1"}, ToPort: 80}
	for _, c := range []struct {
		name string
		edit func(*Forward)
		want string
	}{
		{"an address to be chosen", func(*Forward) {}, ""},
		{"everything", func(f *Forward) { f.ID, f.Address, f.Protocol = IDMax, netip.MustParseAddr("203.0.113.10"), SCTP }, ""},
		{"a protocol without ports", func(f *Forward) { f.Protocol = "icmp" }, `protocol "icmp" cannot be forwarded; choose tcp, udp or sctp`},
		{"no port outside", func(f *Forward) { f.Port = 0 }, "tcp port 0 cannot be forwarded; choose between 1 and 65535"},
		{"no port inside", func(f *Forward) { f.ToPort = 0 }, "tcp port 0 cannot be forwarded"},
		{"another tenant's port", func(f *Forward) { f.To.Tenant = "globex" }, "port globex/web/c1 is not of tenant acme; a tenant forwards to its own ports only"},
		{"to nothing", func(f *Forward) { f.To = PortRef{} }, "tenant name is empty"},
		{"IPv6", func(f *Forward) { f.Address = netip.MustParseAddr("fd00::1") }, "is IPv6"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := right
			c.edit(&f)
			check(t, f.Validate(), c.want)
		})
	}
	if got := right.Ref().String(); got != "acme internet tcp/8080" {
		t.Errorf("it is called %q", got)
	}
}

// IANA: protocol numbers.
func TestProtocolNumbers(t *testing.T) {
	for p, want := range map[Protocol]uint8{TCP: 6, UDP: 17, SCTP: 132, "icmp": 0, "": 0} {
		if got := p.Number(); got != want || (p.Validate() == nil) != (want != 0) {
			t.Errorf("%q has number %d, want %d; %v", p, got, want, p.Validate())
		}
	}
}

func TestParseTarget(t *testing.T) {
	if ref, port, err := ParseTarget("acme/web/c1:80"); err != nil || ref != (PortRef{"acme", "web", "c1"}) || port != 80 {
		t.Errorf("read as %s, %d, %v", ref, port, err)
	}
	for text, says := range map[string]string{
		"acme/web/c1":       `target "acme/web/c1" has no port number; write TENANT/NETWORK/PORT:NUMBER`,
		"acme/web/c1:":      `port number "" of target acme/web/c1: is malformed; choose between 1 and 65535`,
		"acme/web/c1:0":     "is malformed",
		"acme/web/c1:65536": "is malformed",
		"acme/web/c1:-1":    "is malformed",
		"acme/web:80":       "is no name of a port",
		"10.0.0.5:80":       "is no name of",
	} {
		_, _, err := ParseTarget(text)
		check(t, err, says)
	}
}

func FuzzTarget(f *testing.F) {
	for _, s := range []string{"acme/web/c1:80", "acme/web/c1", ":", "acme/web/c1:+80", "acme/web/c1:080"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if ref, port, err := ParseTarget(s); err == nil && (port == 0 || ref.Validate() != nil) {
			t.Errorf("%q is read as %s, %d", s, ref, port)
		}
	})
}
