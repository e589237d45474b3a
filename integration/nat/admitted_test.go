package nat_test

// What the store admits works: combinations of objects that are in each other's way in
// a switch, or could be.

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/integration/overlay"
	"github.com/ovloom/ovloom/intent"
)

// city is a second subnet on the campus's segment.
var (
	city        = netip.MustParsePrefix("203.0.114.0/24")
	cityGateway = netip.MustParseAddr("203.0.114.1")
)

// addCity adds an external that shares the campus's bridge.
func addCity(o *overlay.Outdoors) {
	o.T.Helper()
	if out, err := o.Outside.Exec(o.T.Context(), "ip", "address", "add", netip.PrefixFrom(cityGateway, city.Bits()).String(), "dev", "campus0"); err != nil {
		o.T.Fatalf("%v\n%s", err, out)
	}
	o.Run("external", "add", "city", "--bridge", lab.CampusBridge, "--subnet", city.String(), "--pool", "203.0.114.10-203.0.114.20")
}

func floatOn(o *overlay.Outdoors, m *overlay.Machine, external string) netip.Addr {
	o.T.Helper()
	var f intent.Floating
	o.Get(o.Hosts[0], &f, "nat", "floating", "add", m.Port.Ref().String(), "--external", external)
	return f.Address
}

// pings pings an address from outside, and counts what is lost.
func pings(o *overlay.Outdoors, to netip.Addr, times int) {
	o.T.Helper()
	lab.Eventually(o.T, overlay.PollTime, fmt.Sprintf("a ping of %s", to), func() error {
		_, err := o.Outside.Ping(o.T.Context(), to)
		return err
	})
	lost := 0
	for range times {
		if _, err := o.Outside.Ping(o.T.Context(), to); err != nil {
			lost++
		}
	}
	if lost > 0 {
		o.T.Errorf("%d of %d pings of %s are lost", lost, times, to)
	}
}

// Two externals of one bridge share its port: the bridge sees the host's MAC at one
// place. A port with an address of each is reached by both, and begins connections with
// the older one.
func TestTwoExternalsOfOneBridge(t *testing.T) {
	o := overlay.NewOutdoors(t, 2)
	addCity(o)
	overlay.Serve(t, o.Outside.Workload, lab.CampusServer)
	acme := o.Tenant("acme", o.Hosts[0], o.Hosts[1])
	c1, c2 := acme[0], acme[1]
	overlay.Serve(t, c1.Workload)
	overlay.Serve(t, c2.Workload)
	first, second := floatOn(o, c1, "campus"), floatOn(o, c1, "city")
	other := floatOn(o, c2, "city")

	for _, a := range []netip.Addr{first, second, other} {
		pings(o, a, 30)
	}
	// What comes in by an address is answered by it.
	o.SeenAs(o.Outside.Workload, "tcp", overlay.ServerAt(first), 10, lab.CampusGateway)
	o.SeenAs(o.Outside.Workload, "udp", overlay.ServerAt(second), 4000, cityGateway)
	o.SeenAs(o.Outside.Workload, "tcp", overlay.ServerAt(other), 10, cityGateway)
	o.SeenAs(c1.Workload, "tcp", overlay.ServerAt(lab.CampusServer), 10, first)
	o.SeenAs(c2.Workload, "tcp", overlay.ServerAt(lab.CampusServer), 10, other)
	// From one external to the other, on another host and on the same.
	o.SeenAs(c1.Workload, "tcp", overlay.ServerAt(other), 10, first)
	o.SeenAs(c2.Workload, "tcp", overlay.ServerAt(second), 10, other)

	ports, err := overlay.OVS(t.Context(), o.Hosts[0]).VSwitch.ListPorts(lab.CampusBridge)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(strings.Join(ports, " "), "-out"); n != 1 {
		t.Errorf("%d patch ports of ovloom on %s: %q", n, lab.CampusBridge, ports)
	}

	t.Run("one address goes", func(t *testing.T) {
		o := o.With(t)
		o.Run("nat", "floating", "delete", c1.Port.Ref().String(), "--external", "campus")
		o.SeenAs(c1.Workload, "tcp", overlay.ServerAt(lab.CampusServer), 10, second)
		pings(o, second, 5)
		// It comes back as the younger one.
		if again := floatOn(o, c1, "campus"); again != first {
			first = again
		}
		pings(o, first, 5)
		o.SeenAs(c1.Workload, "tcp", overlay.ServerAt(lab.CampusServer), 10, second)
		o.Run("nat", "floating", "delete", c1.Port.Ref().String(), "--external", "campus")
		pings(o, second, 5)
		o.SeenAs(c1.Workload, "tcp", overlay.ServerAt(lab.CampusServer), 10, second)
	})

	// The port stays, whatever external of the bridge is deleted.
	t.Run("one external goes", func(t *testing.T) {
		o := o.With(t)
		o.Run("external", "delete", "campus")
		pings(o, second, 10)
		o.SeenAs(c2.Workload, "tcp", overlay.ServerAt(cityGateway), 10, other)
	})
}

