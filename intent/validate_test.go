package intent

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

func prefixes(ps ...string) []Subnet {
	var out []Subnet
	for _, p := range ps {
		prefix, gateway, _ := strings.Cut(p, " via ")
		s := Subnet{Prefix: netip.MustParsePrefix(prefix)}
		if gateway != "" {
			s.Gateway = netip.MustParseAddr(gateway)
		}
		out = append(out, s)
	}
	return out
}

// want is "" for what is valid, else part of the error's text.
func check(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("refused: %v", err)
	case want != "" && (KindOf(err) != Invalid || !strings.Contains(fmt.Sprint(err), want)):
		t.Errorf("got %v\nwant ...%s...", err, want)
	}
}

func TestNetworkValidate(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(*Network)
		want string
	}{
		{"nothing but names", func(n *Network) {}, ""},
		{"everything", func(n *Network) {
			n.ID, n.VNI, n.MTU, n.Unknown, n.Learning = IDMax, VNIMax, 1450, UnknownFlood, true
			n.Subnets = prefixes("10.0.0.0/24 via 10.0.0.254", "fd00::/64 via fd00::1")
		}, ""},
		{"the smallest subnets", func(n *Network) {
			n.Subnets = prefixes("10.0.0.0/30 via 10.0.0.2", "fd00::/126 via fd00::3")
		}, ""},
		{"no name", func(n *Network) { n.Name = "" }, "network name is empty; use lower-case letters"},
		{"a tenant with a slash", func(n *Network) { n.Tenant = "a/b" }, `tenant name "a/b" is malformed`},
		{"an id of 49 bits", func(n *Network) { n.ID = IDMax + 1 }, "more than 48 bits"},
		{"a VNI of 25 bits", func(n *Network) { n.VNI = VNIMax + 1 }, "VNI 16773120 is out of range; choose between 1 and 16773119"},
		{"the VNI of probes", func(n *Network) { n.VNI = VNIProbe }, "VNI 16777200 is out of range; choose between 1 and 16773119: those above are ovloom's own"},
		{"an unknown policy", func(n *Network) { n.Unknown = "learn" }, `policy "learn" for unknown unicast does not exist; choose drop or flood`},
		{"an MTU below IPv4's", func(n *Network) { n.MTU = 575 }, "MTU 575 is out of range; choose between 576 and 9216 bytes"},
		{"an MTU below IPv6's", func(n *Network) { n.MTU, n.Subnets = 1279, prefixes("fd00::/64") }, "MTU 1279 is out of range; choose between 1280 and 9216 bytes with IPv6"},
		{"the least MTU with IPv6", func(n *Network) { n.MTU, n.Subnets = 1280, prefixes("fd00::/64") }, ""},
		{"an MTU above all", func(n *Network) { n.MTU = 9217 }, "MTU 9217 is out of range"},
		{"a negative MTU", func(n *Network) { n.MTU = -1 }, "MTU -1 is out of range"},
		{"too many subnets", func(n *Network) {
			for i := range SubnetsMax + 1 {
				n.Subnets = append(n.Subnets, prefixes(fmt.Sprintf("10.%d.0.0/24", i))...)
			}
		}, "has 17 subnets; at most 16"},
		{"subnets that overlap", func(n *Network) { n.Subnets = prefixes("10.0.0.0/24", "10.0.0.128/25") }, "subnets 10.0.0.0/24 and 10.0.0.128/25 of network acme/web overlap"},
		{"a subnet twice", func(n *Network) { n.Subnets = prefixes("fd00::/64", "fd00::/64") }, "overlap"},
		{"an empty prefix", func(n *Network) { n.Subnets = []Subnet{{}} }, "prefix is empty"},
		{"a prefix that is not masked", func(n *Network) { n.Subnets = prefixes("10.0.0.5/24") }, "subnet 10.0.0.5/24 has bits set behind its prefix; write 10.0.0.0/24"},
		{"IPv4 of 31 bits", func(n *Network) { n.Subnets = prefixes("10.0.0.0/31") }, "prefix of 31 bits; an IPv4 subnet has between /8 and /30"},
		{"IPv4 of 7 bits", func(n *Network) { n.Subnets = prefixes("10.0.0.0/7") }, "prefix of 7 bits"},
		{"IPv6 of 127 bits", func(n *Network) { n.Subnets = prefixes("fd00::/127") }, "an IPv6 subnet has between /32 and /126"},
		{"IPv6 of 31 bits", func(n *Network) { n.Subnets = prefixes("fd00::/31") }, "prefix of 31 bits"},
		{"IPv4 written as IPv6", func(n *Network) { n.Subnets = prefixes("::ffff:10.0.0.0/120") }, "written as IPv6"},
		{"multicast", func(n *Network) { n.Subnets = prefixes("224.1.0.0/24") }, "is multicast address space (224.0.0.0/4)"},
		{"loopback", func(n *Network) { n.Subnets = prefixes("127.1.0.0/24") }, "is loopback address space"},
		{"link-local", func(n *Network) { n.Subnets = prefixes("169.254.0.0/16") }, "is link-local address space"},
		{"IPv6 link-local", func(n *Network) { n.Subnets = prefixes("fe80::/64") }, "is link-local address space"},
		{"reserved", func(n *Network) { n.Subnets = prefixes("250.0.0.0/8") }, "is reserved address space"},
		{"a gateway outside", func(n *Network) { n.Subnets = prefixes("10.0.0.0/24 via 10.0.1.1") }, "gateway address 10.0.1.1 is outside subnet 10.0.0.0/24; choose between 10.0.0.1 and 10.0.0.254"},
		{"the network address as gateway", func(n *Network) { n.Subnets = prefixes("10.0.0.0/24 via 10.0.0.0") }, "gateway address 10.0.0.0 is the network address"},
		{"the broadcast address as gateway", func(n *Network) { n.Subnets = prefixes("10.0.0.0/24 via 10.0.0.255") }, "gateway address 10.0.0.255 is the broadcast address"},
		{"the anycast address as gateway", func(n *Network) { n.Subnets = prefixes("fd00::/64 via fd00::") }, "gateway address fd00:: is the network address"},
		{"a gateway of the other family", func(n *Network) { n.Subnets = prefixes("10.0.0.0/24 via fd00::1") }, "is outside subnet"},
		{"a gateway with a zone", func(n *Network) { n.Subnets = prefixes("fd00::/64 via fd00::1%eth0") }, "has a zone; write fd00::1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := Network{Tenant: "acme", Name: "web"}
			c.edit(&n)
			check(t, n.Validate(), c.want)
		})
	}
}

