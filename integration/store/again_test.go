package store_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/integration/overlay"
)

// A host that started while its store could not be opened takes it up again by itself,
// as soon as the disk is in order: nothing in the switch changes by that.
func TestStoreIsTakenUpAgain(t *testing.T) {
	o := overlay.New(t, lab.Config{Hosts: 2, AllowLog: append(slices.Clone(storeChecked), `cannot `, `task failed`, `read-only file system`, `terminating with signal`)})
	o.Run("tenant", "add", "acme")
	o.Run("network", "add", "acme/web", "--subnet", "10.0.0.0/24")
	a, b := o.Plug(o.Hosts[0], "acme/web/c1"), o.Plug(o.Hosts[1], "acme/web/c2")
	o.Reaches(a, b.V4())
	h := o.Hosts[0]
	copied(o, h, 2)
	state := h.StateDir() + "/store"
	shell := func(line string) {
		t.Helper()
		if _, err := h.Exec(t.Context(), "sh", "-ec", "cd "+h.StateDir()+"; "+line); err != nil {
			t.Fatal(err)
		}
	}
	echo, err := lab.StartEcho(a.Workload, b.Workload, b.V4(), 100)
	if err != nil {
		t.Fatal(err)
	}
	w := o.WatchFlows(h)
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := h.Exec(context.WithoutCancel(t.Context()), "grep", "-E", "restarting|WARN|ERROR|msg=starting", h.LogDir()+"/ovloomd.out")
			t.Log(out)
		}
	})
	takenUp := func(tenant string, spoil, repair func()) {
		t.Helper()
		if err := h.Ovloomd.Kill(); err != nil {
			t.Fatal(err)
		}
		t.Log("store that is " + tenant)
		spoil()
		if _, err := h.StartOvloomd(t.Context()); err != nil {
			t.Fatal(err)
		}
		warns(o, h, "member of the store has failed", "it is tried again at")
		o.StatusBecomes(h, "to say why the store cannot be opened yet", func(s api.Status) bool {
			return slices.ContainsFunc(s.Connections, func(c api.Connection) bool {
				return c.Name == "store" && !c.Connected && !c.RetryAt.IsZero() && c.RetryError != ""
			})
		})
		unchecked(o, h, "tenant", "add", tenant)
		repair()
		for _, each := range o.Hosts {
			lab.Eventually(t, overlay.PollTime, each.Name+" to have the store", func() error { // its API is away for a moment
				out, err := each.Ovloom(t.Context(), "status")
				if err == nil && strings.Contains(out, "member of the store has failed") {
					err = errors.New(out)
				}
				return err
			})
			o.ConnectionBecomes(each, "store", true)
		}
		o.Run("tenant", "add", tenant)
		o.StatusBecomes(h, "not to try again any more", func(s api.Status) bool {
			return !slices.ContainsFunc(s.Connections, func(c api.Connection) bool { return !c.RetryAt.IsZero() })
		})
		if events := w.Ours(); len(events) > 0 {
			t.Errorf("flows changed:\n%s", strings.Join(events, "\n"))
		}
		o.Reaches(a, b.V4())
	}

	takenUp("damaged", func() {
		shell("cp store/etcd/data/member/snap/db good.db; dd if=/dev/zero of=store/etcd/data/member/snap/db bs=4096 count=2 conv=notrunc 2>/dev/null")
	}, func() {
		shell("dd if=good.db of=store/etcd/data/member/snap/db bs=1M conv=notrunc 2>/dev/null; rm good.db")
	})

	takenUp("readonly", func() {
		shell("mkdir -p good && mount -t tmpfs -o size=400m tmpfs good && cp -a store/. good && mount --move good store && mount -o remount,ro store")
		t.Cleanup(func() {
			_ = h.Ovloomd.Kill()
			if err := unix.Unmount(state, unix.MNT_DETACH); err != nil {
				t.Error(err)
			}
		})
	}, func() {
		shell("mount -o remount,rw store")
	})
	takenUp("full", func() {
		// What is reserved for the log goes to the filler, too.
		shell("for f in store/etcd/data/member/wal/*.wal; do cp --sparse=always $f $f.sparse; mv $f.sparse $f; done; " +
			"rm -f store/etcd/data/member/wal/*.tmp; dd if=/dev/zero of=store/filler bs=64k 2>/dev/null || true")
	}, func() {
		shell("rm store/filler")
	})
	if r := echo.Stop(); r.Lost() > 0 {
		t.Errorf("%v", r)
	}
}
