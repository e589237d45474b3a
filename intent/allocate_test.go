package intent

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
)

func TestSubnetAddresses(t *testing.T) {
	for _, c := range []struct {
		subnet, want string // the addresses of one round
	}{
		{"10.0.0.0/29 via 10.0.0.1", "10.0.0.2 10.0.0.3 10.0.0.4 10.0.0.5 10.0.0.6"},
		{"10.0.0.0/29 via 10.0.0.6", "10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.4 10.0.0.5"},
		{"10.0.0.8/29 via 10.0.0.12", "10.0.0.9 10.0.0.10 10.0.0.11 10.0.0.13 10.0.0.14"},
		{"10.0.0.0/30 via 10.0.0.1", "10.0.0.2"},
		{"10.0.0.0/30 via 10.0.0.2", "10.0.0.1"},
		{"fd00::/126 via fd00::1", "fd00::2 fd00::3"},
		{"fd00::/125 via fd00::7", "fd00::1 fd00::2 fd00::3 fd00::4 fd00::5 fd00::6"},
	} {
		t.Run(c.subnet, func(t *testing.T) {
			s := prefixes(c.subnet)[0]
			var round []string
			for a := s.Next(s.Prefix.Addr()); len(round) == 0 || a.String() != round[0]; a = s.Next(a) {
				round = append(round, a.String())
				if err := s.Assignable(a); err != nil || len(round) > 10 {
					t.Fatalf("%v: %v", round, err)
				}
			}
			if got := strings.Join(round, " "); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// Next never leaves the subnet, whatever it starts from, and skips nothing.
func TestNextIsAlwaysAssignable(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		b := [16]byte{0xfd}
		for i := 1; i < 16; i++ {
			b[i] = byte(rnd.Uint32())
		}
		a, bits := netip.AddrFrom16(b), PrefixMin6+rnd.IntN(PrefixMax6-PrefixMin6+1)
		if rnd.IntN(2) == 0 {
			a, bits = netip.AddrFrom4([4]byte{10, b[1], b[2], b[3]}), PrefixMin4+rnd.IntN(PrefixMax4-PrefixMin4+1)
		}
		s := Subnet{Prefix: netip.PrefixFrom(a, bits).Masked()}
		s.Gateway = DefaultGateway(s.Prefix)
		if err := s.Validate(); err != nil {
			t.Fatal(err)
		}
		n := s.Next(a)
		if err := s.Assignable(n); err != nil {
			t.Fatalf("%v after %v: %v", n, a, err)
		}
		if between := a.Next(); s.Assignable(between) == nil && n != between {
			t.Fatalf("%v after %v in %v skips %v", n, a, s, between)
		}
	}
}

func TestDefaults(t *testing.T) {
	given := Network{Tenant: "acme", Name: "web", Subnets: prefixes("10.0.0.0/24", "fd00::/64", "10.1.0.0/24 via 10.1.0.9")}
	n := given.WithDefaults()
	if got := fmt.Sprint(n.Subnets, n.Unknown); got != "[{10.0.0.0/24 10.0.0.1} {fd00::/64 fd00::1} {10.1.0.0/24 10.1.0.9}]drop" {
		t.Errorf("got %s", got)
	}
	if given.Subnets[0].Gateway.IsValid() {
		t.Error("the network that was given has changed")
	}
	for _, c := range []struct{ mtu, underlay, want int }{
		{0, 0, MTUDefault}, {0, 1500, 1450}, {0, 9000, 8950}, {1400, 1500, 1400}, {0, 40, MTUDefault},
	} {
		if got := (Network{MTU: c.mtu}).PortMTU(c.underlay); got != c.want {
			t.Errorf("MTU %d on an underlay of %d: ports have %d, want %d", c.mtu, c.underlay, got, c.want)
		}
	}
}

func TestNumbersComeRound(t *testing.T) {
	for _, c := range []struct {
		n        uint64
		vni, vrf uint32
	}{
		{0, VNIFirst, 1},
		{1, VNIFirst + 1, 2},
		{VNIMax - VNIFirst, VNIMax, VNIMax - VNIFirst + 1},
		{VNIMax - VNIFirst + 1, VNIFirst, VNIMax - VNIFirst + 2},
		{VRFMax - 1, VNI(VRFMax - 1), VRFMax},
		{VRFMax, VNI(VRFMax), 1},
	} {
		if VNI(c.n) != c.vni || VRF(c.n) != c.vrf {
			t.Errorf("number %d: VNI %d, VRF %d; want %d, %d", c.n, VNI(c.n), VRF(c.n), c.vni, c.vrf)
		}
	}
}

func TestDerivedMACs(t *testing.T) {
	seen := map[MAC]ID{}
	try := func(id ID) {
		m := DerivedMAC(id)
		if err := m.Validate(); err != nil || m[0]&2 == 0 {
			t.Errorf("id %d: %s, %v", id, m, err)
		}
		if other, taken := seen[m]; taken && other != id {
			t.Errorf("ids %d and %d have %s", other, id, m)
		}
		seen[m] = id
	}
	for i := range ID(1000) {
		try(i)
		try(i << 28)
	}
	for bit := range 38 {
		try(1 << bit)
	}
}

func TestWinner(t *testing.T) {
	if _, ok := Winner(nil); ok {
		t.Error("a winner without claims")
	}
	w, ok := Winner([]Binding{{Host: "host1", Generation: 3}, {Host: "host2", Generation: 7}, {Host: "host3", Generation: 5}})
	if !ok || w.Host != "host2" {
		t.Errorf("winner %+v", w)
	}
}

func TestErrors(t *testing.T) {
	err := fmt.Errorf("add: %w", InUseBy("network acme/web", []string{"port acme/web/c1", "port acme/web/c2"}))
	if KindOf(err) != InUse || err.Error() != "add: network acme/web is in use (used by port acme/web/c1, port acme/web/c2); delete those first, or give --cascade" {
		t.Errorf("%v", err)
	}
	if KindOf(fmt.Errorf("plain")) != "" || KindOf(nil) != "" {
		t.Error("a kind of what has none")
	}
}
