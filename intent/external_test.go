package intent

import (
	"encoding/json"
	"net/netip"
	"testing"
)

func TestExternalValidate(t *testing.T) {
	internet := External{Name: "internet", Kind: ExternalHost}
	campus := External{Name: "campus", Kind: ExternalBridge, Bridge: "br-ex", Subnet: netip.MustParsePrefix("203.0.113.0/24"),
		Pool: AddrRange{netip.MustParseAddr("203.0.113.10"), netip.MustParseAddr("203.0.113.200")}}
	pool := func(s string) AddrRange {
		r, err := ParseAddrRange(s)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for _, c := range []struct {
		name string
		of   External
		edit func(*External)
		want string
	}{
		{"through the hosts", internet, func(*External) {}, ""},
		{"behind a bridge", campus, func(*External) {}, ""},
		{"everything", campus, func(e *External) {
			e.ID, e.MTU, e.Gateway, e.Allow = IDMax, MTUMax, netip.MustParseAddr("203.0.113.254"), []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
		}, ""},
		{"one address", campus, func(e *External) { e.Pool = pool("203.0.113.10") }, ""},
		{"another range", internet, func(e *External) { e.Subnet = netip.MustParsePrefix("10.99.0.0/29") }, ""},
		{"no name", internet, func(e *External) { e.Name = "" }, "external name is empty"},
		{"an id of 49 bits", internet, func(e *External) { e.ID = IDMax + 1 }, "more than 48 bits"},
		{"no kind", internet, func(e *External) { e.Kind = "" }, `kind "" of external internet does not exist; choose host or bridge`},
		{"a bridge for the hosts", internet, func(e *External) { e.Bridge = "br-ex" }, "goes through the host, and has no bridge"},
		{"a VLAN for the hosts", internet, func(e *External) { e.VLAN = 5 }, "external internet goes through the host, and has no VLAN; leave it out; an external of a bridge can have one"},
		{"the ports' own bridge", campus, func(e *External) { e.Bridge = "br-int" }, "bridge br-int of external campus is ovloom's own"},
		{"an MTU for the hosts", internet, func(e *External) { e.MTU = 1500 }, "goes through the host, and has no MTU"},
		{"no bridge", campus, func(e *External) { e.Bridge = "" }, "the bridge is missing; name one, such as br-ex"},
		{"a bridge's name that is too long", campus, func(e *External) { e.Bridge = "br-0123456789abc" }, "has 16 bytes; Linux names interfaces with at most 15"},
		{"a bridge's name with a slash", campus, func(e *External) { e.Bridge = "br/ex" }, `bridge "br/ex" is malformed`},
		{"no subnet", campus, func(e *External) { e.Subnet = netip.Prefix{} }, "external campus has no subnet"},
		{"IPv6", campus, func(e *External) { e.Subnet = netip.MustParsePrefix("fd00::/64") }, "NAT is for IPv4 only"},
		{"a subnet that is too small", internet, func(e *External) { e.Subnet = netip.MustParsePrefix("100.64.0.0/30") }, "has a prefix of 30 bits; it has between /8 and /29"},
		{"bits behind the subnet", campus, func(e *External) { e.Subnet = netip.MustParsePrefix("203.0.113.1/24") }, "write 203.0.113.0/24"},
		{"a gateway elsewhere", campus, func(e *External) { e.Gateway = netip.MustParseAddr("203.0.114.1") }, "gateway address 203.0.114.1 is outside subnet 203.0.113.0/24"},
		{"no pool", campus, func(e *External) { e.Pool = AddrRange{} }, "external campus has no pool; give the addresses that no other machine uses"},
		{"a pool elsewhere", campus, func(e *External) { e.Pool = pool("203.0.113.10-203.0.114.10") }, "pool address 203.0.114.10 is not one of subnet 203.0.113.0/24"},
		{"a pool with the broadcast address", campus, func(e *External) { e.Pool = pool("203.0.113.10-203.0.113.255") }, "pool address 203.0.113.255 is not one of"},
		{"a pool with the gateway", campus, func(e *External) { e.Pool = pool("203.0.113.1-203.0.113.10") }, "the pool of external campus contains its gateway 203.0.113.1"},
		{"an MTU that is too small", campus, func(e *External) { e.MTU = 100 }, "MTU 100 is out of range"},
		{"IPv6 allowed", internet, func(e *External) { e.Allow = []netip.Prefix{netip.MustParsePrefix("fd00::/64")} }, "allowed prefix fd00::/64 is not IPv4"},
		{"bits behind what is allowed", internet, func(e *External) { e.Allow = []netip.Prefix{netip.MustParsePrefix("192.0.2.5/24")} }, "allowed prefix 192.0.2.5/24 has bits set behind its prefix; write 192.0.2.0/24"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := c.of
			c.edit(&e)
			check(t, e.WithDefaults().Validate(), c.want)
		})
	}
	if e := internet.WithDefaults(); e.Subnet != DefaultHostRange || e.Gateway.String() != "100.64.0.1" || e.MTU != 0 || e.Addresses().String() != "100.64.0.1-100.64.255.254" {
		t.Errorf("defaults of the hosts': %+v, addresses %s", e, e.Addresses())
	}
	if e := campus.WithDefaults(); e.Gateway.String() != "203.0.113.1" || e.MTU != ExternalMTUDefault || e.Addresses() != campus.Pool {
		t.Errorf("defaults behind a bridge: %+v", e)
	}
}

