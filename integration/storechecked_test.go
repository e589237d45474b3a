package integration_test

// The store is not believed: what its data may look like, and which store it may be.

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/integration/lab"
)

// storeChecked are lines that are logged when a store is refused, damaged or gone.
var storeChecked = append(slices.Clone(storeGone), `object left out`, `running without`, `from the copies`)

// warns waits until the status of a host has a warning, with what to do.
func (o *overlay) warns(h *lab.Host, what, do string) {
	o.t.Helper()
	lab.Eventually(o.t, pollTime, "a warning on "+h.Name, func() error {
		s := o.status(h)
		if !slices.ContainsFunc(s.Warnings, func(w api.Warning) bool {
			return strings.Contains(w.What, what) && strings.Contains(w.Do, do)
		}) {
			return fmt.Errorf("%+v", s.Warnings)
		}
		return nil
	})
}

// copied waits until a host has a copy of acme with so many ports that are up.
func (o *overlay) copied(h *lab.Host, up int) {
	o.t.Helper()
	lab.Eventually(o.t, pollTime, "the copy of "+h.Name, func() error {
		out, err := h.Exec(o.t.Context(), "sh", "-c", "grep -c '\"up\":true' "+h.StateDir()+"/store/span/acme.copy")
		if err == nil && strings.TrimSpace(out) != fmt.Sprint(up) {
			err = fmt.Errorf("%s bindings are up in it", out)
		}
		return err
	})
}

// switchBack kills a host's ovs-vswitchd, so that its flows must come back from what
// ovloomd has.
func (o *overlay) switchBack(h *lab.Host) {
	o.t.Helper()
	if err := h.Vswitchd.Kill(); err != nil {
		o.t.Fatal(err)
	}
	if err := h.StartVswitchd(o.t.Context()); err != nil {
		o.t.Fatal(err)
	}
}

