package integration_test

// What the store admits works: combinations of objects that are in each other's way in
// a switch, or could be.

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/intent"
)

// city is a second subnet on the campus's segment.
var (
	city        = netip.MustParsePrefix("203.0.114.0/24")
	cityGateway = netip.MustParseAddr("203.0.114.1")
)

// addCity adds an external that shares the campus's bridge.
func (o *outdoors) addCity() {
	o.t.Helper()
	if out, err := o.outside.Exec(o.t.Context(), "ip", "address", "add", netip.PrefixFrom(cityGateway, city.Bits()).String(), "dev", "campus0"); err != nil {
		o.t.Fatalf("%v\n%s", err, out)
	}
	o.run("external", "add", "city", "--bridge", lab.CampusBridge, "--subnet", city.String(), "--pool", "203.0.114.10-203.0.114.20")
}

func (o *outdoors) floatOn(m *machine, external string) netip.Addr {
	o.t.Helper()
	var f intent.Floating
	o.get(o.Hosts[0], &f, "nat", "floating", "add", m.port.Ref().String(), "--external", external)
	return f.Address
}

// pings pings an address from outside, and counts what is lost.
func (o *outdoors) pings(to netip.Addr, times int) {
	o.t.Helper()
	lab.Eventually(o.t, pollTime, fmt.Sprintf("a ping of %s", to), func() error {
		_, err := o.outside.Ping(o.t.Context(), to)
		return err
	})
	lost := 0
	for range times {
		if _, err := o.outside.Ping(o.t.Context(), to); err != nil {
			lost++
		}
	}
	if lost > 0 {
		o.t.Errorf("%d of %d pings of %s are lost", lost, times, to)
	}
}

// Two externals of one bridge share its port: the bridge sees the host's MAC at one
// place. A port with an address of each is reached by both, and begins connections with
// the older one.
func TestTwoExternalsOfOneBridge(t *testing.T) {
	o := newOutdoors(t, 2)
	o.addCity()
	tellTale(t, o.outside.Workload, lab.CampusServer)
	acme := o.tenant("acme", o.Hosts[0], o.Hosts[1])
	c1, c2 := acme[0], acme[1]
	tellTale(t, c1.Workload)
	tellTale(t, c2.Workload)
	first, second := o.floatOn(c1, "campus"), o.floatOn(c1, "city")
	other := o.floatOn(c2, "city")

	for _, a := range []netip.Addr{first, second, other} {
		o.pings(a, 30)
	}
	// What comes in by an address is answered by it.
	o.seenAs(o.outside.Workload, "tcp", at(first), 10, lab.CampusGateway)
	o.seenAs(o.outside.Workload, "udp", at(second), 4000, cityGateway)
	o.seenAs(o.outside.Workload, "tcp", at(other), 10, cityGateway)
	o.seenAs(c1.Workload, "tcp", at(lab.CampusServer), 10, first)
	o.seenAs(c2.Workload, "tcp", at(lab.CampusServer), 10, other)
	// From one external to the other, on another host and on the same.
	o.seenAs(c1.Workload, "tcp", at(other), 10, first)
	o.seenAs(c2.Workload, "tcp", at(second), 10, other)

	ports, err := o.Hosts[0].Vsctl(t.Context(), "list-ports", lab.CampusBridge)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(ports, "-out"); n != 1 {
		t.Errorf("%d patch ports of ovloom on %s:\n%s", n, lab.CampusBridge, ports)
	}

	t.Run("one address goes", func(t *testing.T) {
		o := &outdoors{&overlay{o.Lab, t}, o.outside}
		o.run("nat", "floating", "delete", c1.port.Ref().String(), "--external", "campus")
		o.seenAs(c1.Workload, "tcp", at(lab.CampusServer), 10, second)
		o.pings(second, 5)
		// It comes back as the younger one.
		if again := o.floatOn(c1, "campus"); again != first {
			first = again
		}
		o.pings(first, 5)
		o.seenAs(c1.Workload, "tcp", at(lab.CampusServer), 10, second)
		o.run("nat", "floating", "delete", c1.port.Ref().String(), "--external", "campus")
		o.pings(second, 5)
		o.seenAs(c1.Workload, "tcp", at(lab.CampusServer), 10, second)
	})

	// The port stays, whatever external of the bridge is deleted.
	t.Run("one external goes", func(t *testing.T) {
		o := &outdoors{&overlay{o.Lab, t}, o.outside}
		o.run("external", "delete", "campus")
		o.pings(second, 10)
		o.seenAs(c2.Workload, "tcp", at(cityGateway), 10, other)
	})
}

