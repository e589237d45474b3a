package main

// This file shows packets that must be dropped, that they are, and the counters of the sender's
// host.

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"github.com/ovloom/ovloom/integration/lab"
)

// trial is an attempt of acme/web/c1 that must fail.
type trial struct {
	what    string
	prepare []string // commands before the ping
	ping    []string // after ping's common flags; the last is the address
	victim  *machine // must receive nothing
	control *machine // may talk to the victim, and shows that the victim is reachable
	reason  string   // why the sender's host drops the packets
}

// refuse shows that tenants and networks are isolated.
func (d *demo) refuse(ctx context.Context) error {
	d.section("And no others")
	c1 := d.find("acme/web/c1")
	if err := d.twins(ctx, c1, d.find("acme/web/c2"), d.find("umbrella/web/c2")); err != nil {
		return err
	}

	safe, vault, db := d.find("umbrella/web/safe"), d.find("umbrella/vault/v1"), d.find("acme/db/d1")
	forged := "10.0.0.77"
	for _, t := range []trial{
		{
			what: fmt.Sprintf("Another tenant: %s is at %s, an address that no port of acme/web has.", safe.ref, safe.v4),
			ping: []string{safe.v4.String()}, victim: safe, control: d.find("umbrella/web/c1"),
			reason: "no-such-address",
		},
		{
			what:    "The same with the MAC known: a neighbour entry leads straight to the other tenant's port.",
			prepare: []string{fmt.Sprintf("ip neigh replace %s lladdr %s dev eth0", safe.v4, safe.mac)},
			ping:    []string{safe.v4.String()}, victim: safe, control: d.find("umbrella/web/c1"),
			reason: "unknown-destination",
		},
		{
			what: fmt.Sprintf("By the gateway: %s at %s is in a network that only the other tenant has.", vault.ref, vault.v4),
			ping: []string{vault.v4.String()}, victim: vault, control: d.find("umbrella/web/c1"),
			reason: "no-route",
		},
		{
			what: fmt.Sprintf("Another network of the same tenant, %s, MAC known: the way there is the gateway, and no other.", db.ref),
			prepare: []string{
				fmt.Sprintf("ip route add %s dev eth0", db.v4),
				fmt.Sprintf("ip neigh replace %s lladdr %s dev eth0", db.v4, db.mac),
			},
			ping: []string{db.v4.String()}, victim: db,
			reason: "unknown-destination",
		},
		{
			what:    "The own network, with a source address that is not the port's.",
			prepare: []string{"ip addr add " + forged + "/32 dev eth0"},
			ping:    []string{"-I", forged, d.find("acme/web/c2").v4.String()},
			victim:  d.find("acme/web/c2"), control: c1, reason: "spoof-ipv4",
		},
	} {
		if err := d.try(ctx, c1, t); err != nil {
			return err
		}
	}
	return nil
}

// twins shows that of two machines with one address, only the one in the sender's tenant
// receives the ping.
func (d *demo) twins(ctx context.Context, from, to, twin *machine) error {
	d.say(fmt.Sprintf("%s and %s, on %s, both are %s. Whom does %s reach?\n", to.ref, twin.ref, to.Host.Name, to.v4, from.ref))
	heard := map[*machine]*lab.Capture{}
	for _, m := range []*machine{to, twin} {
		c, err := m.Capture("eth0")
		if err != nil {
			return err
		}
		defer c.Close()
		heard[m] = c
	}
	// Both machines exist, and both captures work.
	for _, peer := range []struct{ from, to *machine }{{from, to}, {d.find("umbrella/web/c1"), twin}} {
		if err := d.hears(ctx, heard[peer.to], peer.from, peer.to); err != nil {
			return err
		}
	}
	heard[to].Reset()
	heard[twin].Reset()
	const pings = 3
	if err := d.in(ctx, from, "ping", "-q", "-c", fmt.Sprint(pings), "-i", "0.2", to.v4.String()); err != nil {
		return err
	}
	if n := heard[to].Count(requestTo(to.v4)); n != pings {
		return fmt.Errorf("%s heard %d pings of %d", to.ref, n, pings)
	}
	if found := heard[twin].Packets(lab.IsEcho); len(found) > 0 {
		return fmt.Errorf("%s heard what was not for it: %s", twin.ref, found[0])
	}
	d.ok("%s heard %d pings; %s, which hears its own tenant's, heard none of them", to.ref, pings, twin.ref)
	return nil
}

// try shows one trial: the ping is not answered, the victim receives nothing, and the sender's
// host counts a drop for the reason.
func (d *demo) try(ctx context.Context, from *machine, t trial) error {
	d.say("\n" + t.what + "\n")
	heard, err := t.victim.Capture("eth0")
	if err != nil {
		return err
	}
	defer heard.Close()
	if t.control != nil {
		if err := d.hears(ctx, heard, t.control, t.victim); err != nil {
			return err
		}
	}
	before, err := d.drops(ctx, from.Host, t.reason)
	if err != nil {
		return err
	}
	heard.Reset()

	for _, command := range t.prepare {
		if err := d.in(ctx, from, strings.Fields(command)...); err != nil {
			return err
		}
	}
	err = d.in(ctx, from, append([]string{"ping", "-q", "-c", "1", "-W", "0.5"}, t.ping...)...)
	switch lab.ExitCode(err) {
	case 1: // ping(8): no reply at all
	case 0:
		return fmt.Errorf("the ping was answered")
	default:
		return err
	}
	if found := heard.Packets(anyOf(lab.IsEcho, sentBy(from))); len(found) > 0 {
		return fmt.Errorf("%s heard what was not for it: %s", t.victim.ref, found[0])
	}
	var dropped int
	err = until(ctx, func() error {
		after, err := d.drops(ctx, from.Host, t.reason)
		if dropped = after - before; err == nil && dropped < 1 {
			err = fmt.Errorf("%s has dropped no packet for %s", from.Host.Name, t.reason)
		}
		return err
	})
	if err != nil {
		return err
	}
	d.ok("no answer; %s heard nothing; %s dropped %d: %s", t.victim.ref, from.Host.Name, dropped, t.reason)
	return nil
}

// hears checks that a capture at a machine sees pings of another machine, so that an empty
// capture afterwards means something.
func (d *demo) hears(ctx context.Context, c *lab.Capture, from, at *machine) error {
	return until(ctx, func() error {
		if _, err := from.Ping(ctx, at.v4); err != nil {
			return err
		}
		if c.Count(requestTo(at.v4)) == 0 {
			return fmt.Errorf("%s does not hear %s", at.ref, from.ref)
		}
		return nil
	})
}

// requestTo matches echo requests to an address.
func requestTo(a netip.Addr) lab.Match {
	return func(p lab.Packet) bool {
		return p.Proto == lab.ProtoICMP && p.ICMPType == lab.ICMPEchoRequest && p.IPDst == a
	}
}

// sentBy matches packets with the machine's MAC as source.
func sentBy(m *machine) lab.Match {
	return func(p lab.Packet) bool { return p.Src.String() == m.mac }
}

func anyOf(matches ...lab.Match) lab.Match {
	return func(p lab.Packet) bool {
		for _, m := range matches {
			if m(p) {
				return true
			}
		}
		return false
	}
}
