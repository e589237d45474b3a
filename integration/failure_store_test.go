package integration_test

// What must hold while the store is down, and when it comes back.

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ovloom/ovloom/api"
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
	if err != nil || !strings.Contains(out, "store unreachable; showing this host's cached copy") {
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
	// An interface of a port that no copy knows must not hold up the others. It has
	// a port number of its own: else it may get that of an interface which the new
	// ovs-vswitchd opens later, and the flows differ.
	if _, err := up[0].Exec(t.Context(), "ovs-vsctl", "--no-wait", "add-port", "br-int", "stray", "--",
		"set", "Interface", "stray", "type=internal", "ofport_request=1000", "external_ids:iface-id=acme/web/stray"); err != nil {
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

// A host that was cut off while the history that it lacks was dropped reads
// everything anew.
func TestCompactedWhileAHostIsCutOff(t *testing.T) {
	o := newOverlay(t, lab.Config{Hosts: 2, AllowLog: storeGone})
	o.run("tenant", "add", "acme")
	o.run("network", "add", "acme/web", "--subnet", "10.0.0.0/24")
	a, b := o.plug(o.Hosts[0], "acme/web/c1"), o.plug(o.Hosts[1], "acme/web/c2")
	gone := o.plug(o.Hosts[0], "acme/web/gone")
	o.reaches(a, b.v4())

	h := o.Hosts[1]
	if err := h.ManagementDown(); err != nil {
		t.Fatal(err)
	}
	// Else what happens meanwhile would wait in the connection.
	if err := o.Hosts[0].Ovloomd.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := o.Hosts[0].StartOvloomd(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.runOn(gone.Host, "port", "unplug", "acme/web/gone")
	o.run("port", "delete", "acme/web/gone", "--no-wait")
	// Not the deleted port's address, which others may take for the old MAC's a while.
	o.run("port", "add", "acme/web/c3", "--ip", "10.0.0.33", "--no-wait")
	c := o.plugExisting(o.Hosts[0], "acme/web/c3")
	o.run("store", "compact")
	o.connection(h, "store", false)
	o.reaches(a, b.v4()) // the underlay is another network
	if err := h.ManagementUp(); err != nil {
		t.Fatal(err)
	}
	o.reaches(b, c.v4())
	if out, err := h.Ovloomd.Output(); err != nil || !strings.Contains(out, "fell behind the store's compaction") {
		t.Errorf("the host did not need what was dropped: %v", err)
	}
	lab.Eventually(t, pollTime, "the deleted port to be gone on "+h.Name, func() error {
		if flows := o.dump(h); strings.Contains(flows, gone.port.MAC.String()) {
			return errors.New("its flows are there")
		}
		return nil
	})
}

// A backup brings back what was deleted since, on every host, and takes away what
// was added since.
func TestBackupAndRestore(t *testing.T) {
	o := newOverlay(t, lab.Config{AllowLog: storeGone})
	o.run("tenant", "add", "acme")
	o.run("network", "add", "acme/web", "--subnet", "10.0.0.0/24")
	a, b, c := o.plug(o.Hosts[0], "acme/web/c1"), o.plug(o.Hosts[1], "acme/web/c2"), o.plug(o.Hosts[2], "acme/web/c3")
	o.reaches(b, c.v4())
	before := map[*lab.Host]string{}
	for _, h := range o.Hosts {
		before[h] = o.dump(h)
	}
	backup := o.Dir + "/backup"
	o.runOn(o.Hosts[2], "store", "backup", backup) // from any host

	o.run("tenant", "delete", "acme", "--cascade")
	o.run("tenant", "add", "umbrella")
	if _, err := b.Ping(t.Context(), c.v4()); err == nil {
		t.Error("a deleted port answers")
	}

	h := o.Hosts[0]
	if _, err := h.Ovloom(t.Context(), "store", "restore", backup, "--state-dir", h.StateDir()); lab.ExitCode(err) != 4 {
		t.Errorf("restoring while ovloomd runs: %v", err)
	}
	if err := h.Ovloomd.Stop(); err != nil {
		t.Fatal(err)
	}
	o.run("store", "restore", backup, "--state-dir", h.StateDir())
	if _, err := h.StartOvloomd(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, from := range []*machine{a, b, c} {
		for _, to := range []*machine{a, b, c} {
			if from != to {
				o.reaches(from, to.v4())
			}
		}
	}
	for _, h := range o.Hosts {
		lab.Eventually(t, pollTime, "the flows of "+h.Name+" to be those of the backup", func() error {
			if after := o.dump(h); after != before[h] {
				return fmt.Errorf("before:\n%s\nafter:\n%s", before[h], after)
			}
			return nil
		})
	}
	var tenants []intent.Tenant
	o.get(h, &tenants, "tenant", "list")
	if len(tenants) != 1 || tenants[0].Name != "acme" {
		t.Errorf("tenants: %v", tenants)
	}
	o.reaches(o.plug(o.Hosts[1], "acme/web/c4"), a.v4())
}

// A host whose copy of one tenant is damaged starts while the store is down: it acts for
// the other tenant, and leaves alone what it does not know.
func TestDamagedCopyWhileTheStoreIsDown(t *testing.T) {
	o := newOverlay(t, lab.Config{AllowLog: storeGone})
	h := o.Hosts[1]
	machines := map[string][2]*machine{}
	for _, tenant := range []string{"acme", "umbrella"} {
		o.run("tenant", "add", tenant)
		o.run("network", "add", tenant+"/web", "--subnet", "10.0.0.0/24")
		machines[tenant] = [2]*machine{o.plug(h, tenant+"/web/c1"), o.plug(o.Hosts[2], tenant+"/web/c2")}
		o.reaches(machines[tenant][0], machines[tenant][1].v4())
	}
	lab.Eventually(t, pollTime, "the copy of acme", func() error {
		out, err := h.Exec(t.Context(), "sh", "-c", "grep -c '\"up\":true' "+h.StateDir()+"/store/span/acme.copy")
		if err == nil && strings.TrimSpace(out) != "2" {
			err = fmt.Errorf("%s bindings are up in it", out)
		}
		return err
	})
	before := o.status(h)

	known, unknown := machines["acme"], machines["umbrella"]
	echo, err := lab.StartEcho(unknown[0].Workload, unknown[1].Workload, unknown[1].v4(), 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []*lab.Process{o.Hosts[0].Ovloomd, h.Ovloomd} {
		if err := p.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := h.Exec(t.Context(), "sh", "-c", "echo rubbish >> "+h.StateDir()+"/store/span/umbrella.copy && sed -i 's/c1/x1/' "+h.StateDir()+"/store/span/umbrella.copy"); err != nil {
		t.Fatal(err)
	}
	if _, err := h.StartOvloomd(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := o.synced(h)
	if !slices.ContainsFunc(s.Warnings, func(w api.Warning) bool {
		return strings.Contains(w.What, "the copy of tenant umbrella on disk is damaged")
	}) {
		t.Errorf("warnings: %+v", s.Warnings)
	}

	// acme's interface takes another number, which concerns its flows.
	i := slices.IndexFunc(before.Ports, func(p api.BoundPort) bool { return p.Port == "acme/web/c1" })
	if i < 0 {
		t.Fatalf("ports: %+v", before.Ports)
	}
	if _, err := h.Vsctl(t.Context(), "set", "Interface", before.Ports[i].Interface, "ofport_request=777"); err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, pollTime, "acme's interface to have its new number", func() error {
		if s := o.status(h); !slices.ContainsFunc(s.Ports, func(p api.BoundPort) bool { return p.OFPort == 777 && p.Up }) {
			return fmt.Errorf("%+v", s.Ports)
		}
		return nil
	})
	o.reaches(known[0], known[1].v4())
	o.reaches(unknown[0], unknown[1].v4())

	if _, err := o.Hosts[0].StartOvloomd(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.connection(h, "store", true)
	lab.Eventually(t, pollTime, "the host to know all again", func() error {
		s := o.status(h)
		for _, w := range s.Warnings {
			if strings.Contains(w.What, "umbrella") {
				return errors.New(w.What)
			}
		}
		for _, p := range s.Ports {
			if !p.Up {
				return fmt.Errorf("%s is not up", p.Port)
			}
		}
		return nil
	})
	if r := echo.Stop(); r.Lost() > r.Sent/100 {
		t.Errorf("%d of %d packets of the tenant that was not known lost", r.Lost(), r.Sent)
	}
	o.reaches(o.plug(h, "umbrella/web/c3"), unknown[1].v4())
}

// A host that cannot tell what it must keep tenants from changes nothing, and says so.
func TestDamagedGuardWhileTheStoreIsDown(t *testing.T) {
	o := newOverlay(t, lab.Config{Hosts: 2, AllowLog: storeGone})
	h := o.Hosts[1]
	o.run("tenant", "add", "acme")
	o.run("network", "add", "acme/web", "--subnet", "10.0.0.0/24")
	a, b := o.plug(h, "acme/web/a"), o.plug(o.Hosts[0], "acme/web/b")
	o.reaches(a, b.v4())
	lab.Eventually(t, pollTime, "the copy of what tenants are kept from", func() error {
		_, err := h.Exec(t.Context(), "test", "-s", h.StateDir()+"/store/guard.copy")
		return err
	})
	for _, p := range []*lab.Process{o.Hosts[0].Ovloomd, h.Ovloomd} {
		if err := p.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := h.Exec(t.Context(), "sh", "-c", "echo rubbish >> "+h.StateDir()+"/store/guard.copy"); err != nil {
		t.Fatal(err)
	}
	before := o.ofctl(h, "dump-flows", "--no-stats", "br-int")
	if _, err := h.StartOvloomd(t.Context()); err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, pollTime, "status to say that nothing is done", func() error {
		if s := o.status(h); !slices.ContainsFunc(s.Warnings, func(w api.Warning) bool {
			return strings.Contains(w.What, "the copy of what tenants are kept from on disk is damaged") && w.Do != ""
		}) {
			return fmt.Errorf("warnings: %+v", s.Warnings)
		}
		return nil
	})
	if after := o.ofctl(h, "dump-flows", "--no-stats", "br-int"); after != before {
		t.Errorf("the flows were\n%s\nand are\n%s", before, after)
	}
	o.reaches(a, b.v4())
	if _, err := o.Hosts[0].StartOvloomd(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.connection(h, "store", true)
	o.synced(h)
	if s := o.status(h); slices.ContainsFunc(s.Warnings, func(w api.Warning) bool {
		return strings.Contains(w.What, "guard") || strings.Contains(w.What, "kept from")
	}) {
		t.Errorf("warnings: %+v", s.Warnings)
	}
}
