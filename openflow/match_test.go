package openflow

import (
	"net/netip"
	"strings"
	"testing"
)

// TestCanonical checks that matches that mean the same are equal however they are
// written.
func TestCanonical(t *testing.T) {
	web := netip.MustParsePrefix("10.1.2.3/16")
	for _, test := range []struct {
		name  string
		match Match
		want  string
	}{
		{"any order", MatchOf(TCP, Exact(FieldTCPDst, 80), IPv4), "tcp,tp_dst=80"},
		{"nothing", MatchOf(), ""},
		{"no bits of a field", MatchOf(IPv4, Masked(FieldMetadata, 5, 0)), "ip"},
		{"whole range of addresses", MatchOf(IPv4, Prefix(FieldIPSrc, netip.MustParsePrefix("0.0.0.0/0"))), "ip"},
		{"host bits of a prefix", MatchOf(IPv4, Prefix(FieldIPSrc, web)), "ip,nw_src=10.1.0.0/16"},
		{"full prefix", MatchOf(IPv6, Prefix(FieldIPv6Src, netip.MustParsePrefix("fd00::1/128"))), "ipv6,ipv6_src=fd00::1"},
		{"value outside the mask", MatchOf(Masked(Reg(1), 0xff, 0x0f)), "reg1=0xf/0xf"},
		{"xreg", MatchOf(Exact(FieldXReg1, 0x100000002)), "reg2=0x1,reg3=0x2"},
		{"half an xreg", MatchOf(Masked(FieldXReg0, 0x700000000, 0xf00000000)), "reg0=0x7/0xf"},
		{"xxreg", MatchOf(ExactBits(FieldXXReg1, BitsOf128(0x2001_0db8<<32, 1))), "reg4=0x20010db8,reg5=0,reg6=0,reg7=0x1"},
		{"no VLAN", MatchOf(NoVLAN()), "vlan_tci=0x0000/0x1fff"},
		{"no VLAN as a TCI", MatchOf(Exact(FieldVLANTCI, 0)), "vlan_tci=0x0000/0x1fff"},
		{"VLAN as a TCI", MatchOf(Masked(FieldVLANTCI, 0x1005, 0x1fff)), "dl_vlan=5"},
		{"VLAN and priority as a TCI", MatchOf(Exact(FieldVLANTCI, 0x7005)), "dl_vlan=5,dl_vlan_pcp=3"},
		{"VLAN priority", MatchOf(Exact(FieldVLANPCP, 3)), "dl_vlan_pcp=3"},
		{"Ethernet", MatchOf(Exact(FieldPacketType, 0), InPort(1)), "in_port=1"},
		{"all of ct_state", MatchOf(Exact(FieldCTState, 0x21)), "ct_state=new|trk"},
		{"fragments by one bit", MatchOf(IPv4, Masked(FieldIPFrag, 0, 1)), "ip,nw_frag=no"},
		{"multicast", MatchOf(EthDstMasked([6]byte{1}, [6]byte{1})), "dl_dst=01:00:00:00:00:00/01:00:00:00:00:00"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := test.match.String(); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
			parsed, err := ParseMatch(test.want)
			if err != nil {
				t.Fatal(err)
			}
			if !parsed.Equal(test.match) || parsed.Key() != test.match.Key() {
				t.Errorf("parsed %#v\nwant   %#v", parsed, test.match)
			}
		})
	}
}

// TestKeysDiffer checks that no two of these matches have one key.
func TestKeysDiffer(t *testing.T) {
	seen := map[string]string{}
	for _, text := range []string{
		"", "ip", "ipv6", "arp", "tcp", "udp", "reg0=0", "reg0=0/0x1", "reg0=0x1/0x1", "reg0=0x1", "reg1=0x1",
		"reg0=0,reg1=0", "dl_vlan=0", "vlan_tci=0x0000/0x1fff", "vlan_tci=0x1000/0x1000", "opaque=00", "opaque=0000",
	} {
		m, err := ParseMatch(text)
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := seen[m.Key()]; ok {
			t.Errorf("%q and %q have one key", text, other)
		}
		seen[m.Key()] = text
	}
}

// TestPanics checks that what only a bug can ask for is not installed as something
// else.
func TestPanics(t *testing.T) {
	v4, v6 := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")
	for name, f := range map[string]func(){
		"two terms for a field":       func() { MatchOf(Exact(Reg(0), 1), Exact(Reg(0), 2)) },
		"a register and its xreg":     func() { MatchOf(Exact(Reg(1), 1), Exact(FieldXReg0, 2)) },
		"no field":                    func() { MatchOf(Term{Mask: BitsOf(1)}) },
		"a value too large":           func() { Exact(FieldIPProto, 256) },
		"a mask too large":            func() { Masked(FieldIPProto, 0, 256) },
		"IPv6 where IPv4 is":          func() { Addr(FieldIPSrc, v6) },
		"IPv4 where IPv6 is":          func() { Addr(FieldIPv6Src, v4) },
		"an address for a register":   func() { Addr(Reg(0), v4) },
		"no address":                  func() { Addr(FieldIPSrc, netip.Addr{}) },
		"an invalid prefix":           func() { Prefix(FieldIPSrc, netip.Prefix{}) },
		"an address with a zone":      func() { SetAddr(FieldIPv6Src, netip.MustParseAddr("fe80::1%eth0")) },
		"register 16":                 func() { Reg(16) },
		"bits that a field lacks":     func() { Reg(0).Bits(20, 20) },
		"a copy of different widths":  func() { Copy(Reg(0).Bits(0, 4), Reg(1).Bits(0, 5)) },
		"a set of too large a value":  func() { Set(FieldVLANPCP, 8) },
		"a set of too large a part":   func() { SetSub(Reg(0).Bits(4, 4), 16) },
		"a set of something unnamed":  func() { Set(FieldNone, 0) },
		"a set of a mask too large":   func() { SetMasked(FieldVLANPCP, 0, 8) },
		"a mask for a MAC that is no": func() { MACMasked(Reg(0), [6]byte{}, [6]byte{1}) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if v := recover(); v == nil {
					t.Error("no panic")
				} else if s, ok := v.(string); !ok || !strings.HasPrefix(s, "openflow: ") {
					t.Errorf("panic says %v", v)
				}
			}()
			f()
		})
	}
}

// TestFields checks the table of fields.
func TestFields(t *testing.T) {
	names := map[string]Field{}
	for f := FieldNone + 1; f < fieldCount; f++ {
		info := f.info()
		if info.name == "" || info.oxm == "" || info.bits == 0 {
			t.Errorf("field %d is not described", f)
		}
		for _, name := range []string{info.name, info.oxm} {
			if other, ok := names[name]; ok {
				t.Errorf("%s and field %d share the name %s", other, f, name)
			}
			names[name] = f
		}
		if got, err := parseSubfield(f.All().String()); err != nil || got != f.All() {
			t.Errorf("%s read as %v, error %v", f.All(), got, err)
		}
	}
	if int(fieldCount) > 128 {
		t.Error("keys have room for 127 fields")
	}
	for _, f := range matchOrder {
		delete(names, f.String())
	}
	for name, f := range names {
		if name == f.String() && !strings.Contains(name, "xreg") && name != "vlan_tci" {
			t.Errorf("a match on %s is not printed", name)
		}
	}
}
