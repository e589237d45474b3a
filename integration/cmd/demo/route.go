package main

// This file shows packets between two networks of one tenant.

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
)

// route pings from one network of a tenant to another: the packets have passed one router.
func (d *demo) route(ctx context.Context) error {
	d.section("The networks of a tenant are routed")
	c1, c2, db := d.find("acme/web/c1"), d.find("acme/web/c2"), d.find("acme/db/d1")
	d.say(fmt.Sprintf("%s is a neighbour of %s. %s is in another network:\nthe switch of %s is the router.\n",
		c2.ref, c1.ref, db.ref, c1.Host.Name))
	for _, ping := range []struct {
		to  netip.Addr
		ttl int // of the reply, which its sender sends with 64
	}{
		{c2.v4, 64}, {db.v4, 63}, {db.v6, 63},
	} {
		args := []string{"ping", "-c", "1", "-W", "2", ping.to.String()}
		var out string
		err := until(ctx, func() (err error) {
			out, err = c1.Exec(ctx, args...)
			return err
		})
		d.command(c1.ref, args)
		for line := range strings.Lines(out) {
			if strings.Contains(line, "bytes from") {
				d.output(line)
			}
		}
		if err != nil {
			return err
		}
		if want := fmt.Sprintf("ttl=%d ", ping.ttl); !strings.Contains(out, want) {
			return fmt.Errorf("the answer from %s should have %s: %s", ping.to, want, out)
		}
	}
	d.ok("routed in one step, in IPv4 and IPv6: the time to live is less by one")
	return nil
}