// The first packet of a connection may come in fragments, whatever other ports of the
// address are forwarded.
func TestForwardsTakeFirstPacketsInFragments(t *testing.T) {
	o := newOutdoors(t, 2)
	acme := o.tenant("acme", o.Hosts[0], o.Hosts[1])
	for _, m := range acme {
		tellTale(t, m.Workload)
	}
	var to []netip.AddrPort
	for i, m := range []*machine{acme[0], acme[1], acme[0]} {
		port := uint16(8080 + i)
		a := o.forward("acme", "campus", "--udp", fmt.Sprint(port), fmt.Sprintf("%s:%d", m.port.Ref(), natPort))
		to = append(to, netip.AddrPortFrom(a, port))
	}
	for _, at := range to {
		o.seenAs(o.outside.Workload, "udp", at, 10, lab.CampusGateway)
	}
	for _, at := range to {
		for range 5 { // each a connection of its own
			if _, err := askWho(o.outside.Workload, "udp", at, 4000); err != nil {
				t.Errorf("a first packet in fragments to %s: %v", at, err)
			}
		}
	}
	var connections []intent.Connection
	o.get(o.Hosts[0], &connections, "connections", "acme")
	if !slices.ContainsFunc(connections, func(c intent.Connection) bool {
		return c.Port == acme[0].port.Ref().String() && c.Protocol == "udp" && c.Destination == to[2].String() && c.TranslatedDestination == at(acme[0].v4()).String()
	}) {
		t.Errorf("no connection to %s among %+v", to[2], connections)
	}
	before := o.drops(o.Hosts[0], "no-forward")
	if _, err := askWho(o.outside.Workload, "udp", netip.AddrPortFrom(to[0].Addr(), 9090), 4000); err == nil {
		t.Error("a port that is not forwarded answers")
	}
	o.dropped(o.Hosts[0], "no-forward", before+1)
}

// A static route takes what ports begin. What was asked from outside is answered to the
// outside, and a floating address outranks the default route.
func TestStaticRoutesLeaveAnswersAlone(t *testing.T) {
	o := newOutdoors(t, 2)
	tellTale(t, o.outside.Workload, lab.CampusServer)
	acme := o.tenant("acme", o.Hosts[0], o.Hosts[1], o.Hosts[1])
	c1, c2, router := acme[0], acme[1], acme[2]
	tellTale(t, c1.Workload)
	tellTale(t, c2.Workload)
	floating := o.floatOn(c1, "campus")
	target := fmt.Sprintf("%s:%d", c2.port.Ref(), natPort)
	// The host of the oldest forward's target answers for all: here that is another host.
	o.forward("acme", "campus", "--tcp", "8081", fmt.Sprintf("%s:%d", c1.port.Ref(), natPort))
	forwarded := netip.AddrPortFrom(o.forward("acme", "campus", "--tcp", "8080", target), 8080)
	datagrams := netip.AddrPortFrom(o.forward("acme", "campus", "--udp", "8080", target), 8080)
	right := func() {
		t.Helper()
		o.pings(floating, 5)
		o.seenAs(o.outside.Workload, "tcp", at(floating), 10, lab.CampusGateway)
		o.seenAs(o.outside.Workload, "udp", at(floating), 4000, lab.CampusGateway)
		o.seenAs(o.outside.Workload, "tcp", forwarded, 10, lab.CampusGateway)
		o.seenAs(o.outside.Workload, "udp", datagrams, 4000, lab.CampusGateway)
	}
	right()
	o.run("route", "add", "acme", "0.0.0.0/0", "--via", router.v4().String())
	right()
	o.seenAs(c1.Workload, "tcp", at(lab.CampusServer), 10, floating)
	// Of a port without an address of its own the route takes what it begins, but no answers.
	seenBy := func(from *machine, what string, to netip.Addr) {
		t.Helper()
		c := o.capture(router)
		defer c.Close()
		lab.Eventually(t, pollTime, what, func() error {
			if err := tell(from.Workload, netip.AddrPortFrom(to, 9), what); err != nil {
				return err
			}
			return seen(c, says(what))
		})
	}
	seenBy(c2, "by the default route", lab.CampusServer)
	o.run("route", "add", "acme", lab.Campus.String(), "--via", router.v4().String())
	right()
	seenBy(c1, "by the longer prefix", lab.CampusServer)
	seenBy(c2, "by the longer prefix, too", lab.CampusServer)
	o.run("route", "delete", "acme", lab.Campus.String())
	o.run("nat", "floating", "delete", c1.port.Ref().String(), "--external", "campus")
	seenBy(c1, "without a floating address", lab.CampusServer)
	o.seenAs(o.outside.Workload, "tcp", forwarded, 10, lab.CampusGateway)
}

// What a switch has learned of a network is told in words: behind which port, or host.
func TestLearnedMACsAreTold(t *testing.T) {
	o := newOverlay(t, lab.Config{Hosts: 1})
	o.run("tenant", "add", "acme")
	o.run("network", "add", "acme/lab", "--subnet", "10.0.0.0/24", "--learning")
	vm := o.plug(o.Hosts[0], "acme/lab/vm", "--learn", "2")
	behind := intent.MAC{2, 0, 0, 0, 1, 1}
	lab.Eventually(t, pollTime, "the MAC behind the port", func() error {
		frame := lab.ARP{Op: 1, SHA: behind, SPA: netip.MustParseAddr("10.0.0.101"), TPA: netip.MustParseAddr("10.0.0.222")}.Frame(behind, lab.Broadcast)
		if err := vm.SendFrame("eth0", frame); err != nil {
			return err
		}
		var macs []intent.LearnedMAC
		o.get(o.Hosts[0], &macs, "macs", "acme/lab")
		if len(macs) != 1 || macs[0].MAC != behind || macs[0].Behind != "port "+vm.port.Ref().String() {
			return fmt.Errorf("told %+v", macs)
		}
		return nil
	})
}