func TestPortValidate(t *testing.T) {
	n := Network{Tenant: "acme", Name: "web", Learning: true, Subnets: prefixes("10.0.0.0/24", "fd00::/64")}.WithDefaults()
	addrs := func(as ...string) func(*Port) {
		return func(p *Port) {
			for _, a := range as {
				p.Addrs = append(p.Addrs, netip.MustParseAddr(a))
			}
		}
	}
	for _, c := range []struct {
		name string
		edit func(*Port)
		want string
	}{
		{"nothing but names", func(*Port) {}, ""},
		{"everything", func(p *Port) {
			addrs("10.0.0.5", "10.0.0.6", "fd00::5")(p)
			p.ID, p.UUID, p.MAC, p.Learn = IDMax, "6ba7b810-9dad-41d1-80b4-00c04fd430c8", MAC{2, 0, 0, 0, 0, 5}, LearnMax
		}, ""},
		{"the first and the last address", addrs("10.0.0.2", "10.0.0.254", "fd00::ffff:ffff:ffff:ffff"), ""},
		{"another network", func(p *Port) { p.Network = "db" }, "port acme/db/c1 is not of network acme/web"},
		{"a malformed name", func(p *Port) { p.Name = "C1" }, `port name "C1" is malformed`},
		{"a UUID in capitals", func(p *Port) { p.UUID = "6BA7B810-9dad-41d1-80b4-00c04fd430c8" }, "is malformed; write it in lower case"},
		{"a group MAC", func(p *Port) { p.MAC = MAC{1, 0, 0, 0, 0, 5} }, "is a group address"},
		{"the gateways' MAC", func(p *Port) { p.MAC = GatewayMAC }, "is a router's own"},
		{"a host's router MAC", func(p *Port) { p.MAC = RouterMAC(7) }, "is a router's own"},
		{"the gateway", addrs("10.0.0.1"), "address 10.0.0.1 is the gateway of subnet 10.0.0.0/24"},
		{"the network address", addrs("10.0.0.0"), "is the network address"},
		{"the broadcast address", addrs("10.0.0.255"), "is the broadcast address"},
		{"the IPv6 anycast address", addrs("fd00::"), "is the network address"},
		{"outside every subnet", addrs("10.0.1.5"), "address 10.0.1.5 is in no subnet of network acme/web; its subnets are 10.0.0.0/24, fd00::/64"},
		{"an address twice", addrs("10.0.0.5", "10.0.0.5"), "address 10.0.0.5 is given twice"},
		{"an address with a zone", addrs("fd00::5%eth0"), "has a zone"},
		{"IPv4 written as IPv6", addrs("::ffff:10.0.0.5"), "write 10.0.0.5"},
		{"no address", func(p *Port) { p.Addrs = []netip.Addr{{}} }, "an address is empty"},
		{"too many addresses", func(p *Port) {
			for i := range AddrsMax + 1 {
				addrs(fmt.Sprintf("10.0.0.%d", 2+i))(p)
			}
		}, "has 33 addresses; at most 32"},
		{"a learning limit below zero", func(p *Port) { p.Learn = -1 }, "learning limit -1 is out of range; choose between 0 and 1024"},
		{"a learning limit above all", func(p *Port) { p.Learn = LearnMax + 1 }, "learning limit 1025 is out of range"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := Port{Tenant: "acme", Network: "web", Name: "c1"}
			c.edit(&p)
			check(t, p.Validate(n), c.want)
		})
	}
	t.Run("a learning limit where nothing is learned", func(t *testing.T) {
		fixed := n
		fixed.Learning = false
		check(t, Port{Tenant: "acme", Network: "web", Name: "c1", Learn: 1}.Validate(fixed), "network acme/web does not learn")
	})
	t.Run("an address in a network without subnets", func(t *testing.T) {
		p := Port{Tenant: "acme", Network: "web", Name: "c1", Addrs: []netip.Addr{netip.MustParseAddr("10.0.0.5")}}
		check(t, p.Validate(Network{Tenant: "acme", Name: "web"}), "the network has none: leave the address out")
	})
}

