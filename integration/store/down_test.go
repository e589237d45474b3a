package store_test

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
	"github.com/ovloom/ovloom/integration/overlay"
	"github.com/ovloom/ovloom/intent"
)

// readsCopy checks that what was there before the store went can be read on a host,
// and that it is marked as a cached copy.
func readsCopy(o *overlay.Overlay, h *lab.Host, ports ...string) {
	o.T.Helper()
	var tenants []intent.Tenant
	o.Get(h, &tenants, "tenant", "list")
	if len(tenants) != 1 || tenants[0].Name != "acme" {
		o.T.Errorf("tenants on %s: %v", h.Name, tenants)
	}
	var networks []intent.Network
	o.Get(h, &networks, "network", "list", "acme")
	if len(networks) != 1 || networks[0].Name != "web" {
		o.T.Errorf("networks on %s: %v", h.Name, networks)
	}
	var list []intent.Port
	o.Get(h, &list, "port", "list", "acme")
	var names []string
	for _, p := range list {
		names = append(names, p.Ref().String())
	}
	if !slices.Equal(names, ports) {
		o.T.Errorf("ports on %s: %v, want %v", h.Name, names, ports)
	}
	out, err := h.Exec(o.T.Context(), "sh", "-c", lab.Programs()+"/ovloom port show "+ports[0]+" 2>&1 >/dev/null")
	if err != nil || !strings.Contains(out, "store unreachable; showing this host's cached copy") {
		o.T.Errorf("what is said of a copy: %q, %v", out, err)
	}
}

// unavailable checks that a change fails as unavailable.
func unavailable(o *overlay.Overlay, h *lab.Host, args ...string) {
	o.T.Helper()
	_, err := h.Ovloom(o.T.Context(), args...)
	if code := lab.ExitCode(err); code != 5 || !strings.Contains(err.Error(), "the store does not answer") {
		o.T.Errorf("%v while the store is down: exit code %d: %v", args, code, err)
	}
}

