package main

// This file shows how tenants reach the outside of the overlay and are reached from there, and
// traces packets.

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"strings"

	"github.com/ovloom/ovloom/integration/lab"
)

// serverPort is the port of the demonstration's servers.
const serverPort = 80

// connect creates the outside and its server.
func (d *demo) connect(ctx context.Context) (err error) {
	if d.outside, err = d.NewOutside(ctx); err != nil {
		return err
	}
	return d.startServer(ctx, d.outside.Workload, "internet")
}

// startServer starts a server in a workload, which answers with its name.
func (d *demo) startServer(ctx context.Context, w *lab.Workload, name string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	_, err = w.Start(ctx, "server", self, serveCommand, name)
	return err
}

// leave shows two machines with one address that use the two kinds of externals.
// externals.
func (d *demo) leave(ctx context.Context) error {
	d.section("To the internet")
	d.say(fmt.Sprintf(`A namespace plays the internet: the server %s behind each host's default route, and a
provider's network, %s, that ends in a bridge %s of each host. One tenant leaves
through the hosts, the other one by the bridge.
`, lab.InternetServer, lab.Campus, lab.CampusBridge))
	for _, command := range []string{
		"external add internet --host",
		fmt.Sprintf("external add campus --bridge %s --subnet %s --gateway %s --pool 203.0.113.10-203.0.113.200",
			lab.CampusBridge, lab.Campus, lab.CampusGateway),
	} {
		if err := d.ovloom(ctx, d.Hosts[0], strings.Fields(command)...); err != nil {
			return err
		}
	}
	d.say("\nWhat a host itself must do for that, ovloom sets only when told to, host by host:\n")
	for _, h := range d.Hosts {
		if err := until(ctx, func() error { return d.hasUplinks(ctx, h) }); err != nil {
			return err
		}
		if err := d.fix(ctx, h); err != nil {
			return err
		}
	}
	d.say("")
	for _, command := range []string{"nat snat add acme --external internet", "nat snat add umbrella --external campus"} {
		if err := d.ovloom(ctx, d.Hosts[0], strings.Fields(command)...); err != nil {
			return err
		}
	}
	d.say("")
	acme, umbrella := d.find("acme/web/c1"), d.find("umbrella/web/c1")
	var seen []netip.Addr
	for _, m := range []*machine{acme, umbrella} {
		who, err := d.ask(ctx, m.ref, m.Workload, netip.AddrPortFrom(lab.InternetServer, serverPort), "internet")
		if err != nil {
			return err
		}
		seen = append(seen, who)
	}
	if want := acme.Host.InternetAddr(); seen[0] != want {
		return fmt.Errorf("the server sees %s as %s, not as %s", acme.ref, seen[0], want)
	}
	if !lab.Campus.Contains(seen[1]) {
		return fmt.Errorf("the server sees %s as %s, which is not in %s", umbrella.ref, seen[1], lab.Campus)
	}
	var snat struct{ Address netip.Addr }
	if err := d.get(ctx, d.Hosts[0], &snat, "nat", "snat", "show", "acme"); err != nil {
		return err
	}
	d.say("")
	d.way(acme, fmt.Sprintf("%s --[ ovl0 of %s ]-- %s ", snat.Address, acme.Host.Name, seen[0]))
	d.way(umbrella, fmt.Sprintf("%s --[ %s ]", seen[1], lab.CampusBridge))
	d.say("")
	d.ok("both are %s inside; outside they are %s, which is %s's own, and %s, which is of the pool",
		acme.v4, seen[0], acme.Host.Name, seen[1])
	return nil
}

// way draws how a machine's packets reach the server: their addresses between the switches.
func (d *demo) way(m *machine, beyond string) {
	line := fmt.Sprintf("  %-15s  %s --[ br-int ]-- %s", m.ref, m.v4, beyond)
	const width = 90
	d.say(line + strings.Repeat("-", max(1, width-len(line))) + "> " + lab.InternetServer.String())
}

// fix applies a host's missing settings, and shows them.
func (d *demo) fix(ctx context.Context, h *lab.Host) error {
	// The settings are printed on stderr.
	const line = "ovloom status --fix >/dev/null"
	d.command(h.Name, []string{line})
	out, err := h.Exec(ctx, "env", "PATH="+lab.Programs()+":"+os.Getenv("PATH"), "sh", "-c", "exec 2>&1; "+line)
	d.output(out)
	return err
}

