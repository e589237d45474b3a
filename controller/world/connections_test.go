package world

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"

	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/pipeline"
)

// Of several SNATs, the highest limit applies, in whatever order.
func TestConnectionsOfATenant(t *testing.T) {
	for _, c := range []struct {
		max  []uint32
		want uint32
	}{
		{nil, intent.DefaultConnections},
		{[]uint32{0}, intent.DefaultConnections},
		{[]uint32{500}, 500},
		{[]uint32{500, 900}, 900},
		{[]uint32{500, intent.UnlimitedConnections}, 0},
	} {
		tn := &tenant{}
		tn.nat.snats = map[string]intent.SNAT{}
		for i, m := range c.max {
			tn.nat.snats[fmt.Sprint(i)] = intent.SNAT{MaxConnections: m}
		}
		if got := tn.connections(); got != c.want {
			t.Errorf("%v: %d, want %d", c.max, got, c.want)
		}
	}
}

// tuples returns a connection from its tuples, as dpctl/dump-conntrack shows them.
func tuples(proto uint8, orig, reply [2]string) of.Connections {
	tuple := func(ends [2]string) of.Tuple {
		src, dst := netip.MustParseAddrPort(ends[0]), netip.MustParseAddrPort(ends[1])
		return of.Tuple{Proto: proto, Src: src.Addr(), Dst: dst.Addr(), SrcPort: src.Port(), DstPort: dst.Port()}
	}
	return of.Connections{Zone: zoneFirst, Orig: tuple(orig), Reply: tuple(reply)}
}

func TestWhichConnectionsMayGoOn(t *testing.T) {
	addr := netip.MustParseAddr
	rules := Rules{
		Zone:     zoneFirst,
		snat:     map[netip.Addr]bool{addr("100.64.0.2"): true},
		floating: map[netip.Addr]netip.Addr{addr("203.0.113.11"): addr("10.0.0.5")},
		forwards: map[forwardKey]netip.AddrPort{
			{6, netip.MustParseAddrPort("203.0.113.10:8080")}: netip.MustParseAddrPort("10.0.0.6:80"),
			{6, netip.MustParseAddrPort("203.0.113.10:8090")}: netip.MustParseAddrPort("10.0.0.9:80"),
		},
		targets:  map[forwardKey]bool{{6, netip.MustParseAddrPort("10.0.0.6:80")}: true},
		Departed: map[netip.Addr]bool{addr("10.0.0.9"): true},
	}
	for _, c := range []struct {
		name        string
		proto       uint8
		orig, reply [2]string
		allow       bool
	}{
		{"through the SNAT", 6, [2]string{"10.0.0.7:5000", "198.51.100.1:80"}, [2]string{"198.51.100.1:80", "100.64.0.2:5000"}, true},
		{"through an SNAT that went", 6, [2]string{"10.0.0.7:5000", "198.51.100.1:80"}, [2]string{"198.51.100.1:80", "100.64.0.3:5000"}, false},
		{"through the SNAT, another source port", 17, [2]string{"10.0.0.7:5000", "198.51.100.1:80"}, [2]string{"198.51.100.1:80", "100.64.0.2:1024"}, true},
		{"through the SNAT, before the port got its floating address", 6, [2]string{"10.0.0.5:5000", "198.51.100.1:80"}, [2]string{"198.51.100.1:80", "100.64.0.2:5000"}, true},
		{"from a port that left", 6, [2]string{"10.0.0.9:5000", "198.51.100.1:80"}, [2]string{"198.51.100.1:80", "100.64.0.2:5000"}, false},
		{"out by the floating address", 17, [2]string{"10.0.0.5:5000", "198.51.100.1:80"}, [2]string{"198.51.100.1:80", "203.0.113.11:5000"}, true},
		{"out by another port's floating address", 17, [2]string{"10.0.0.7:5000", "198.51.100.1:80"}, [2]string{"198.51.100.1:80", "203.0.113.11:5000"}, false},
		{"in by the floating address", 6, [2]string{"198.51.100.1:5000", "203.0.113.11:22"}, [2]string{"10.0.0.5:22", "198.51.100.1:5000"}, true},
		{"in by a floating address that is another port's now", 6, [2]string{"198.51.100.1:5000", "203.0.113.11:22"}, [2]string{"10.0.0.7:22", "198.51.100.1:5000"}, false},
		{"in by a floating address that went", 6, [2]string{"198.51.100.1:5000", "203.0.113.12:22"}, [2]string{"10.0.0.5:22", "198.51.100.1:5000"}, false},
		{"in by the forward", 6, [2]string{"198.51.100.1:5000", "203.0.113.10:8080"}, [2]string{"10.0.0.6:80", "198.51.100.1:5000"}, true},
		{"in by the forward, to a port that left", 6, [2]string{"198.51.100.1:5000", "203.0.113.10:8090"}, [2]string{"10.0.0.9:80", "198.51.100.1:5000"}, true},
		{"in by the forward of another protocol", 17, [2]string{"198.51.100.1:5000", "203.0.113.10:8080"}, [2]string{"10.0.0.6:80", "198.51.100.1:5000"}, false},
		{"in by a forward that leads elsewhere now", 6, [2]string{"198.51.100.1:5000", "203.0.113.10:8080"}, [2]string{"10.0.0.7:80", "198.51.100.1:5000"}, false},
		{"in by a forward to another port now", 6, [2]string{"198.51.100.1:5000", "203.0.113.10:8080"}, [2]string{"10.0.0.6:81", "198.51.100.1:5000"}, false},
		{"in by a forward that went", 6, [2]string{"198.51.100.1:5000", "203.0.113.10:8081"}, [2]string{"10.0.0.6:80", "198.51.100.1:5000"}, false},
		{"in by another host", 6, [2]string{"198.51.100.1:5000", "10.0.0.6:80"}, [2]string{"10.0.0.6:80", "198.51.100.1:5000"}, true},
		{"in by another host, of another protocol", 17, [2]string{"198.51.100.1:5000", "10.0.0.6:80"}, [2]string{"10.0.0.6:80", "198.51.100.1:5000"}, false},
		{"in by another host, to no forward's target", 6, [2]string{"198.51.100.1:5000", "10.0.0.6:81"}, [2]string{"10.0.0.6:81", "198.51.100.1:5000"}, false},
		{"in by another host, to a port that left", 6, [2]string{"198.51.100.1:5000", "10.0.0.9:80"}, [2]string{"10.0.0.9:80", "198.51.100.1:5000"}, false},
		{"to the own floating address, the way out", 6, [2]string{"10.0.0.5:5000", "203.0.113.11:80"}, [2]string{"203.0.113.11:80", "203.0.113.11:5000"}, true},
		{"to the own floating address, the way in", 6, [2]string{"203.0.113.11:5000", "203.0.113.11:80"}, [2]string{"10.0.0.5:80", "203.0.113.11:5000"}, true},
		{"a ping in by the floating address", 1, [2]string{"198.51.100.1:0", "203.0.113.11:0"}, [2]string{"10.0.0.5:0", "198.51.100.1:0"}, true},
	} {
		if got := rules.Allow(tuples(c.proto, c.orig, c.reply)); got != c.allow {
			t.Errorf("%s: allowed: %v", c.name, got)
		}
	}
}

