package faults_test

// Tests of an Open vSwitch that dies or hangs.

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/integration/overlay"
	"github.com/ovloom/ovloom/intent"
)

// restartVswitchd kills and starts ovs-vswitchd, and returns the time from its first OpenFlow
// answer until all earlier flows were back.
func restartVswitchd(o *overlay.Overlay, h *lab.Host) time.Duration {
	o.T.Helper()
	before := o.Dump(h)
	if err := h.Vswitchd.Kill(); err != nil {
		o.T.Fatal(err)
	}
	answered := make(chan time.Time, 1)
	go func() {
		for o.T.Context().Err() == nil {
			if c, err := net.Dial("unix", h.MgmtSock("br-int")); err == nil {
				_ = c.Close()
				answered <- time.Now()
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	if err := h.StartVswitchd(o.T.Context()); err != nil {
		o.T.Fatal(err)
	}
	lab.Eventually(o.T, overlay.PollTime, "all flows of "+h.Name+" to be back", func() error {
		if after := o.Dump(h); after != before {
			return fmt.Errorf("before:\n%s\nafter:\n%s", before, after)
		}
		return nil
	})
	back := time.Now()
	return back.Sub(<-answered)
}

// While the tables of a new ovs-vswitchd are being filled, no packet passes that would
// otherwise be dropped.
func TestIsolationWhileVswitchdComesBack(t *testing.T) {
	o := overlay.New(t, lab.Config{Hosts: 2, AllowLog: overlay.VswitchdGone})
	for _, tenant := range []string{"acme", "umbrella"} {
		o.Run("tenant", "add", tenant)
		o.Run("network", "add", tenant+"/web", "--subnet", "10.0.0.0/24")
	}
	h := o.Hosts[0]
	honest := o.Plug(h, "acme/web/c1")
	near, far := o.Plug(h, "acme/web/near"), o.Plug(o.Hosts[1], "acme/web/far")
	spoofer, foreign := o.Plug(h, "acme/web/spoofer"), o.Plug(h, "umbrella/web/c1")
	for n := range 40 { // tables that take a moment to fill
		o.Run("port", "add", fmt.Sprintf("acme/web/p%d", n), "--no-wait")
	}
	o.Run("port", "add", "acme/web/last") // waits until all ports are in the tables
	o.Reaches(honest, near.V4())
	o.Reaches(honest, far.V4())

	truth, lie := []byte("as itself"), []byte("a lie")
	captures := []*lab.Capture{o.Capture(near), o.Capture(far)}
	hear := func() {
		t.Helper()
		for n, to := range []*overlay.Machine{near, far} {
			lab.Eventually(t, overlay.PollTime, "an honest datagram on "+captures[n].Name, func() error {
				o.Say(honest, to, truth)
				if captures[n].Count(overlay.PayloadIs(truth)) == 0 {
					return errors.New("none")
				}
				return nil
			})
		}
	}
	hear()

	ctx, stop := context.WithCancel(t.Context())
	var senders sync.WaitGroup
	alien := intent.MAC{2, 0, 0, 0xaa, 0xbb, 0xcc}
	for _, from := range []struct {
		*overlay.Machine
		src intent.MAC
	}{
		{spoofer, alien}, {spoofer, honest.Port.MAC}, {foreign, foreign.Port.MAC}, {foreign, honest.Port.MAC},
	} {
		senders.Go(func() {
			for ctx.Err() == nil {
				for _, to := range []*overlay.Machine{near, far} {
					_ = from.SendFrame("eth0", overlay.Datagram(from.src, to.Port.MAC, honest.V4(), to.V4(), lie))
				}
				_ = from.SendFrame("eth0", overlay.Datagram(from.src, lab.Broadcast, honest.V4(), near.V4(), lie))
				time.Sleep(time.Millisecond)
			}
		})
	}
	o.Dropped(h, "spoof-mac", 10)
	for range 2 {
		t.Logf("flows were back %s after the socket answered", restartVswitchd(o, h).Round(time.Millisecond))
		o.Dropped(h, "spoof-mac", 10) // the frames do reach the new switch
	}
	stop()
	senders.Wait()

	for _, c := range captures {
		c.Reset()
	}
	hear()
	for _, c := range captures {
		c.MustNotSee(t, "something said in another's name", overlay.PayloadIs(lie))
		if n := c.Lost(); n > 0 {
			t.Errorf("%s lost %d frames", c.Name, n)
		}
	}
}

// ovloomd does not hang when the database does.
func TestOVSDBThatHangs(t *testing.T) {
	o := overlay.New(t, lab.Config{Hosts: 2, AllowLog: append([]string{
		`Broken pipe`, `Network is down`, // clients, and a veth, that did not wait for it
		// Once the database answers, it may carry out the transaction of the plug that failed:
		// then the switch takes the interface of the next plug before it is up, and may reset
		// its flags.
		`bring up its end on the host`,
	}, overlay.OVSDBGone...)})
	o.Run("tenant", "add", "acme")
	o.Run("network", "add", "acme/web", "--subnet", "10.0.0.0/24")
	a, b := o.Plug(o.Hosts[0], "acme/web/c1"), o.Plug(o.Hosts[1], "acme/web/c2")
	o.Run("port", "add", "acme/web/c3")
	o.Reaches(a, b.V4())

	h := o.Hosts[1]
	w, err := h.NewWorkload(t.Context(), "late")
	if err != nil {
		t.Fatal(err)
	}
	if err := h.OVSDB.Signal(unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	_, err = h.Ovloom(t.Context(), "port", "plug", "acme/web/c3", "--netns", w.NetNS)
	if code := lab.ExitCode(err); code != 5 || !strings.Contains(err.Error(), "ovsdb-server") {
		t.Errorf("plugging while ovsdb-server hangs: exit code %d: %v", code, err)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %s", took)
	}
	o.ConnectionBecomes(h, "ovsdb", false)
	if err := h.OVSDB.Signal(unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	o.ConnectionBecomes(h, "ovsdb", true)
	lab.Eventually(t, time.Minute, "traffic to flow again", func() error {
		_, err := a.Ping(t.Context(), b.V4())
		return err
	})
	lab.Eventually(t, overlay.PollTime, "the port to be plugged", func() error {
		_, err := h.Ovloom(t.Context(), "port", "plug", "acme/web/c3", "--netns", w.NetNS)
		return err
	})
	var c overlay.Machine
	o.Get(h, &c.Port, "port", "show", "acme/web/c3")
	o.Reaches(a, c.V4())
}