// The first packet of a connection may come in fragments, whatever other ports of the
// address are forwarded.
func TestForwardsTakeFirstPacketsInFragments(t *testing.T) {
	o := overlay.NewOutdoors(t, 2)
	acme := o.Tenant("acme", o.Hosts[0], o.Hosts[1])
	for _, m := range acme {
		overlay.Serve(t, m.Workload)
	}
	var to []netip.AddrPort
	for i, m := range []*overlay.Machine{acme[0], acme[1], acme[0]} {
		port := uint16(8080 + i)
		a := forward(o, "acme", "campus", "--udp", fmt.Sprint(port), fmt.Sprintf("%s:%d", m.Port.Ref(), overlay.ServerPort))
		to = append(to, netip.AddrPortFrom(a, port))
	}
	for _, at := range to {
		o.SeenAs(o.Outside.Workload, "udp", at, 10, lab.CampusGateway)
	}
	for _, at := range to {
		for range 5 { // each a connection of its own
			if _, err := overlay.AskWho(o.Outside.Workload, "udp", at, 4000); err != nil {
				t.Errorf("a first packet in fragments to %s: %v", at, err)
			}
		}
	}
	var connections []intent.Connection
	o.Get(o.Hosts[0], &connections, "connections", "acme")
	if !slices.ContainsFunc(connections, func(c intent.Connection) bool {
		return c.Port == acme[0].Port.Ref().String() && c.Protocol == "udp" && c.Destination == to[2].String() && c.TranslatedDestination == overlay.ServerAt(acme[0].V4()).String()
	}) {
		t.Errorf("no connection to %s among %+v", to[2], connections)
	}
	before := o.Drops(o.Hosts[0], "no-forward")
	if _, err := overlay.AskWho(o.Outside.Workload, "udp", netip.AddrPortFrom(to[0].Addr(), 9090), 4000); err == nil {
		t.Error("a port that is not forwarded answers")
	}
	o.Dropped(o.Hosts[0], "no-forward", before+1)
}

// A static route takes what ports begin. What was asked from outside is answered to the
// outside, and a floating address outranks the default route.
func TestStaticRoutesLeaveAnswersAlone(t *testing.T) {
	o := overlay.NewOutdoors(t, 2)
	overlay.Serve(t, o.Outside.Workload, lab.CampusServer)
	acme := o.Tenant("acme", o.Hosts[0], o.Hosts[1], o.Hosts[1])
	c1, c2, router := acme[0], acme[1], acme[2]
	overlay.Serve(t, c1.Workload)
	overlay.Serve(t, c2.Workload)
	floating := floatOn(o, c1, "campus")
	target := fmt.Sprintf("%s:%d", c2.Port.Ref(), overlay.ServerPort)
	// The host of the oldest forward's target answers for all: here that is another host.
	forward(o, "acme", "campus", "--tcp", "8081", fmt.Sprintf("%s:%d", c1.Port.Ref(), overlay.ServerPort))
	forwarded := netip.AddrPortFrom(forward(o, "acme", "campus", "--tcp", "8080", target), 8080)
	datagrams := netip.AddrPortFrom(forward(o, "acme", "campus", "--udp", "8080", target), 8080)
	right := func() {
		t.Helper()
		pings(o, floating, 5)
		o.SeenAs(o.Outside.Workload, "tcp", overlay.ServerAt(floating), 10, lab.CampusGateway)
		o.SeenAs(o.Outside.Workload, "udp", overlay.ServerAt(floating), 4000, lab.CampusGateway)
		o.SeenAs(o.Outside.Workload, "tcp", forwarded, 10, lab.CampusGateway)
		o.SeenAs(o.Outside.Workload, "udp", datagrams, 4000, lab.CampusGateway)
	}
	right()
	o.Run("route", "add", "acme", "0.0.0.0/0", "--via", router.V4().String())
	right()
	o.SeenAs(c1.Workload, "tcp", overlay.ServerAt(lab.CampusServer), 10, floating)
	// Of a port without an address of its own the route takes what it begins, but no answers.
	seenBy := func(from *overlay.Machine, what string, to netip.Addr) {
		t.Helper()
		c := o.Capture(router)
		defer c.Close()
		lab.Eventually(t, overlay.PollTime, what, func() error {
			if err := overlay.Tell(from.Workload, netip.AddrPortFrom(to, 9), what); err != nil {
				return err
			}
			return overlay.Seen(c, overlay.PayloadContains(what))
		})
	}
	seenBy(c2, "by the default route", lab.CampusServer)
	o.Run("route", "add", "acme", lab.Campus.String(), "--via", router.V4().String())
	right()
	seenBy(c1, "by the longer prefix", lab.CampusServer)
	seenBy(c2, "by the longer prefix, too", lab.CampusServer)
	o.Run("route", "delete", "acme", lab.Campus.String())
	o.Run("nat", "floating", "delete", c1.Port.Ref().String(), "--external", "campus")
	seenBy(c1, "without a floating address", lab.CampusServer)
	o.SeenAs(o.Outside.Workload, "tcp", forwarded, 10, lab.CampusGateway)
}

// What a switch has learned of a network is shown in words: behind which port, or host.
func TestLearnedMACsAreTold(t *testing.T) {
	o := overlay.New(t, lab.Config{Hosts: 1})
	o.Run("tenant", "add", "acme")
	o.Run("network", "add", "acme/lab", "--subnet", "10.0.0.0/24", "--learning")
	vm := o.Plug(o.Hosts[0], "acme/lab/vm", "--learn", "2")
	behind := intent.MAC{2, 0, 0, 0, 1, 1}
	lab.Eventually(t, overlay.PollTime, "the MAC behind the port", func() error {
		frame := lab.ARP{Op: 1, SHA: behind, SPA: netip.MustParseAddr("10.0.0.101"), TPA: netip.MustParseAddr("10.0.0.222")}.Frame(behind, lab.Broadcast)
		if err := vm.SendFrame("eth0", frame); err != nil {
			return err
		}
		var macs []intent.LearnedMAC
		o.Get(o.Hosts[0], &macs, "macs", "acme/lab")
		if len(macs) != 1 || macs[0].MAC != behind || macs[0].Behind != "port "+vm.Port.Ref().String() {
			return fmt.Errorf("told %+v", macs)
		}
		return nil
	})
}
