package store_test

// The store is checked: whether its data is valid, and whether it is the store that the host follows.

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/integration/overlay"
)

// storeChecked are lines that are logged when a store is refused, damaged or gone.
var storeChecked = append(slices.Clone(overlay.StoreGone), `object left out`, `from the cached copies`)

// warns waits until the status of a host has a warning, with what to do.
func warns(o *overlay.Overlay, h *lab.Host, what, do string) {
	o.T.Helper()
	lab.Eventually(o.T, overlay.PollTime, "a warning on "+h.Name, func() error {
		s := o.Status(h)
		if !slices.ContainsFunc(s.Warnings, func(w api.Warning) bool {
			return strings.Contains(w.What, what) && strings.Contains(w.Do, do)
		}) {
			return fmt.Errorf("%+v", s.Warnings)
		}
		return nil
	})
}

// copied waits until a host has a copy of acme with so many ports that are up.
func copied(o *overlay.Overlay, h *lab.Host, up int) {
	o.T.Helper()
	lab.Eventually(o.T, overlay.PollTime, "the copy of "+h.Name, func() error {
		out, err := h.Exec(o.T.Context(), "sh", "-c", "grep -c '\"up\":true' "+h.StateDir()+"/store/span/acme.copy")
		if err == nil && strings.TrimSpace(out) != fmt.Sprint(up) {
			err = fmt.Errorf("%s bindings are up in it", out)
		}
		return err
	})
}

// switchBack kills a host's ovs-vswitchd, so that its flows must come back from what
// ovloomd has.
func switchBack(o *overlay.Overlay, h *lab.Host) {
	o.T.Helper()
	if err := h.Vswitchd.Kill(); err != nil {
		o.T.Fatal(err)
	}
	if err := h.StartVswitchd(o.T.Context()); err != nil {
		o.T.Fatal(err)
	}
}