// The store's data is lost: no new store is founded, so that no VNI is given twice, and
// flows stay; a backup brings it back, again and again, on the same machine and on a
// new one, and all hosts follow.
func TestStoreIsLostAndRestored(t *testing.T) {
	o := newOverlay(t, lab.Config{AllowLog: append(slices.Clone(vswitchdGone), storeChecked...)})
	o.run("tenant", "add", "acme")
	o.run("network", "add", "acme/web", "--subnet", "10.0.0.0/24")
	a, b, c := o.plug(o.Hosts[0], "acme/web/c1"), o.plug(o.Hosts[1], "acme/web/c2"), o.plug(o.Hosts[2], "acme/web/c3")
	o.reaches(a, b.v4())
	o.reaches(b, c.v4())
	backup := o.Dir + "/backup"
	o.run("store", "backup", backup)
	h := o.Hosts[0]
	for _, each := range o.Hosts {
		o.copied(each, 3)
	}

	restart := func(lost string) {
		t.Helper()
		if err := h.Ovloomd.Kill(); err != nil {
			t.Fatal(err)
		}
		if lost != "" {
			if _, err := h.Exec(t.Context(), "rm", "-r", h.StateDir()+lost); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := h.StartOvloomd(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	restart("/store/etcd")
	o.warns(h, "this host has seen a store", "ovloom store init")
	o.unchecked(h, "tenant", "add", "umbrella")
	o.readsCopy(h, "acme/web/c1", "acme/web/c2", "acme/web/c3")
	o.switchBack(h)
	o.reaches(a, b.v4())
	restart("") // and again
	o.warns(h, "this host has seen a store", "ovloom store restore")
	o.reaches(c, a.v4())

	restored := func() {
		t.Helper()
		o.run("store", "restore", backup, "--state-dir", h.StateDir())
		if _, err := h.StartOvloomd(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, each := range o.Hosts {
			o.connection(each, "store", true)
		}
	}
	for range 2 {
		if err := h.Ovloomd.Stop(); err != nil {
			t.Fatal(err)
		}
		restored()
		o.reaches(a, b.v4())
		// Hosts that stayed up follow what the restored store is told.
		d := o.plug(o.Hosts[1], "acme/web/c4")
		o.reaches(c, d.v4())
		o.runOn(o.Hosts[1], "port", "unplug", "acme/web/c4")
		o.run("port", "delete", "acme/web/c4")
	}

	// All of the state directory is lost, and with it what tells the process from the
	// one whose signs of life are in the backup.
	if err := h.Ovloomd.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Exec(t.Context(), "rm", "-r", h.StateDir()+"/store"); err != nil {
		t.Fatal(err)
	}
	if _, err := h.StartOvloomd(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.warns(h, "claimed ports on bridge br-int", "ovloom store restore")
	o.reaches(a, b.v4())
	if err := h.Ovloomd.Kill(); err != nil {
		t.Fatal(err)
	}
	restored()
	o.reaches(o.plug(o.Hosts[2], "acme/web/c5"), a.v4())
}

// unchecked checks that a change is refused as unavailable, and that it is not said
// to have perhaps been made.
func (o *overlay) unchecked(h *lab.Host, args ...string) {
	o.t.Helper()
	_, err := h.Ovloom(o.t.Context(), args...)
	if code := lab.ExitCode(err); code != 5 || strings.Contains(err.Error(), "may have been stored") {
		o.t.Errorf("%v without a store: exit code %d: %v", args, code, err)
	}
}

// Values that are not valid end no daemon; what they stood for stays in force.
func TestBadValuesInTheStore(t *testing.T) {
	o := newOverlay(t, lab.Config{AllowLog: append(slices.Clone(vswitchdGone), storeChecked...)})
	o.run("tenant", "add", "acme")
	o.run("network", "add", "acme/web", "--subnet", "10.0.0.0/24")
	a, b, c := o.plug(o.Hosts[0], "acme/web/c1"), o.plug(o.Hosts[1], "acme/web/c2"), o.plug(o.Hosts[2], "acme/web/c3")
	o.reaches(a, b.v4())
	for _, h := range o.Hosts {
		o.copied(h, 3)
	}
	var etcd *clientv3.Client
	h := o.Hosts[0]
	put := func(key, value string) {
		t.Helper()
		if _, err := etcd.Put(t.Context(), key, value); err != nil {
			t.Fatal(err)
		}
	}
	dial := func() {
		t.Helper()
		var err error
		if etcd, err = clientv3.New(clientv3.Config{Endpoints: []string{"unix://" + h.StateDir() + "/store/etcd/etcd.sock"}}); err != nil {
			t.Fatal(err)
		}
	}
	dial()
	bad := map[string]string{
		"/ovloom/v1/hosts/host2":                      `{"v":1}`,
		"/ovloom/v1/t/acme/ports/web/c3":              `{"v":1,"tenant":"acme","network":"web","name":"c3","id":0,"mac":"x"}`,
		"/ovloom/v1/t/acme/networks/web":              `null`,
		"/ovloom/v1/t/acme/tenant":                    `{"v":1,"name":"acme","id":1,"vrf":0}`,
		"/ovloom/v1/t/acme/bindings/web/c2/host2":     `{"v":1,"generation":-1}`,
		"/ovloom/v1/t/acme/routes/10.9.0.0_16":        `{"v":1,"tenant":"acme","prefix":"10.9.0.0/16","id":7,"via":[""]}`,
		"/ovloom/v1/externals/campus":                 `{"v":1,"name":"campus","id":9,"number":1,"kind":"bridge"}`,
		"/ovloom/v1/t/acme/nat/forward/campus/tcp/80": `{"v":1,"tenant":"acme"}`,
	}
	for key, value := range bad {
		put(key, value)
	}
	for _, each := range o.Hosts {
		o.warns(each, "network acme/web in the store cannot be used", "")
		o.warns(each, "port acme/web/c3 in the store cannot be used", "")
	}
	if err := etcd.Close(); err != nil {
		t.Error(err)
	}
	for _, each := range o.Hosts[:2] { // the store's first: it has nobody to ask meanwhile
		if err := each.Ovloomd.Kill(); err != nil {
			t.Fatal(err)
		}
		if _, err := each.StartOvloomd(t.Context()); err != nil {
			t.Fatal(err)
		}
		o.switchBack(each)
	}
	for _, pair := range [][2]*machine{{a, b}, {b, c}, {c, a}} {
		o.reaches(pair[0], pair[1].v4())
	}
	// What the host says of itself it has mended by itself.
	lab.Eventually(t, pollTime, "host2 to be in the list", func() error {
		out, err := o.Hosts[0].Ovloom(t.Context(), "host", "list")
		if err == nil && !strings.Contains(out, "host2") {
			err = fmt.Errorf("%s", out)
		}
		return err
	})
}

// A host refuses another store at its store's address, and goes on.
func TestAnotherStoreAnswers(t *testing.T) {
	o := newOverlay(t, lab.Config{Hosts: 2, AllowLog: storeChecked})
	o.run("tenant", "add", "acme")
	o.run("network", "add", "acme/web", "--subnet", "10.0.0.0/24")
	a, b := o.plug(o.Hosts[0], "acme/web/c1"), o.plug(o.Hosts[1], "acme/web/c2")
	o.reaches(a, b.v4())
	h, far := o.Hosts[0], o.Hosts[1]
	o.copied(far, 2)
	if err := h.Ovloomd.Stop(); err != nil {
		t.Fatal(err)
	}
	o.run("store", "init", "--state-dir", h.StateDir())
	if _, err := h.StartOvloomd(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.warns(far, "the store that answers is another", "ovloom store init")
	o.unchecked(far, "tenant", "add", "umbrella")
	o.readsCopy(far, "acme/web/c1", "acme/web/c2")
	// The new store gives a network the VNI of the old one. They do not meet: each host
	// has the flows of its own store.
	o.run("tenant", "add", "umbrella")
	if flows := o.dump(far); !strings.Contains(flows, b.port.MAC.String()) {
		t.Errorf("%s has given up its port:\n%s", far.Name, flows)
	}
	// A user may have it follow.
	if err := far.Ovloomd.Stop(); err != nil {
		t.Fatal(err)
	}
	o.runOn(far, "store", "init", "--state-dir", far.StateDir(), "--config", "/dev/null")
	if _, err := far.StartOvloomd(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.connection(far, "store", true)
}

// A log that is damaged, and a disk without room, end no daemon; the switch's flows come
// back from the copies.
func TestDisksOfTheStoreFail(t *testing.T) {
	o := newOverlay(t, lab.Config{Hosts: 2, AllowLog: append(slices.Clone(vswitchdGone), append(slices.Clone(storeChecked), `no space left`, `cannot note`, `cannot write`, `cannot `)...)})
	o.run("tenant", "add", "acme")
	o.run("network", "add", "acme/web", "--subnet", "10.0.0.0/24")
	a, b := o.plug(o.Hosts[0], "acme/web/c1"), o.plug(o.Hosts[1], "acme/web/c2")
	o.reaches(a, b.v4())
	h := o.Hosts[0]
	o.copied(h, 2)
	if err := h.Ovloomd.Kill(); err != nil {
		t.Fatal(err)
	}
	state := h.StateDir() + "/store"
	shell := func(line string) {
		t.Helper()
		if _, err := h.Exec(t.Context(), "sh", "-ec", "cd "+state+"; "+line); err != nil {
			t.Fatal(err)
		}
	}
	shell("cp -a etcd/data good; for f in etcd/data/member/wal/*.wal; do printf rubbish | dd of=$f bs=1 seek=300 conv=notrunc 2>/dev/null; done")
	if _, err := h.StartOvloomd(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.warns(h, "member of the store has failed", "ovloom store restore FILE")
	o.unchecked(h, "tenant", "add", "umbrella")
	o.readsCopy(h, "acme/web/c1", "acme/web/c2")
	o.switchBack(h)
	o.reaches(a, b.v4())

	// The disk is put right; then it has no room left.
	if err := h.Ovloomd.Stop(); err != nil {
		t.Fatal(err)
	}
	shell("rm -r etcd/data && mv good etcd/data")
	if _, err := h.StartOvloomd(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.connection(o.Hosts[1], "store", true)
	o.run("tenant", "add", "umbrella")
}
