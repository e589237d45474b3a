package host_test

// What an operator changes on a host behind ovloom's back is noticed, and repaired or named.

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/integration/overlay"
)

// portBecomes polls until a port is shown, on all hosts, as up or with a cause.
func portBecomes(o *overlay.Overlay, ref string, up bool, cause string) {
	o.T.Helper()
	for _, h := range o.Hosts {
		lab.Eventually(o.T, overlay.PollTime, fmt.Sprintf("%s shows port %s up %v", h.Name, ref, up), func() error {
			var p api.Port
			o.Get(h, &p, "port", "show", ref)
			if p.Up != up || !strings.Contains(p.Fault, cause) || cause == "" && p.Fault != "" {
				return fmt.Errorf("port show: %+v", p)
			}
			return nil
		})
	}
	list := o.Run("port", "list", "--no-wait")
	for _, line := range strings.Split(list, "\n") {
		if strings.HasPrefix(line, ref+" ") && strings.HasSuffix(strings.TrimSpace(line), " up") != up {
			o.T.Errorf("port list: %s", line)
		}
	}
}

func warns(s api.Status, words ...string) bool {
	for _, w := range s.Warnings {
		all := true
		for _, word := range words {
			all = all && strings.Contains(w.What, word)
		}
		if all {
			return true
		}
	}
	return false
}

func repaired(s api.Status, words ...string) bool {
	for _, r := range s.Repairs {
		all := true
		for _, word := range words {
			all = all && strings.Contains(r.What+" "+r.Detail, word)
		}
		if all {
			return true
		}
	}
	return false
}