// The store's data is lost: no new store is founded, so that no VNI is given twice, and
// flows stay; a backup brings it back, again and again, on the same machine and on a
// new one, and all hosts follow.
func TestStoreIsLostAndRestored(t *testing.T) {
	o := overlay.New(t, lab.Config{AllowLog: append(slices.Clone(overlay.VswitchdGone), storeChecked...)})
	o.Run("tenant", "add", "acme")
	o.Run("network", "add", "acme/web", "--subnet", "10.0.0.0/24")
	a, b, c := o.Plug(o.Hosts[0], "acme/web/c1"), o.Plug(o.Hosts[1], "acme/web/c2"), o.Plug(o.Hosts[2], "acme/web/c3")
	o.Reaches(a, b.V4())
	o.Reaches(b, c.V4())
	backup := o.Dir + "/backup"
	o.Run("store", "backup", backup)
	h := o.Hosts[0]
	for _, each := range o.Hosts {
		copied(o, each, 3)
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
	warns(o, h, "this host has seen a store", "ovloom store init")
	unchecked(o, h, "tenant", "add", "umbrella")
	readsCopy(o, h, "acme/web/c1", "acme/web/c2", "acme/web/c3")
	switchBack(o, h)
	o.Reaches(a, b.V4())
	restart("") // and again
	warns(o, h, "this host has seen a store", "ovloom store restore")
	o.Reaches(c, a.V4())

	restored := func() {
		t.Helper()
		o.Run("store", "restore", backup, "--state-dir", h.StateDir())
		if _, err := h.StartOvloomd(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, each := range o.Hosts {
			o.ConnectionBecomes(each, "store", true)
		}
	}
	for range 2 {
		if err := h.Ovloomd.Stop(); err != nil {
			t.Fatal(err)
		}
		restored()
		o.Reaches(a, b.V4())
		// Hosts that stayed up follow changes in the restored store.
		d := o.Plug(o.Hosts[1], "acme/web/c4")
		o.Reaches(c, d.V4())
		o.RunOn(o.Hosts[1], "port", "unplug", "acme/web/c4")
		o.Run("port", "delete", "acme/web/c4")
	}

	// All of the state directory is lost, and with it the id that distinguishes the process
	// from the one whose lease is in the backup.
	if err := h.Ovloomd.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Exec(t.Context(), "rm", "-r", h.StateDir()+"/store"); err != nil {
		t.Fatal(err)
	}
	if _, err := h.StartOvloomd(t.Context()); err != nil {
		t.Fatal(err)
	}
	warns(o, h, "claimed ports on bridge br-int", "ovloom store restore")
	o.Reaches(a, b.V4())
	if err := h.Ovloomd.Kill(); err != nil {
		t.Fatal(err)
	}
	restored()
	o.Reaches(o.Plug(o.Hosts[2], "acme/web/c5"), a.V4())
}

// unchecked checks that a change is refused as unavailable, and that the message does not
// say that it may have been made.
func unchecked(o *overlay.Overlay, h *lab.Host, args ...string) {
	o.T.Helper()
	_, err := h.Ovloom(o.T.Context(), args...)
	if code := lab.ExitCode(err); code != 5 || strings.Contains(err.Error(), "may have been stored") {
		o.T.Errorf("%v without a store: exit code %d: %v", args, code, err)
	}
}

// Invalid values end no daemon; their last valid state stays in force.
func TestBadValuesInTheStore(t *testing.T) {
	o := overlay.New(t, lab.Config{AllowLog: append(slices.Clone(overlay.VswitchdGone), storeChecked...)})
	o.Run("tenant", "add", "acme")
	o.Run("network", "add", "acme/web", "--subnet", "10.0.0.0/24")
	a, b, c := o.Plug(o.Hosts[0], "acme/web/c1"), o.Plug(o.Hosts[1], "acme/web/c2"), o.Plug(o.Hosts[2], "acme/web/c3")
	o.Reaches(a, b.V4())
	for _, h := range o.Hosts {
		copied(o, h, 3)
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
		warns(o, each, "network acme/web in the store cannot be used", "")
		warns(o, each, "port acme/web/c3 in the store cannot be used", "")
	}
	if err := etcd.Close(); err != nil {
		t.Error(err)
	}
	for _, each := range o.Hosts[:2] { // the store's host first: it has no other store to ask meanwhile
		if err := each.Ovloomd.Kill(); err != nil {
			t.Fatal(err)
		}
		if _, err := each.StartOvloomd(t.Context()); err != nil {
			t.Fatal(err)
		}
		switchBack(o, each)
	}
	for _, pair := range [][2]*overlay.Machine{{a, b}, {b, c}, {c, a}} {
		o.Reaches(pair[0], pair[1].V4())
	}
	// The host has repaired its own record.
	lab.Eventually(t, overlay.PollTime, "host2 to be in the list", func() error {
		out, err := o.Hosts[0].Ovloom(t.Context(), "host", "list")
		if err == nil && !strings.Contains(out, "host2") {
			err = fmt.Errorf("%s", out)
		}
		return err
	})
}

// A host refuses another store at its store's address, and goes on.
func TestAnotherStoreAnswers(t *testing.T) {
	o := overlay.New(t, lab.Config{Hosts: 2, AllowLog: storeChecked})
	o.Run("tenant", "add", "acme")
	o.Run("network", "add", "acme/web", "--subnet", "10.0.0.0/24")
	a, b := o.Plug(o.Hosts[0], "acme/web/c1"), o.Plug(o.Hosts[1], "acme/web/c2")
	o.Reaches(a, b.V4())
	h, far := o.Hosts[0], o.Hosts[1]
	copied(o, far, 2)
	if err := h.Ovloomd.Stop(); err != nil {
		t.Fatal(err)
	}
	o.Run("store", "init", "--state-dir", h.StateDir())
	if _, err := h.StartOvloomd(t.Context()); err != nil {
		t.Fatal(err)
	}
	warns(o, far, "the store that answers is another", "ovloom store init")
	unchecked(o, far, "tenant", "add", "umbrella")
	readsCopy(o, far, "acme/web/c1", "acme/web/c2")
	// The new store gives a network the VNI of the old one. They do not meet: each host
	// has the flows of its own store.
	o.Run("tenant", "add", "umbrella")
	if flows := o.Dump(far); !strings.Contains(flows, b.Port.MAC.String()) {
		t.Errorf("%s has given up its port:\n%s", far.Name, flows)
	}
	// A user may have it follow.
	if err := far.Ovloomd.Stop(); err != nil {
		t.Fatal(err)
	}
	o.RunOn(far, "store", "init", "--state-dir", far.StateDir(), "--config", "/dev/null")
	if _, err := far.StartOvloomd(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.ConnectionBecomes(far, "store", true)
}

// A damaged log and a full disk end no daemon; the switch's flows come back from the
// cached copies.
func TestDisksOfTheStoreFail(t *testing.T) {
	o := overlay.New(t, lab.Config{Hosts: 2, AllowLog: append(slices.Clone(overlay.VswitchdGone), append(slices.Clone(storeChecked), `no space left`, `cannot note`, `cannot write`, `cannot `, `task failed`)...)})
	o.Run("tenant", "add", "acme")
	o.Run("network", "add", "acme/web", "--subnet", "10.0.0.0/24")
	a, b := o.Plug(o.Hosts[0], "acme/web/c1"), o.Plug(o.Hosts[1], "acme/web/c2")
	o.Reaches(a, b.V4())
	h := o.Hosts[0]
	copied(o, h, 2)
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
	warns(o, h, "member of the store has failed", "ovloom store restore FILE")
	unchecked(o, h, "tenant", "add", "umbrella")
	readsCopy(o, h, "acme/web/c1", "acme/web/c2")
	switchBack(o, h)
	o.Reaches(a, b.V4())

	// The disk is repaired; then it fills up.
	if err := h.Ovloomd.Stop(); err != nil {
		t.Fatal(err)
	}
	shell("rm -r etcd/data && mv good etcd/data")
	if _, err := h.StartOvloomd(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.ConnectionBecomes(o.Hosts[1], "store", true)
	o.Run("tenant", "add", "umbrella")
}
