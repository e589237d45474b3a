package overlay

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/intent"
)

// Outdoors is an overlay with both kinds of externals and an outside.
type Outdoors struct {
	*Overlay
	Outside *lab.Outside
}

// NewOutdoors starts an overlay with an outside, external internet through the hosts and
// external campus by a bridge, and waits until each host has both uplinks.
func NewOutdoors(t *testing.T, hosts int) *Outdoors {
	t.Helper()
	o := &Outdoors{Overlay: New(t, lab.Config{Hosts: hosts})}
	var err error
	if o.Outside, err = o.NewOutside(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.Run("external", "add", "internet", "--host")
	o.Run("external", "add", "campus", "--bridge", lab.CampusBridge, "--subnet", lab.Campus.String(),
		"--gateway", lab.CampusGateway.String(), "--pool", "203.0.113.10-203.0.113.200")
	for _, h := range o.Hosts {
		lab.Eventually(t, PollTime, h.Name+" to have its uplinks", func() error {
			s := o.Status(h)
			if len(s.Uplinks) != 2 {
				return fmt.Errorf("%d uplinks", len(s.Uplinks))
			}
			for _, u := range s.Uplinks {
				if u.OFPort == 0 {
					return fmt.Errorf("external %s has no port: %s", u.External, u.Fault)
				}
			}
			return nil
		})
		// Only known faults are fixed.
		lab.Eventually(t, PollTime, h.Name+" to forward packets", func() error {
			o.RunOn(h, "status", "--fix")
			for _, u := range o.Status(h).Uplinks {
				if u.Fault != "" {
					return errors.New(u.Fault)
				}
			}
			_, err := h.Exec(t.Context(), "grep", "1", "/proc/sys/net/ipv4/ip_forward")
			return err
		})
	}
	return o
}

// Tenant adds a tenant with one network, which has the same addresses as every other tenant's,
// and a port on each of some hosts.
func (o *Outdoors) Tenant(name string, hosts ...*lab.Host) []*Machine {
	o.T.Helper()
	o.Run("tenant", "add", name)
	// The ports' MTU is larger than the campus', so that fragments are fragmented again.
	o.Run("network", "add", name+"/web", "--subnet", "10.0.1.0/24")
	var machines []*Machine
	for i, h := range hosts {
		machines = append(machines, o.Plug(h, fmt.Sprintf("%s/web/c%d", name, i+1)))
	}
	return machines
}

// SNAT adds SNAT of a tenant on an external.
func (o *Outdoors) SNAT(tenant, external string) intent.SNAT {
	o.T.Helper()
	var s intent.SNAT
	o.Get(o.Hosts[0], &s, "nat", "snat", "add", tenant, "--external", external)
	return s
}

// Float gives a port a floating address on the campus, and returns it.
func (o *Outdoors) Float(port *Machine) netip.Addr {
	o.T.Helper()
	var f intent.Floating
	o.Get(o.Hosts[0], &f, "nat", "floating", "add", port.Port.Ref().String(), "--external", "campus")
	return f.Address
}

// Allow lets tenants reach an address through an external, or revokes that.
func (o *Outdoors) Allow(external string, a netip.Addr, flag string) {
	o.T.Helper()
	o.Run("external", "set", external, flag, netip.PrefixFrom(a, 32).String())
}

// ConnectionsLimited waits until the switch has a connection limit for some zone, so that it
// applies to the next connection.
func (o *Outdoors) ConnectionsLimited(h *lab.Host, limit int) {
	o.T.Helper()
	lab.Eventually(o.T, PollTime, "the limit to be in the switch", func() error {
		out, err := h.Exec(o.T.Context(), "ovs-appctl", "dpctl/ct-get-limits")
		if err == nil && !strings.Contains(out, fmt.Sprintf("limit=%d,", limit)) {
			err = errors.New(out)
		}
		return err
	})
}

// With returns the overlay for a subtest.
func (o *Outdoors) With(t *testing.T) *Outdoors { return &Outdoors{o.Overlay.With(t), o.Outside} }