// Without the store packets flow, what is known can be read, changes are refused;
// when it is back, changes are made again.
func TestStoreDownAndBack(t *testing.T) {
	o := overlay.New(t, lab.Config{AllowLog: overlay.StoreGone})
	o.Run("tenant", "add", "acme")
	o.Run("network", "add", "acme/web", "--subnet", "10.0.0.0/24", "--subnet", "fd00:1::/64")
	a, b, c := o.Plug(o.Hosts[0], "acme/web/c1"), o.Plug(o.Hosts[1], "acme/web/c2"), o.Plug(o.Hosts[2], "acme/web/c3")
	o.Reaches(b, c.V4())
	o.Reaches(b, a.V4())
	ports := []string{"acme/web/c1", "acme/web/c2", "acme/web/c3"}

	echo, err := lab.StartEcho(b.Workload, c.Workload, c.V4(), 100)
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Hosts[0].Ovloomd.Kill(); err != nil {
		t.Fatal(err)
	}
	h := o.Hosts[1]
	o.ConnectionBecomes(h, "store", false)
	readsCopy(o, h, ports...)
	unavailable(o, h, "port", "add", "acme/web/c4")
	unavailable(o, h, "tenant", "show", "umbrella") // no copy: it may exist
	o.Reaches(b, a.V6())                            // also to the host without ovloomd
	if r := echo.Stop(); r.Lost() > r.Sent/100 {
		t.Errorf("%d of %d packets lost while the store went", r.Lost(), r.Sent)
	}

	if _, err := o.Hosts[0].StartOvloomd(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.ConnectionBecomes(h, "store", true)
	o.Reaches(a, o.Plug(h, "acme/web/c4").V4())
}

// Hosts that start while the store is down forward from their cached copies.
func TestAllStartWhileTheStoreIsDown(t *testing.T) {
	o := overlay.New(t, lab.Config{AllowLog: append(slices.Clone(overlay.VswitchdGone), overlay.StoreGone...)})
	o.Run("tenant", "add", "acme")
	o.Run("network", "add", "acme/web", "--subnet", "10.0.0.0/24")
	o.Plug(o.Hosts[0], "acme/web/c1")
	b, c := o.Plug(o.Hosts[1], "acme/web/c2"), o.Plug(o.Hosts[2], "acme/web/c3")
	o.Reaches(b, c.V4())
	up := o.Hosts[1:]
	before := map[*lab.Host]string{}
	for _, h := range up {
		before[h] = o.Dump(h)
	}
	// Cached copies are written a moment after what they copy.
	for _, h := range up {
		lab.Eventually(t, overlay.PollTime, "the copy of "+h.Name, func() error {
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
	// An interface of a port that is in no cached copy must not hold up the others. It has
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
	o.Reaches(b, c.V4())
	t.Logf("traffic was back %s after the last ovloomd answered", time.Since(began).Round(time.Millisecond))
	for _, h := range up {
		lab.Eventually(t, overlay.PollTime, "all flows of "+h.Name+" to be back", func() error {
			if after := o.Dump(h); after != before[h] {
				return fmt.Errorf("before:\n%s\nafter:\n%s", before[h], after)
			}
			return nil
		})
		readsCopy(o, h, "acme/web/c1", "acme/web/c2", "acme/web/c3")
	}

	// The store's host comes last, and everything is as it was.
	h := o.Hosts[0]
	if err := h.StartVswitchd(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := h.StartOvloomd(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.ConnectionBecomes(up[0], "store", true)
	var show struct {
		Host string `json:"host"`
	}
	lab.Eventually(t, overlay.PollTime, "the port to be where it was", func() error {
		if o.Get(h, &show, "port", "show", "acme/web/c2"); show.Host != "host2" {
			return errors.New("it is on " + show.Host)
		}
		return nil
	})
	o.Reaches(o.Plug(h, "acme/web/c4"), b.V4())
	if _, err := up[0].Vsctl(t.Context(), "del-port", "br-int", "stray"); err != nil {
		t.Fatal(err)
	}
}

// A host that was cut off while the history that it lacks was dropped reads
// everything again.
func TestCompactedWhileAHostIsCutOff(t *testing.T) {
	o := overlay.New(t, lab.Config{Hosts: 2, AllowLog: overlay.StoreGone})
	o.Run("tenant", "add", "acme")
	o.Run("network", "add", "acme/web", "--subnet", "10.0.0.0/24")
	a, b := o.Plug(o.Hosts[0], "acme/web/c1"), o.Plug(o.Hosts[1], "acme/web/c2")
	gone := o.Plug(o.Hosts[0], "acme/web/gone")
	o.Reaches(a, b.V4())

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
	o.RunOn(gone.Host, "port", "unplug", "acme/web/gone")
	o.Run("port", "delete", "acme/web/gone", "--no-wait")
	// Not the deleted port's address, which others may take for the old MAC's a while.
	o.Run("port", "add", "acme/web/c3", "--ip", "10.0.0.33", "--no-wait")
	c := o.PlugExisting(o.Hosts[0], "acme/web/c3")
	o.Run("store", "compact")
	o.ConnectionBecomes(h, "store", false)
	o.Reaches(a, b.V4()) // the underlay is another network
	if err := h.ManagementUp(); err != nil {
		t.Fatal(err)
	}
	o.Reaches(b, c.V4())
	if out, err := h.Ovloomd.Output(); err != nil || !strings.Contains(out, "fell behind the compaction of the store") {
		t.Errorf("the host did not need what was dropped: %v", err)
	}
	lab.Eventually(t, overlay.PollTime, "the deleted port to be gone on "+h.Name, func() error {
		if flows := o.Dump(h); strings.Contains(flows, gone.Port.MAC.String()) {
			return errors.New("its flows are there")
		}
		return nil
	})
}

// A backup brings back what was deleted since, on every host, and takes away what
// was added since.
func TestBackupAndRestore(t *testing.T) {
	o := overlay.New(t, lab.Config{AllowLog: overlay.StoreGone})
	o.Run("tenant", "add", "acme")
	o.Run("network", "add", "acme/web", "--subnet", "10.0.0.0/24")
	a, b, c := o.Plug(o.Hosts[0], "acme/web/c1"), o.Plug(o.Hosts[1], "acme/web/c2"), o.Plug(o.Hosts[2], "acme/web/c3")
	o.Reaches(b, c.V4())
	before := map[*lab.Host]string{}
	for _, h := range o.Hosts {
		before[h] = o.Dump(h)
	}
	backup := o.Dir + "/backup"
	o.RunOn(o.Hosts[2], "store", "backup", backup) // from any host

	o.Run("tenant", "delete", "acme", "--cascade")
	o.Run("tenant", "add", "umbrella")
	if _, err := b.Ping(t.Context(), c.V4()); err == nil {
		t.Error("a deleted port answers")
	}

	h := o.Hosts[0]
	if _, err := h.Ovloom(t.Context(), "store", "restore", backup, "--state-dir", h.StateDir()); lab.ExitCode(err) != 4 {
		t.Errorf("restoring while ovloomd runs: %v", err)
	}
	if err := h.Ovloomd.Stop(); err != nil {
		t.Fatal(err)
	}
	o.Run("store", "restore", backup, "--state-dir", h.StateDir())
	if _, err := h.StartOvloomd(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, from := range []*overlay.Machine{a, b, c} {
		for _, to := range []*overlay.Machine{a, b, c} {
			if from != to {
				o.Reaches(from, to.V4())
			}
		}
	}
	for _, h := range o.Hosts {
		lab.Eventually(t, overlay.PollTime, "the flows of "+h.Name+" to be those of the backup", func() error {
			if after := o.Dump(h); after != before[h] {
				return fmt.Errorf("before:\n%s\nafter:\n%s", before[h], after)
			}
			return nil
		})
	}
	var tenants []intent.Tenant
	o.Get(h, &tenants, "tenant", "list")
	if len(tenants) != 1 || tenants[0].Name != "acme" {
		t.Errorf("tenants: %v", tenants)
	}
	o.Reaches(o.Plug(o.Hosts[1], "acme/web/c4"), a.V4())
}

// A host whose cached copy of one tenant is damaged starts while the store is down: it acts for
// the other tenant, and leaves alone what it does not know.
func TestDamagedCopyWhileTheStoreIsDown(t *testing.T) {
	o := overlay.New(t, lab.Config{AllowLog: overlay.StoreGone})
	h := o.Hosts[1]
	machines := map[string][2]*overlay.Machine{}
	for _, tenant := range []string{"acme", "umbrella"} {
		o.Run("tenant", "add", tenant)
		o.Run("network", "add", tenant+"/web", "--subnet", "10.0.0.0/24")
		machines[tenant] = [2]*overlay.Machine{o.Plug(h, tenant+"/web/c1"), o.Plug(o.Hosts[2], tenant+"/web/c2")}
		o.Reaches(machines[tenant][0], machines[tenant][1].V4())
	}
	lab.Eventually(t, overlay.PollTime, "the copy of acme", func() error {
		out, err := h.Exec(t.Context(), "sh", "-c", "grep -c '\"up\":true' "+h.StateDir()+"/store/span/acme.copy")
		if err == nil && strings.TrimSpace(out) != "2" {
			err = fmt.Errorf("%s bindings are up in it", out)
		}
		return err
	})
	before := o.Status(h)

	known, unknown := machines["acme"], machines["umbrella"]
	echo, err := lab.StartEcho(unknown[0].Workload, unknown[1].Workload, unknown[1].V4(), 100)
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
	s := o.Synced(h)
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
	lab.Eventually(t, overlay.PollTime, "acme's interface to have its new number", func() error {
		if s := o.Status(h); !slices.ContainsFunc(s.Ports, func(p api.BoundPort) bool { return p.OFPort == 777 && p.Up }) {
			return fmt.Errorf("%+v", s.Ports)
		}
		return nil
	})
	o.Reaches(known[0], known[1].V4())
	o.Reaches(unknown[0], unknown[1].V4())

	if _, err := o.Hosts[0].StartOvloomd(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.ConnectionBecomes(h, "store", true)
	lab.Eventually(t, overlay.PollTime, "the host to know all again", func() error {
		s := o.Status(h)
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
	o.Reaches(o.Plug(h, "umbrella/web/c3"), unknown[1].V4())
}

// A host whose cached copy of the guard is damaged changes nothing, and says so.
func TestDamagedGuardWhileTheStoreIsDown(t *testing.T) {
	o := overlay.New(t, lab.Config{Hosts: 2, AllowLog: overlay.StoreGone})
	h := o.Hosts[1]
	o.Run("tenant", "add", "acme")
	o.Run("network", "add", "acme/web", "--subnet", "10.0.0.0/24")
	a, b := o.Plug(h, "acme/web/a"), o.Plug(o.Hosts[0], "acme/web/b")
	o.Reaches(a, b.V4())
	lab.Eventually(t, overlay.PollTime, "the copy of what tenants are kept from", func() error {
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
	before := o.Ofctl(h, "dump-flows", "--no-stats", "br-int")
	if _, err := h.StartOvloomd(t.Context()); err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, overlay.PollTime, "status to say that nothing is done", func() error {
		if s := o.Status(h); !slices.ContainsFunc(s.Warnings, func(w api.Warning) bool {
			return strings.Contains(w.What, "the copy of what tenants are kept from on disk is damaged") && w.Do != ""
		}) {
			return fmt.Errorf("warnings: %+v", s.Warnings)
		}
		return nil
	})
	if after := o.Ofctl(h, "dump-flows", "--no-stats", "br-int"); after != before {
		t.Errorf("the flows were\n%s\nand are\n%s", before, after)
	}
	o.Reaches(a, b.V4())
	if _, err := o.Hosts[0].StartOvloomd(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.ConnectionBecomes(h, "store", true)
	o.Synced(h)
	if s := o.Status(h); slices.ContainsFunc(s.Warnings, func(w api.Warning) bool {
		return strings.Contains(w.What, "guard") || strings.Contains(w.What, "kept from")
	}) {
		t.Errorf("warnings: %+v", s.Warnings)
	}
}