// The numbers that stand for externals are no network's, nor what probes use.
func TestVNIsOfExternals(t *testing.T) {
	for n := 1; n <= ExternalNumberMax; n++ {
		vni := External{Number: uint8(n)}.VNI()
		if vni <= VNIMax || vni >= 1<<24 || vni == VNIProbe {
			t.Errorf("external %d has VNI %d", n, vni)
		}
	}
}

func TestAssignableExternalAddresses(t *testing.T) {
	hosts := External{Name: "internet", Kind: ExternalHost}.WithDefaults()
	bridge := External{Name: "campus", Kind: ExternalBridge, Subnet: netip.MustParsePrefix("203.0.113.0/24"),
		Pool: AddrRange{netip.MustParseAddr("203.0.113.10"), netip.MustParseAddr("203.0.113.20")}}.WithDefaults()
	for _, c := range []struct {
		of   External
		addr string
		want string
	}{
		{hosts, "100.64.0.2", ""},
		{hosts, "100.64.255.254", ""},
		{hosts, "100.64.0.1", "is the gateway"},
		{hosts, "100.64.255.255", "is the broadcast address"},
		{hosts, "100.65.0.1", "is outside subnet"},
		{bridge, "203.0.113.10", ""},
		{bridge, "203.0.113.20", ""},
		{bridge, "203.0.113.21", "address 203.0.113.21 is outside the pool of external campus; choose between 203.0.113.10 and 203.0.113.20"},
		{bridge, "fd00::1", "is outside subnet"},
	} {
		t.Run(c.of.Name+" "+c.addr, func(t *testing.T) { check(t, c.of.Assignable(netip.MustParseAddr(c.addr)), c.want) })
	}
}

func TestAddrRange(t *testing.T) {
	for text, want := range map[string]string{
		"203.0.113.10-203.0.113.200": "", "203.0.113.10": "", "fd00::1-fd00::9": "",
		"203.0.113.20-203.0.113.10": "write the lowest address first",
		"203.0.113.10-fd00::1":      "is malformed",
		"203.0.113.10-":             `address range "203.0.113.10-" is malformed; write FIRST-LAST`,
		"203.0.113.0/24":            "is malformed",
	} {
		_, err := ParseAddrRange(text)
		check(t, err, want)
	}
	r, err := ParseAddrRange("10.0.0.5-10.0.0.7")
	for a, want := range map[string]bool{"10.0.0.4": false, "10.0.0.5": true, "10.0.0.7": true, "10.0.0.8": false, "fd00::1": false} {
		if err != nil || r.Contains(netip.MustParseAddr(a)) != want {
			t.Errorf("%s contains %s: %v, %v", r, a, !want, err)
		}
	}
	if (AddrRange{}).Contains(netip.MustParseAddr("10.0.0.1")) || (AddrRange{}).Contains(netip.Addr{}) {
		t.Error("the zero range contains something")
	}
	// One of no kind that has a pool leaves it out of its JSON.
	b, err := json.Marshal(External{Name: "internet", Kind: ExternalHost, Subnet: DefaultHostRange, Gateway: netip.MustParseAddr("100.64.0.1")})
	if want := `{"name":"internet","id":0,"number":0,"kind":"host","subnet":"100.64.0.0/16","gateway":"100.64.0.1"}`; err != nil || string(b) != want {
		t.Errorf("written as %s, %v, want %s", b, err, want)
	}
}

func FuzzAddrRange(f *testing.F) {
	for _, s := range []string{"203.0.113.10-203.0.113.200", "203.0.113.10", "fd00::1-fd00::9", "-", "10.0.0.1-10.0.0.1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseAddrRange(s)
		if err != nil {
			return
		}
		if again, err := ParseAddrRange(r.String()); err != nil || again != r || !r.Contains(r.First) || !r.Contains(r.Last) {
			t.Errorf("%q is read as %v, and that as %v, %v", s, r, again, err)
		}
	})
}

// A VLAN that no tag can hold would have the switch refuse the flow, and all that come with
// it.
func TestStoredExternalHasAVLANThatATagCanHold(t *testing.T) {
	e := External{
		Name: "campus", ID: 1, Number: 1, Kind: ExternalBridge, Bridge: "br-ex", Subnet: netip.MustParsePrefix("203.0.113.0/24"),
		Gateway: netip.MustParseAddr("203.0.113.1"), Pool: AddrRange{First: netip.MustParseAddr("203.0.113.10"), Last: netip.MustParseAddr("203.0.113.20")},
	}
	for vlan, want := range map[uint16]Kind{0: "", VLANMax: "", VLANMax + 1: Invalid, 5000: Invalid} {
		e.VLAN = vlan
		if err := Stored(e); KindOf(err) != want {
			t.Errorf("VLAN %d: %v", vlan, err)
		}
	}
}
