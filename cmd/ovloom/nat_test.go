package main

import (
	"testing"

	"github.com/ovloom/ovloom/intent"
)

// addPorts adds tenants acme and umbrella, whose networks have the same subnet.
func (s *session) addPorts() {
	s.t.Helper()
	for _, line := range []string{"tenant add acme", "tenant add umbrella", "network add acme/web --subnet 10.0.1.0/24 --subnet fd00:1::/64", "network add acme/db --subnet 10.0.2.0/24",
		"network add umbrella/web --subnet 10.0.1.0/24", "port add acme/web/c1 --ip 10.0.1.7,fd00:1::7", "port add acme/web/c2 --ip 10.0.1.8", "port add acme/db/c3", "port add umbrella/web/c1"} {
		if out, errs, code := s.exec(line); code != 0 {
			s.t.Fatalf("%s: %s%s", line, out, errs)
		}
	}
}

func TestRoute(t *testing.T) {
	s := newSession(t)
	s.addPorts()
	s.run("route list", "route add acme 10.9.0.0/16 --via 10.0.1.7", "route add acme 10.9.0.0/16 --via 10.0.1.8", "route add acme 10.9.1.0/24 --via 10.0.1.8 --via 10.0.2.9", "route add acme 10.9.1.1 --via 10.0.1.7,10.0.1.8 -o json",
		"route add acme fd00:9::/48 --via fd00:1::7", "route add acme 0.0.0.0/0 --via 10.0.1.254", "route add umbrella 10.9.0.0/16 --via 10.0.1.2",
		"route add acme 10.8.0.0/16 --via 10.7.0.1", "route add nobody 10.9.0.0/16 --via 10.0.1.7",
		"route list", "route list umbrella -o json", "route list nobody", "port plug acme/web/c1 --netns c1", "route show acme 10.9.1.0/24", "route show acme 10.9.0.0/16", "route show acme fd00:9::/48 -o json", "route show acme 10.10.0.0/16",
		"route set acme 10.9.0.0/16 --via 10.0.1.8 --via 10.0.1.7", "route set acme 10.9.0.0/16 --via 10.6.0.1", "route set acme 10.10.0.0/16 --via 10.0.1.7", "route set acme 0.0.0.0/0 --via 10.0.1.253 -o json",
		"tenant show acme", "network show acme/web", "network show acme/db", "port show acme/web/c1", "port show acme/web/c1 -o json",
		"network delete acme/db", "route delete acme 10.9.1.0/24 --dry-run", "route delete acme 10.9.1.0/24", "route delete acme 10.9.1.0/24", "route delete acme fd00:9::/48 -o json", "network delete acme/web --cascade --dry-run", "route list acme")
	s.golden("route")
}

func TestExternal(t *testing.T) {
	s := newSession(t)
	s.addPorts()
	s.run("external list", "external add internet --host", "external add internet --host", "external add other --host",
		"external add campus --bridge br-ex --subnet 203.0.113.0/24 --gateway 203.0.113.1 --pool 203.0.113.10-203.0.113.13 --mtu 1400 --allow 192.0.2.5,192.0.2.0/28 -o json",
		"external list", "external list -o json", "external show internet", "external show campus", "external show nope",
		"external set internet --allow 192.0.2.0/28 --allow 198.51.100.7", "external set internet --no-allow 192.0.2.0/28", "external set internet --no-allow 192.0.2.0/28", "external set campus --pool 203.0.113.10-203.0.113.12 --mtu 1300 -o json", "external set nope --allow 192.0.2.0/28",
		"nat snat add acme --external internet", "nat forward add acme --external internet --tcp 8080 --to acme/web/c1:80", "nat snat add umbrella --external campus", "nat floating add acme/web/c1")
	s.host.TakeNATAddress(intent.SNATRef{Tenant: "umbrella", External: "campus"}, "host2")
	s.run("external show internet", "external show campus", "external show campus -o json", "nat floating add acme/web/c2", "nat floating add acme/db/c3",
		"external delete campus", "external delete campus --cascade --dry-run", "external delete campus --cascade", "external delete internet --cascade -o json", "external delete internet", "external list -o json", "nat list -o json")
	s.golden("external")
}

