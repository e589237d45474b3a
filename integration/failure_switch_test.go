package integration_test

// What must hold when Open vSwitch dies or hangs.

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
	"github.com/ovloom/ovloom/intent"
)

// restartVswitchd kills ovs-vswitchd and starts it, and returns how long after its
// OpenFlow socket answered all flows of before were back.
func (o *overlay) restartVswitchd(h *lab.Host) time.Duration {
	o.t.Helper()
	before := o.dump(h)
	if err := h.Vswitchd.Kill(); err != nil {
		o.t.Fatal(err)
	}
	answered := make(chan time.Time, 1)
	go func() {
		for o.t.Context().Err() == nil {
			if c, err := net.Dial("unix", h.MgmtSock("br-int")); err == nil {
				_ = c.Close()
				answered <- time.Now()
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	if err := h.StartVswitchd(o.t.Context()); err != nil {
		o.t.Fatal(err)
	}
	lab.Eventually(o.t, pollTime, "all flows of "+h.Name+" to be back", func() error {
		if after := o.dump(h); after != before {
			return fmt.Errorf("before:\n%s\nafter:\n%s", before, after)
		}
		return nil
	})
	back := time.Now()
	return back.Sub(<-answered)
}

// While the tables of a new ovs-vswitchd are being filled, nothing passes that
// would not pass otherwise.
func TestIsolationWhileVswitchdComesBack(t *testing.T) {
	o := newOverlay(t, lab.Config{Hosts: 2, AllowLog: vswitchdGone})
	for _, tenant := range []string{"acme", "umbrella"} {
		o.run("tenant", "add", tenant)
		o.run("network", "add", tenant+"/web", "--subnet", "10.0.0.0/24")
	}
	h := o.Hosts[0]
	honest := o.plug(h, "acme/web/c1")
	near, far := o.plug(h, "acme/web/near"), o.plug(o.Hosts[1], "acme/web/far")
	spoofer, foreign := o.plug(h, "acme/web/spoofer"), o.plug(h, "umbrella/web/c1")
	for n := range 40 { // tables that take a moment to fill
		o.run("port", "add", fmt.Sprintf("acme/web/p%d", n), "--no-wait")
	}
	o.run("port", "add", "acme/web/last") // waits until all of them are in the tables
	o.reaches(honest, near.v4())
	o.reaches(honest, far.v4())

	truth, lie := []byte("as itself"), []byte("a lie")
	captures := []*lab.Capture{o.capture(near), o.capture(far)}
	hear := func() {
		t.Helper()
		for n, to := range []*machine{near, far} {
			lab.Eventually(t, pollTime, "an honest datagram on "+captures[n].Name, func() error {
				o.say(honest, to, truth)
				if captures[n].Count(carries(truth)) == 0 {
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
		*machine
		src intent.MAC
	}{
		{spoofer, alien}, {spoofer, honest.port.MAC}, {foreign, foreign.port.MAC}, {foreign, honest.port.MAC},
	} {
		senders.Go(func() {
			for ctx.Err() == nil {
				for _, to := range []*machine{near, far} {
					_ = from.SendFrame("eth0", datagram(from.src, to.port.MAC, honest.v4(), to.v4(), lie))
				}
				_ = from.SendFrame("eth0", datagram(from.src, lab.Broadcast, honest.v4(), near.v4(), lie))
				time.Sleep(time.Millisecond)
			}
		})
	}
	o.dropped(h, "spoof-mac", 10)
	for range 2 {
		t.Logf("flows were back %s after the socket answered", o.restartVswitchd(h).Round(time.Millisecond))
		o.dropped(h, "spoof-mac", 10) // what is sent does reach the new switch
	}
	stop()
	senders.Wait()

	for _, c := range captures {
		c.Reset()
	}
	hear()
	for _, c := range captures {
		c.MustNotSee(t, "something said in another's name", carries(lie))
		if n := c.Lost(); n > 0 {
			t.Errorf("%s lost %d frames", c.Name, n)
		}
	}
}

// A database that hangs does not hang ovloomd.
func TestOVSDBThatHangs(t *testing.T) {
	o := newOverlay(t, lab.Config{Hosts: 2, AllowLog: append([]string{
		`Broken pipe`, `Network is down`, // clients, and a veth, that did not wait for it
		// What the plug that failed asked for, the database may do once it answers: then the
		// switch takes the interface of the next plug before it is up, and may set its flags
		// as they were.
		`bring up its end on the host`,
	}, ovsdbGone...)})
	o.run("tenant", "add", "acme")
	o.run("network", "add", "acme/web", "--subnet", "10.0.0.0/24")
	a, b := o.plug(o.Hosts[0], "acme/web/c1"), o.plug(o.Hosts[1], "acme/web/c2")
	o.run("port", "add", "acme/web/c3")
	o.reaches(a, b.v4())

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
	o.connection(h, "ovsdb", false)
	if err := h.OVSDB.Signal(unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	o.connection(h, "ovsdb", true)
	lab.Eventually(t, time.Minute, "traffic to flow again", func() error {
		_, err := a.Ping(t.Context(), b.v4())
		return err
	})
	lab.Eventually(t, pollTime, "the port to be plugged", func() error {
		_, err := h.Ovloom(t.Context(), "port", "plug", "acme/web/c3", "--netns", w.NetNS)
		return err
	})
	var c machine
	o.get(h, &c.port, "port", "show", "acme/web/c3")
	o.reaches(a, c.v4())
}

// connection waits until status says that a connection is up, or down.
func (o *overlay) connection(h *lab.Host, name string, up bool) {
	o.t.Helper()
	lab.Eventually(o.t, pollTime, fmt.Sprintf("the connection of %s to %s: up is %t", h.Name, name, up), func() error {
		for _, c := range o.status(h).Connections {
			if c.Name == name && c.Connected != up {
				return fmt.Errorf("%+v", c)
			}
		}
		return nil
	})
}
