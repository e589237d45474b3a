package intent

import (
	"net/netip"
	"strings"
	"testing"
)

func TestPeerValidate(t *testing.T) {
	right := Peer{Tenant: "acme", Network: "web", Name: "tor1", ID: 7, VTEP: netip.MustParseAddr("192.0.2.40")}
	if err := right.Validate(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		edit func(*Peer)
		says string
	}{
		{"no name", func(p *Peer) { p.Name = "" }, "peer name is empty"},
		{"a network's name with capitals", func(p *Peer) { p.Network = "Web" }, `network name "Web" is malformed`},
		{"an id of 49 bits", func(p *Peer) { p.ID = IDMax + 1 }, "more than 48 bits"},
		{"no VTEP", func(p *Peer) { p.VTEP = netip.Addr{} }, "VTEP address is missing"},
		{"an IPv6 VTEP", func(p *Peer) { p.VTEP = netip.MustParseAddr("2001:db8::1") }, "IPv4 only"},
		{"a multicast VTEP", func(p *Peer) { p.VTEP = netip.MustParseAddr("239.1.1.1") }, "no address that other hosts reach"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := right
			c.edit(&p)
			if err := p.Validate(); KindOf(err) != Invalid || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want ...%s...", err, c.says)
			}
		})
	}
}

func TestParsePeerRef(t *testing.T) {
	if r, err := ParsePeerRef("acme/web/tor1"); err != nil || r.String() != "acme/web/tor1" || r.NetworkRef() != (NetworkRef{"acme", "web"}) {
		t.Errorf("read %v, %v", r, err)
	}
	for _, s := range []string{"", "tor1", "acme/web", "acme/web/tor1/x", "acme/web/", "acme/web/TOR"} {
		if r, err := ParsePeerRef(s); KindOf(err) != Invalid {
			t.Errorf("%q is read as %v, %v", s, r, err)
		}
	}
}