func TestHostValidate(t *testing.T) {
	vtep := func(a string) func(*Host) { return func(h *Host) { h.VTEP = netip.MustParseAddr(a) } }
	for _, c := range []struct {
		name string
		edit func(*Host)
		want string
	}{
		{"name and VTEP", func(*Host) {}, ""},
		{"everything", func(h *Host) { h.ID, h.UnderlayMTU, h.Datapath, h.Version = 1, 1500, DatapathNetdev, "v1" }, ""},
		{"a dot in the name", func(h *Host) { h.Name = "host1.example" }, `host name "host1.example" is malformed`},
		{"no VTEP", func(h *Host) { h.VTEP = netip.Addr{} }, "the VTEP address is missing"},
		{"an IPv6 VTEP", vtep("2001:db8::1"), "VTEP address 2001:db8::1 is IPv6; tunnels run over IPv4 only, for now"},
		{"IPv4 written as IPv6", vtep("::ffff:192.0.2.1"), "write 192.0.2.1"},
		{"a loopback VTEP", vtep("127.0.0.1"), "no address that other hosts reach"},
		{"a multicast VTEP", vtep("224.0.0.1"), "no address that other hosts reach"},
		{"the broadcast address", vtep("255.255.255.255"), "no address that other hosts reach"},
		{"no address", vtep("0.0.0.0"), "no address that other hosts reach"},
		{"an underlay too small", func(h *Host) { h.UnderlayMTU = 625 }, "underlay MTU 625 is out of range; choose between 626 and 65535 bytes"},
		{"an underlay too large", func(h *Host) { h.UnderlayMTU = 65536 }, "out of range"},
		{"an unknown datapath", func(h *Host) { h.Datapath = "dpdk" }, `datapath type "dpdk" does not exist; choose system or netdev`},
		{"an id of 49 bits", func(h *Host) { h.ID = IDMax + 1 }, "more than 48 bits"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := Host{Name: "host1", VTEP: netip.MustParseAddr("192.0.2.1")}
			c.edit(&h)
			check(t, h.Validate(), c.want)
		})
	}
}

