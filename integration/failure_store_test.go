package integration_test

// What must hold while the store is down, and when it comes back.

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/intent"
)

// storeGone are lines that are logged when the test kills the store.
var storeGone = []string{`store`, `etcd`, `cannot keep host`, `cannot tell what is applied`, `cannot mark`, `cannot claim`}

// readsCopy checks that what was there before the store went can be read on a host,
// and that it is said to be a copy.
func (o *overlay) readsCopy(h *lab.Host, ports ...string) {
	o.t.Helper()
	var tenants []intent.Tenant
	o.get(h, &tenants, "tenant", "list")
	if len(tenants) != 1 || tenants[0].Name != "acme" {
		o.t.Errorf("tenants on %s: %v", h.Name, tenants)
	}
	var networks []intent.Network
	o.get(h, &networks, "network", "list", "acme")
	if len(networks) != 1 || networks[0].Name != "web" {
		o.t.Errorf("networks on %s: %v", h.Name, networks)
	}
	var list []intent.Port
	o.get(h, &list, "port", "list", "acme")
	var names []string
	for _, p := range list {
		names = append(names, p.Ref().String())
	}
	if !slices.Equal(names, ports) {
		o.t.Errorf("ports on %s: %v, want %v", h.Name, names, ports)
	}
	out, err := h.Exec(o.t.Context(), "sh", "-c", lab.Programs()+"/ovloom port show "+ports[0]+" 2>&1 >/dev/null")
	if err != nil || !strings.Contains(out, "the store does not answer: this is this host's copy") {
		o.t.Errorf("what is said of a copy: %q, %v", out, err)
	}
}

// unavailable checks that a change fails as unavailable.
func (o *overlay) unavailable(h *lab.Host, args ...string) {
	o.t.Helper()
	_, err := h.Ovloom(o.t.Context(), args...)
	if code := lab.ExitCode(err); code != 5 || !strings.Contains(err.Error(), "the store does not answer") {
		o.t.Errorf("%v while the store is down: exit code %d: %v", args, code, err)
	}
}

// Without the store packets flow, what is known can be read, changes are refused;
// when it is back, changes are made again.
func TestStoreDownAndBack(t *testing.T) {
	o := newOverlay(t, lab.Config{AllowLog: storeGone})
	o.run("tenant", "add", "acme")
	o.run("network", "add", "acme/web", "--subnet", "10.0.0.0/24", "--subnet", "fd00:1::/64")
	a, b, c := o.plug(o.Hosts[0], "acme/web/c1"), o.plug(o.Hosts[1], "acme/web/c2"), o.plug(o.Hosts[2], "acme/web/c3")
	o.reaches(b, c.v4())
	o.reaches(b, a.v4())
	ports := []string{"acme/web/c1", "acme/web/c2", "acme/web/c3"}

	echo, err := lab.StartEcho(b.Workload, c.Workload, c.v4(), 100)
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Hosts[0].Ovloomd.Kill(); err != nil {
		t.Fatal(err)
	}
	h := o.Hosts[1]
	o.connection(h, "store", false)
	o.readsCopy(h, ports...)
	o.unavailable(h, "port", "add", "acme/web/c4")
	o.unavailable(h, "tenant", "show", "umbrella") // no copy: it may exist
	o.reaches(b, a.v6())                           // also to the host without ovloomd
	if r := echo.Stop(); r.Lost() > r.Sent/100 {
		t.Errorf("%d of %d packets lost while the store went", r.Lost(), r.Sent)
	}

	if _, err := o.Hosts[0].StartOvloomd(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.connection(h, "store", true)
	o.reaches(a, o.plug(h, "acme/web/c4").v4())
}

// Hosts that start while the store is down forward from their copies on disk.
func TestAllStartWhileTheStoreIsDown(t *testing.T) {
	o := newOverlay(t, lab.Config{AllowLog: append(slices.Clone(vswitchdGone), storeGone...)})
	o.run("tenant", "add", "acme")
	o.run("network", "add", "acme/web", "--subnet", "10.0.0.0/24")
	o.plug(o.Hosts[0], "acme/web/c1")
	b, c := o.plug(o.Hosts[1], "acme/web/c2"), o.plug(o.Hosts[2], "acme/web/c3")
	o.reaches(b, c.v4())
	up := o.Hosts[1:]
	before := map[*lab.Host]string{}
	for _, h := range up {
		before[h] = o.dump(h)
	}
	// Copies are written a moment after what they copy.
	for _, h := range up {
		lab.Eventually(t, pollTime, "the copy of "+h.Name, func() error {
			out, err := h.Exec(t.Context(), "sh", "-c", "grep -c '\"up\":true' "+h.StateDir()+"/store/span/acme.copy")
			if err == nil && strings.TrimSpace(out) != "3" {
				err = fmt.Errorf("%s bindings are up in it", out)
			}
			return err
		})
	}
	for _, h := range o.Hosts {
		for _, p := range []*lab.Process{h.Ovloomd, h.Vswitchd} {
			if err := p.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	// An interface of a port that no copy knows must not hold up the others.
	if _, err := up[0].Exec(t.Context(), "ovs-vsctl", "--no-wait", "add-port", "br-int", "stray", "--",
		"set", "Interface", "stray", "type=internal", "external_ids:iface-id=acme/web/stray"); err != nil {
		t.Fatal(err)
	}
	for _, h := range up {
		if err := h.StartVswitchd(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := h.StartOvloomd(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	o.reaches(b, c.v4())
	t.Logf("traffic was back %s after the last ovloomd answered", time.Since(began).Round(time.Millisecond))
	for _, h := range up {
		lab.Eventually(t, pollTime, "all flows of "+h.Name+" to be back", func() error {
			if after := o.dump(h); after != before[h] {
				return fmt.Errorf("before:\n%s\nafter:\n%s", before[h], after)
			}
			return nil
		})
		o.readsCopy(h, "acme/web/c1", "acme/web/c2", "acme/web/c3")
	}

	// The store's host comes last, and everything is as it was.
	h := o.Hosts[0]
	if err := h.StartVswitchd(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := h.StartOvloomd(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.connection(up[0], "store", true)
	var show struct {
		Host string `json:"host"`
	}
	lab.Eventually(t, pollTime, "the port to be where it was", func() error {
		if o.get(h, &show, "port", "show", "acme/web/c2"); show.Host != "host2" {
			return errors.New("it is on " + show.Host)
		}
		return nil
	})
	o.reaches(o.plug(h, "acme/web/c4"), b.v4())
	if _, err := up[0].Vsctl(t.Context(), "del-port", "br-int", "stray"); err != nil {
		t.Fatal(err)
	}
}
