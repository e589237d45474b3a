package main

// This file has the acts, in order. Each returns an error if something is not as it should be.

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/ovloom/ovloom/integration/lab"
)

// hosts starts an ovloomd on every host.
func (d *demo) hosts(ctx context.Context) (err error) {
	d.section("Three hosts, joined by an IP network")
	start := time.Now()
	if err := d.StartOvloomd(ctx); err != nil {
		return err
	}
	if d.wires, err = d.CaptureUnderlay(); err != nil {
		return err
	}
	err = until(ctx, func() error {
		var hosts []struct{ Alive bool }
		if err := d.get(ctx, d.Hosts[0], &hosts, "host", "list"); err != nil {
			return err
		}
		alive := 0
		for _, h := range hosts {
			if h.Alive {
				alive++
			}
		}
		if alive != len(d.Hosts) {
			return fmt.Errorf("%d hosts are alive, not %d", alive, len(d.Hosts))
		}
		return nil
	})
	if err != nil {
		return err
	}
	took := time.Since(start)
	if err := d.ovloom(ctx, d.Hosts[0], "host", "list"); err != nil {
		return err
	}
	d.ok("three hosts have registered, %.1f s after the start of their ovloomd", took.Seconds())
	return nil
}

// tenants adds two tenants with equal subnets.
func (d *demo) tenants(ctx context.Context) error {
	d.section("Two tenants, with the same addresses")
	for _, command := range []string{
		"tenant add acme",
		"tenant add umbrella",
		"network add acme/web --subnet 10.0.0.0/24 --subnet fd00::/64",
		"network add umbrella/web --subnet 10.0.0.0/24 --subnet fd00::/64",
		"network add acme/db --subnet 10.0.1.0/24 --subnet fd00:1::/64",
		"network add umbrella/vault --subnet 10.7.0.0/24 --subnet fd00:7::/64",
	} {
		if err := d.ovloom(ctx, d.Hosts[0], strings.Fields(command)...); err != nil {
			return err
		}
	}
	return nil
}

// ports starts containers and plugs each into a port. One of them is shown in full.
func (d *demo) ports(ctx context.Context) error {
	d.section("A port for every container")
	for i, p := range []struct {
		ref   string
		host  int
		flags []string
	}{
		{"acme/web/c1", 0, nil},
		{"acme/web/c2", 1, nil},
		{"acme/web/c3", 2, nil},
		{"umbrella/web/c1", 0, nil},
		{"umbrella/web/c2", 1, nil},
		{"umbrella/web/c3", 2, nil},
		{"umbrella/web/safe", 1, []string{"--ip", "10.0.0.99", "--ip", "fd00::99"}},
		{"acme/db/d1", 1, nil},
		{"umbrella/vault/v1", 2, nil},
	} {
		m, err := d.container(ctx, d.Hosts[p.host], p.ref)
		if err != nil {
			return err
		}
		add := append([]string{"port", "add", p.ref}, p.flags...)
		plug := []string{"port", "plug", p.ref, "--pid", fmt.Sprint(m.pid)}
		if i == 0 {
			if err := d.ovloom(ctx, d.Hosts[0], add...); err != nil {
				return err
			}
			if err := d.ovloom(ctx, m.Host, plug...); err != nil {
				return err
			}
			d.say("\nThe others are added and plugged in the same way, on their hosts.\n")
		} else {
			if _, err := d.Hosts[0].Ovloom(ctx, add...); err != nil {
				return err
			}
			if _, err := m.Host.Ovloom(ctx, plug...); err != nil {
				return err
			}
		}
		if err := d.learn(ctx, m); err != nil {
			return err
		}
	}
	if err := d.ovloom(ctx, d.Hosts[0], "port", "list"); err != nil {
		return err
	}
	d.say("\n" + d.picture() + "\n")
	for i, m := range d.members("acme/web") {
		if twin := d.members("umbrella/web")[i]; m.v4 != twin.v4 || m.v6 != twin.v6 {
			return fmt.Errorf("%s and %s should have the same addresses", m.ref, twin.ref)
		}
	}
	d.ok("acme/web and umbrella/web have the same subnets, and their ports c1, c2 and c3 the same addresses")
	return nil
}