// hasUplinks returns nil once a host's switch has both uplinks.
func (d *demo) hasUplinks(ctx context.Context, h *lab.Host) error {
	var status struct {
		Uplinks []struct {
			External string
			OFPort   int
			Fault    string
		}
	}
	if err := d.get(ctx, h, &status, "status"); err != nil {
		return err
	}
	ready := 0
	for _, u := range status.Uplinks {
		if u.OFPort == 0 {
			return fmt.Errorf("%s has no way to external %s: %s", h.Name, u.External, u.Fault)
		}
		ready++
	}
	if ready != 2 {
		return fmt.Errorf("%s has ways to %d externals, not to 2", h.Name, ready)
	}
	return nil
}

// enter shows machines that are reached from outside.
func (d *demo) enter(ctx context.Context) error {
	d.section("And from the internet")
	acme, umbrella := d.find("acme/web/c1"), d.find("umbrella/web/c2")
	for _, m := range []*machine{acme, umbrella} {
		if err := d.startServer(ctx, m.Workload, m.ref); err != nil {
			return err
		}
	}
	d.say("A floating address is one port's alone; a forward is one TCP or UDP port of an address.\n")
	for _, command := range []string{
		"nat floating add " + umbrella.ref + " --external campus",
		fmt.Sprintf("nat forward add acme --external internet --tcp 8080 --to %s:%d", acme.ref, serverPort),
	} {
		if err := d.ovloom(ctx, d.Hosts[0], strings.Fields(command)...); err != nil {
			return err
		}
	}
	var floating []struct{ Address netip.Addr }
	if err := d.get(ctx, d.Hosts[0], &floating, "nat", "floating", "list", "umbrella"); err != nil {
		return err
	}
	if len(floating) != 1 {
		return fmt.Errorf("umbrella has %d floating addresses, not 1", len(floating))
	}
	d.say("")
	for _, way := range []struct {
		to   netip.AddrPort
		name string
	}{
		{netip.AddrPortFrom(floating[0].Address, serverPort), umbrella.ref},
		{netip.AddrPortFrom(acme.Host.InternetAddr(), 8080), acme.ref},
	} {
		if _, err := d.ask(ctx, "outside", d.outside.Workload, way.to, way.name); err != nil {
			return err
		}
	}
	d.ok("each reached the one that it is for, which sees the client's own address")
	return nil
}

// ask shows a connection from a workload to a server, and returns the address that the server
// sees. Name is the server's name.
func (d *demo) ask(ctx context.Context, prompt string, w *lab.Workload, to netip.AddrPort, name string) (netip.Addr, error) {
	line := fmt.Sprintf("cat </dev/tcp/%s/%d", to.Addr(), to.Port())
	var out string
	// Objects that were just added may not have reached the switch of another host.
	err := until(ctx, func() (err error) {
		out, err = w.Exec(ctx, "timeout", "3", "bash", "-c", line)
		return err
	})
	d.command(prompt, []string{line})
	d.output(out)
	if err != nil {
		return netip.Addr{}, err
	}
	said, addr, ok := strings.Cut(strings.TrimSpace(out), sees)
	if !ok || said != name {
		return netip.Addr{}, fmt.Errorf("%s answers %q, and not as %s", to, out, name)
	}
	who, err := netip.ParseAddrPort(addr)
	return who.Addr(), err
}

// trace shows the path of a packet that leaves and of a packet that is refused.
func (d *demo) trace(ctx context.Context) error {
	d.section("What becomes of a packet?")
	from, host2 := d.find("acme/web/c1"), d.Hosts[1]
	if err := d.ovloom(ctx, from.Host, "trace", from.ref, lab.InternetServer.String(), "--tcp", "80", "--expect", "left"); err != nil {
		return err
	}
	d.say(fmt.Sprintf("\nThe hosts stay out of reach. Could a tenant send to a VTEP, such as %s of %s, it would forge\n"+
		"tunnel packets of other tenants:\n", host2.VTEP, host2.Name))
	const reason = "vtep"
	before, err := d.drops(ctx, from.Host, reason)
	if err != nil {
		return err
	}
	err = d.in(ctx, from, "ping", "-q", "-c", "1", "-W", "0.5", host2.VTEP.String())
	if lab.ExitCode(err) != 1 { // ping(8): no reply at all
		return fmt.Errorf("the ping of a VTEP: want no answer and exit code 1, got %v", err)
	}
	err = until(ctx, func() error {
		after, err := d.drops(ctx, from.Host, reason)
		if err == nil && after == before {
			err = fmt.Errorf("%s has dropped no packet for %s", from.Host.Name, reason)
		}
		return err
	})
	if err != nil {
		return err
	}
	err = d.ovloom(ctx, from.Host, "trace", from.ref, host2.VTEP.String(), "--udp", fmt.Sprint(lab.VXLANPort), "--expect", "dropped")
	if err != nil {
		return err
	}
	d.ok("the switch says that it would do what it did: dropped, %s", reason)
	return nil
}