func TestHandsOnPluggedPorts(t *testing.T) {
	o := overlay.New(t, lab.Config{Hosts: 2})
	o.AllowLog("put back", "no openflow connection", "could not open network device", "cannot reconcile the bridges", "Network is down", "No such device", "bind: ")
	first, second := o.Hosts[0], o.Hosts[1]
	o.Run("tenant", "add", "acme")
	o.Run("network", "add", "acme/web", "--subnet", "10.0.0.0/24", "--subnet", "fd00::/64")
	a, b := o.Plug(first, "acme/web/c1"), o.Plug(second, "acme/web/c2")
	o.Reaches(a, b.V4())

	t.Run("the port is taken off the bridge", func(t *testing.T) {
		o := o.With(t)
		o.Exec(first, "ovs-vsctl", "del-port", "br-int", overlay.HostIf(a))
		o.StatusBecomes(first, "told", func(s api.Status) bool { return repaired(s, overlay.HostIf(a), "acme/web/c1", "back on the bridge") })
		o.Reaches(a, b.V4())
		portBecomes(o, "acme/web/c1", true, "")
	})
	t.Run("the bridge is deleted", func(t *testing.T) {
		o := o.With(t)
		o.Exec(first, "ovs-vsctl", "del-br", "br-int")
		o.Reaches(a, b.V4())
		portBecomes(o, "acme/web/c1", true, "")
	})
	t.Run("the link is set down", func(t *testing.T) {
		o := o.With(t)
		o.Exec(first, "ip", "link", "set", overlay.HostIf(a), "down")
		o.StatusBecomes(first, "told", func(s api.Status) bool {
			return repaired(s, overlay.HostIf(a), "down") || repaired(s, overlay.HostIf(a), "bring up")
		})
		o.Reaches(a, b.V4())
	})
	t.Run("the inside is changed", func(t *testing.T) {
		o := o.With(t)
		for _, cmd := range []string{"addr del " + a.V4().String() + "/24 dev eth0", "link set eth0 mtu 1300", "link set eth0 down", "addr flush dev eth0 scope global"} {
			if _, err := a.Exec(t.Context(), append([]string{"ip"}, strings.Fields(cmd)...)...); err != nil {
				t.Fatal(err)
			}
			lab.Eventually(t, overlay.PollTime, "put right after "+cmd, func() error {
				out, err := a.Exec(t.Context(), "ip", "addr", "show", "eth0")
				if err != nil || !strings.Contains(out, a.V4().String()+"/24") || !strings.Contains(out, a.V6().String()+"/64") || !strings.Contains(out, "mtu 1550") || !strings.Contains(out, "state UP") {
					return fmt.Errorf("%v %s", err, out)
				}
				out, err = a.Exec(t.Context(), "ip", "route")
				if err != nil || !strings.Contains(out, "default via 10.0.0.1") {
					return fmt.Errorf("%v %s", err, out)
				}
				return nil
			})
		}
		o.Reaches(a, b.V4())
	})
	t.Run("an address is added inside", func(t *testing.T) {
		o := o.With(t)
		if _, err := a.Exec(t.Context(), "ip", "addr", "add", "192.0.2.77/32", "dev", "eth0"); err != nil {
			t.Fatal(err)
		}
		o.Run("port", "set", "acme/web/c1", "--ip", "10.0.0.99", "--ip", "fd00::99")
		lab.Eventually(t, overlay.PollTime, "the new addresses are inside, exactly", func() error {
			out, err := a.Exec(t.Context(), "ip", "addr", "show", "eth0")
			if err != nil || !strings.Contains(out, "10.0.0.99/24") || !strings.Contains(out, "fd00::99/64") || !strings.Contains(out, "192.0.2.77/32") ||
				strings.Contains(out, a.V4().String()+"/24") || strings.Contains(out, a.V6().String()+"/64") {
				return fmt.Errorf("%v %s", err, out)
			}
			return nil
		})
		o.Reaches(a, b.V4())
		o.Run("network", "set", "acme/web", "--mtu", "1400")
		lab.Eventually(t, overlay.PollTime, "the new MTU is inside", func() error {
			out, err := a.Exec(t.Context(), "ip", "link", "show", "eth0")
			if err != nil || !strings.Contains(out, "mtu 1400") {
				return fmt.Errorf("%v %s", err, out)
			}
			return nil
		})
		o.Reaches(b, v4Now(a, o))
	})
	t.Run("the link is deleted", func(t *testing.T) {
		o := o.With(t)
		o.Exec(first, "ip", "link", "del", overlay.HostIf(a))
		portBecomes(o, "acme/web/c1", false, "interface "+overlay.HostIf(a)+" was deleted")
		o.StatusBecomes(first, "told", func(s api.Status) bool {
			return warns(s, "acme/web/c1", overlay.HostIf(a), "was deleted") && len(s.Ports) == 1 && !s.Ports[0].Up && s.Ports[0].Fault != ""
		})
		if out, err := second.Ovloom(t.Context(), "trace", "acme/web/c2", "acme/web/c1"); strings.Contains(out, "delivered to") {
			t.Errorf("trace: %v\n%s", err, out)
		}
		o.RunOn(first, "port", "plug", "acme/web/c1", "--netns", a.NetNS)
		portBecomes(o, "acme/web/c1", true, "")
		o.Reaches(b, v4Now(a, o))
		o.StatusBecomes(first, "no warning any more", func(s api.Status) bool { return len(s.Warnings) == 0 })
	})
	t.Run("the namespace ends", func(t *testing.T) {
		o := o.With(t)
		o.Exec(first, "ip", "netns", "del", a.NetNS)
		portBecomes(o, "acme/web/c1", false, "the network namespace it was plugged into ("+a.NetNS+") has ended")
		o.StatusBecomes(first, "told", func(s api.Status) bool { return warns(s, "acme/web/c1", "has ended") })
		o.Run("port", "unplug", "acme/web/c1")
		portBecomes(o, "acme/web/c1", false, "")
	})
}

// v4Now returns the IPv4 address that the port of a machine has now.
func v4Now(m *overlay.Machine, o *overlay.Overlay) netip.Addr {
	o.T.Helper()
	o.Get(o.Hosts[0], &m.Port, "port", "show", m.Port.Ref().String())
	return m.V4()
}