// A port that is on another host when ovloomd starts may have been here before; a forward's
// target does not matter.
func TestPortsThatDepartedUnseen(t *testing.T) {
	w := newWorld(self)
	w.SetSwitch(pipeline.Switch{VXLANPort: 1})
	w.SetHosts([]intent.Host{{Name: self, ID: 1, VTEP: netip.MustParseAddr("192.0.2.1")}, {Name: "host2", ID: 2, VTEP: netip.MustParseAddr("192.0.2.2")}})
	prefix := netip.MustParsePrefix("10.0.1.0/24")
	port := func(name string, addr string) intent.Port {
		a := netip.MustParseAddr(addr)
		last := a.As4()[3]
		return intent.Port{Tenant: "acme", Network: "web", Name: name, ID: intent.ID(30 + last), MAC: intent.MAC{2, last}, Addrs: []netip.Addr{a}}
	}
	bound := func(name, host string) intent.Binding {
		return intent.Binding{Tenant: "acme", Network: "web", Port: name, Host: host, Generation: 1}
	}
	w.Update(intent.SpanUpdate{Tenant: "acme", Snapshot: &intent.Snapshot{
		Tenant:   intent.Tenant{Name: "acme", ID: 5, VRF: 7},
		Networks: []intent.Network{{Tenant: "acme", Name: "web", ID: 10, VNI: 10, Subnets: []intent.Subnet{{Prefix: prefix, Gateway: intent.DefaultGateway(prefix)}}}},
		Ports:    []intent.Port{port("here", "10.0.1.5"), port("there", "10.0.1.6"), port("nowhere", "10.0.1.7")},
		Bindings: []intent.Binding{bound("here", self), bound("there", "host2")},
	}})
	w.Settle()
	w.DepartedUnseen("acme")
	if got := slices.Collect(maps.Keys(w.departed["acme"])); len(got) != 1 || got[0].String() != "10.0.1.6" {
		t.Errorf("left: %v", got)
	}
}