func TestTenantValidate(t *testing.T) {
	check(t, Tenant{Name: "acme", ID: 1, VRF: VRFMax}.Validate(), "")
	check(t, Tenant{Name: "acme", VRF: VRFMax + 1}.Validate(), "VRF 16777216 of tenant acme has more than 24 bits")
	check(t, Tenant{Name: "-acme"}.Validate(), "malformed")
	check(t, Tenant{Name: "acme", ID: IDMax + 1}.Validate(), "more than 48 bits")
}

func TestNames(t *testing.T) {
	for name, want := range map[string]string{
		"a": "", "0": "", "a-b": "", "a--b": "", strings.Repeat("x", 63): "",
		"": "empty", "-a": "malformed", "a-": "malformed", "A": "malformed", "a_b": "malformed", "a.b": "malformed",
		"ä": "malformed", "a b": "malformed", "a\n": "malformed", strings.Repeat("x", 64): "has 64 bytes; at most 63",
	} {
		t.Run(fmt.Sprintf("%.10q", name), func(t *testing.T) { check(t, ValidateName("tenant", name), want) })
	}
}

func TestParsers(t *testing.T) {
	second := func(_ any, err error) error { return err }
	for _, c := range []struct {
		name string
		err  error
		want string
	}{
		{"a tenant", second(ParseTenant("acme")), ""},
		{"a tenant with a network", second(ParseTenant("acme/web")), "name a tenant as TENANT, such as acme"},
		{"a network", second(ParseNetworkRef("acme/web")), ""},
		{"a network without tenant", second(ParseNetworkRef("web")), "name a network as TENANT/NETWORK, such as acme/web"},
		{"a network with an empty tenant", second(ParseNetworkRef("/web")), "tenant name is empty"},
		{"a port", second(ParsePortRef("acme/web/c1")), ""},
		{"a port without tenant", second(ParsePortRef("web/c1")), "name a port as TENANT/NETWORK/PORT, such as acme/web/c1"},
		{"a port with four parts", second(ParsePortRef("a/b/c/d")), "is no name of"},
		{"a prefix", second(ParsePrefix("10.0.0.0/24")), ""},
		{"a prefix without length", second(ParsePrefix("10.0.0.0")), "write a prefix such as 10.0.0.0/24"},
		{"a prefix that is not masked", second(ParsePrefix("10.0.0.1/24")), "write 10.0.0.0/24"},
		{"an address", second(ParseAddr("10.0.0.5")), ""},
		{"an address with a length", second(ParseAddr("10.0.0.5/24")), "leave out the prefix length: 10.0.0.5"},
		{"an address that is none", second(ParseAddr("10.0.0")), "write an address such as 10.0.0.5"},
		{"a VTEP", second(ParseVTEP("192.0.2.1")), ""},
		{"a VTEP that is none", second(ParseVTEP("host1")), `VTEP address "host1" is malformed`},
		{"a VTEP of IPv6", second(ParseVTEP("2001:db8::1")), "for now"},
		{"a MAC", second(ParseMAC("02:00:00:00:00:05")), ""},
		{"a MAC with hyphens", second(ParseMAC("02-00-00-00-00-05")), ""},
		{"a MAC of 8 bytes", second(ParseMAC("02:00:00:00:00:05:06:07")), "write six hexadecimal bytes"},
		{"a MAC of zeros", second(ParseMAC("00:00:00:00:00:00")), "is all zeros"},
		{"a MAC of a group", second(ParseMAC("01:00:5e:00:00:05")), "is a group address"},
	} {
		t.Run(c.name, func(t *testing.T) { check(t, c.err, c.want) })
	}
}