// TestOutIsTwoCommands is the way from nothing to the internet.
func TestOutIsTwoCommands(t *testing.T) {
	s := newSession(t)
	s.addPorts()
	s.run("nat snat add acme", "external add internet --host", "nat snat add acme")
	s.golden("out")
}

func TestNAT(t *testing.T) {
	s := newSession(t)
	s.addPorts()
	s.run("nat list", "nat floating add acme/web/c1", "external add internet --host", "nat floating add acme/web/c1", "nat floating add acme/web/c1 --external internet",
		"external add campus --bridge br-ex --subnet 203.0.113.0/24 --pool 203.0.113.10-203.0.113.20",
		"nat snat add acme", "nat snat add acme --external nope", "nat snat add nobody --external internet", "nat snat add acme --external internet --max-connections 5000", "nat snat add acme --external campus", "nat snat add umbrella --external campus -o json",
		"nat snat list", "nat snat set acme --max-connections 0", "nat snat set nobody --max-connections 1", "nat snat show acme", "nat snat show umbrella")
	s.host.TakeNATAddress(intent.SNATRef{Tenant: "umbrella", External: "campus"}, "host2")
	s.host.TakeNATAddress(intent.SNATRef{Tenant: "umbrella", External: "campus"}, "host1")
	s.run("nat snat show umbrella", "nat snat show umbrella -o json", "nat snat list -o json",
		"nat floating show acme/web/c1", "nat floating add acme/web/c1", "nat floating add acme/web/c1", "nat floating add acme/web/c2 --address 203.0.113.20 -o json", "nat floating add acme/db/c3 --address 203.0.113.20", "nat floating add acme/db/c3 --address 203.0.113.99", "nat floating add acme/web/c9",
		"port plug acme/web/c1 --netns c1", "nat floating list", "nat floating list umbrella", "nat floating show acme/web/c1", "nat floating show acme/web/c1 --external internet", "nat floating show acme/web/c2 -o json",
		"nat forward add acme --external internet --tcp 8080 --to acme/web/c1:80", "nat forward add acme --external internet --tcp 8080 --to acme/web/c2:80", "nat forward add acme --external campus --tcp 8080 --to acme/web/c2:80 -o json", "nat forward add acme --external campus --udp 53 --to acme/web/c1:53",
		"nat forward add acme --tcp 81 --to acme/web/c1:80", "nat forward add acme --external campus --sctp 7 --to acme/web/c9:7", "nat forward add acme --external campus --udp 54 --to acme/web/c1:53 --address 203.0.113.15",
		"nat forward list", "nat forward list acme -o json", "nat forward show acme --external internet --tcp 8080", "nat forward show acme --tcp 8080", "nat forward show acme --udp 53", "nat forward show acme --udp 99", "nat forward show acme --external campus --udp 53 -o json",
		"nat list", "nat list umbrella", "nat list nobody", "tenant show acme", "port show acme/web/c1", "port show acme/web/c1 -o json", "port list acme/web -o json",
		"port delete acme/web/c2", "port delete acme/web/c2 --cascade", "nat forward delete acme --tcp 8080", "nat forward delete acme --tcp 8080 --external internet", "nat forward delete acme --udp 53 --dry-run", "nat floating delete acme/web/c1", "nat floating delete acme/web/c1",
		"nat snat delete umbrella -o json", "nat snat delete umbrella", "tenant delete acme --cascade", "nat list -o json")
	s.golden("nat")
}

func TestNATIsLate(t *testing.T) {
	s := newSession(t)
	s.addPorts()
	s.run("external add internet --host")
	s.host.SetPending("host2")
	s.run("nat snat add acme --timeout 700ms", "route add acme 10.9.0.0/16 --via 10.0.1.7 --timeout 700ms", "nat snat delete acme --timeout 700ms", "external set internet --allow 192.0.2.5 --timeout 700ms")
	s.golden("nat-late")
}