// reach shows that the machines of a network reach each other.
func (d *demo) reach(ctx context.Context) error {
	d.section("Inside a network everybody reaches everybody")
	c1, c2, c3 := d.find("acme/web/c1"), d.find("acme/web/c2"), d.find("acme/web/c3")
	if err := d.in(ctx, c1, "ping", "-c", "3", "-i", "0.2", c2.v4.String()); err != nil {
		return err
	}
	if err := d.in(ctx, c1, "ping", "-c", "1", c3.v6.String()); err != nil {
		return err
	}
	d.say("\nMilliseconds of one ping each, IPv4 / IPv6:\n")
	for _, network := range []string{"acme/web", "umbrella/web"} {
		if err := d.matrix(ctx, d.members(network)); err != nil {
			return err
		}
	}
	d.ok("every pair of ports in a network answers, in IPv4 and IPv6, on one host and across hosts")

	const size = 1 << 20
	t, err := lab.Transfer(ctx, c1.Workload, c3.Workload, c3.v4, size)
	if err != nil {
		return err
	}
	// The ports' MTU of 1550, less the headers of IPv4 and TCP with timestamps.
	if least := 1550 - 20 - 20 - 12; t.MSS < least {
		return fmt.Errorf("TCP segments carry %d bytes, which is less than the %d that the port's MTU allows", t.MSS, least)
	}
	d.ok("TCP across hosts: 1 MiB in %d ms, in segments of %d bytes, as large as the port's MTU allows",
		t.Elapsed.Milliseconds(), t.MSS)
	return nil
}

// matrix pings from each machine to every other one.
func (d *demo) matrix(ctx context.Context, machines []*machine) error {
	line := fmt.Sprintf("%22s", "to")
	for _, m := range machines {
		line += fmt.Sprintf("  %-13s", short(m))
	}
	d.say(strings.TrimRight(line, " "))
	for _, from := range machines {
		line := fmt.Sprintf("%-22s", from.ref)
		for _, to := range machines {
			cell := "-"
			if from != to {
				v4, err := from.Ping(ctx, to.v4)
				if err != nil {
					return err
				}
				v6, err := from.Ping(ctx, to.v6)
				if err != nil {
					return err
				}
				cell = fmt.Sprintf("%s / %s", millis(v4), millis(v6))
			}
			line += fmt.Sprintf("  %-13s", cell)
		}
		d.say(strings.TrimRight(line, " "))
	}
	return nil
}

func millis(t time.Duration) string { return fmt.Sprintf("%.2f", float64(t.Microseconds())/1000) }

// short returns the machine's name within its network.
func short(m *machine) string { return m.ref[strings.LastIndexByte(m.ref, '/')+1:] }

// flows shows the flows that admit one port's packets, and those that lead to the port.
func (d *demo) flows(ctx context.Context) error {
	d.section("The flows of one port, in words")
	if err := d.ovloom(ctx, d.Hosts[0], "flows", "acme/web/c1"); err != nil {
		return err
	}
	d.say("")
	if err := d.ovloom(ctx, d.Hosts[0], "flows", "acme/web/c1", "--table", "fdb", "--long"); err != nil {
		return err
	}
	for _, h := range d.Hosts {
		// Prints how the switch differs from what it should hold, and fails if it does.
		if _, err := h.Ovloom(ctx, "flows", "--diff"); err != nil {
			return err
		}
	}
	d.ok("each of the three switches holds just the flows that it should (ovloom flows --diff)")
	return nil
}

// status shows a host's status.
func (d *demo) status(ctx context.Context) error {
	d.section("How is a host?")
	return d.ovloom(ctx, d.Hosts[0], "status")
}

// until calls try until it succeeds, for long enough even on a busy machine.
func until(ctx context.Context, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// hostOf returns the name of the host with a VTEP address.
func (d *demo) hostOf(vtep netip.Addr) string {
	for _, h := range d.Hosts {
		if h.VTEP == vtep {
			return h.Name
		}
	}
	return "an unknown host"
}
