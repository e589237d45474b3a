package integration_test

// NAT lasts: over restarts of ovloomd and of ovs-vswitchd, within its limits, and as
// long as its rules and no longer.

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ovloom/ovloom/integration/lab"
)

// bulk is a TCP transfer at a limited rate, which runs until the test ends.
type bulk struct {
	received atomic.Int64 // bytes
	last     atomic.Int64 // when bytes were received, in nanoseconds of Unix time
	stall    atomic.Int64 // the longest time without any, in nanoseconds
	ended    chan error   // what ended it for the sender
}

// bulkRate is in bytes a second.
const bulkRate = 400_000

// startBulk sends from a machine to a server outside.
func (o *outdoors) startBulk(from *machine, server netip.Addr) *bulk {
	o.t.Helper()
	var l net.Listener
	if err := o.outside.InNetNS(func() (err error) {
		l, err = net.Listen("tcp", netip.AddrPortFrom(server, 0).String())
		return err
	}); err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(func() { l.Close() })
	to := l.Addr().(*net.TCPAddr).AddrPort()
	var c net.Conn
	lab.Eventually(o.t, pollTime, "a connection to "+to.String(), func() (err error) {
		c, err = dial(from.Workload, "tcp", to)
		return err
	})
	o.t.Cleanup(func() { c.Close() })
	s, err := l.Accept()
	if err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(func() { s.Close() })
	b := &bulk{ended: make(chan error, 1)}
	b.last.Store(time.Now().UnixNano())
	go b.receive(s)
	go b.send(c)
	return b
}

func (b *bulk) send(c net.Conn) {
	began, sent := time.Now(), 0
	for piece := make([]byte, bulkRate/100); ; {
		for due := int(time.Since(began).Seconds() * bulkRate); sent < due; sent += len(piece) {
			// What nobody takes any more fills the buffers first.
			c.SetWriteDeadline(time.Now().Add(pollTime))
			if _, err := c.Write(piece); err != nil {
				b.ended <- err
				return
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (b *bulk) receive(c net.Conn) {
	for buf := make([]byte, 1<<16); ; {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		b.received.Add(int64(n))
		now := time.Now().UnixNano()
		if gap := now - b.last.Swap(now); gap > b.stall.Load() {
			b.stall.Store(gap)
		}
	}
}

// during returns how fast bytes came and how long they ever did not, while fn runs
// and for at least that long.
func (b *bulk) during(length time.Duration, fn func()) (rate float64, stall time.Duration) {
	b.stall.Store(0)
	began, before := time.Now(), b.received.Load()
	fn()
	time.Sleep(length - time.Since(began))
	rate = float64(b.received.Load()-before) / time.Since(began).Seconds()
	return rate, time.Duration(max(b.stall.Load(), time.Now().UnixNano()-b.last.Load()))
}

// goesOn waits until more has come.
func (b *bulk) goesOn(t *testing.T, what string) {
	t.Helper()
	before := b.received.Load()
	lab.Eventually(t, pollTime, what+" goes on", func() error {
		select {
		case err := <-b.ended:
			b.ended <- err
			return fmt.Errorf("it has ended: %w", err)
		default:
		}
		if b.received.Load() < before+bulkRate/10 {
			return errors.New("nothing comes")
		}
		return nil
	})
}

// A transfer goes on whatever happens to ovloomd and to rules that are not its own,
// and ends with its own.
func TestTransfersEndWithTheirRule(t *testing.T) {
	o := newOutdoors(t, 1)
	acme, other := o.tenant("acme", o.Hosts[0]), o.tenant("umbrella", o.Hosts[0])
	o.snat("acme", "internet")
	o.snat("umbrella", "internet")
	a, b := o.startBulk(acme[0], lab.InternetServer), o.startBulk(other[0], lab.InternetServer)
	a.goesOn(t, "the transfer")

	h := o.Hosts[0]
	const window = 1500 * time.Millisecond
	rate, stall := a.during(window, func() {})
	rateOver, stallOver := a.during(window, func() {
		if err := h.Ovloomd.Kill(); err != nil {
			t.Fatal(err)
		}
		if _, err := h.StartOvloomd(t.Context()); err != nil {
			t.Fatal(err)
		}
		o.synced(h)
	})
	t.Logf("%.0f bytes/s, longest stall %s; over a restart %.0f bytes/s, %s", rate, stall, rateOver, stallOver)
	if rateOver < rate/2 {
		t.Errorf("%.0f bytes/s over a restart of ovloomd, and %.0f without", rateOver, rate)
	}
	if limit := 10*stall + time.Second; stallOver > limit {
		t.Errorf("the transfer stalled %s over a restart of ovloomd, and %s without", stallOver, stall)
	}
	o.run("nat", "floating", "add", "umbrella/web/c1", "--external", "campus")
	a.goesOn(t, "the transfer over a restart")
	b.goesOn(t, "the transfer whose port got a floating address")

	o.run("nat", "snat", "delete", "acme")
	lab.Eventually(t, pollTime, "the transfer to end with its rule", func() error {
		before := a.received.Load()
		time.Sleep(natTime / 4)
		if n := a.received.Load() - before; n > 0 {
			return fmt.Errorf("%d bytes came", n)
		}
		return nil
	})
	b.goesOn(t, "the other tenant's transfer")
}

// opened returns how many of 30 connections to a server come about at once.
func opened(from *machine, to netip.AddrPort) int {
	var open atomic.Int64
	var all sync.WaitGroup
	hold := make(chan struct{})
	var tried sync.WaitGroup
	for range 30 {
		tried.Add(1)
		all.Go(func() {
			c, err := dial(from.Workload, "tcp", to)
			tried.Done()
			if err == nil {
				open.Add(1)
				<-hold
				c.Close()
			}
		})
	}
	tried.Wait()
	close(hold)
	all.Wait()
	return int(open.Load())
}

// limited waits until the switch has a limit for the connections of some zone: the
// next connection is under it.
func (o *outdoors) limited(h *lab.Host, limit int) {
	o.t.Helper()
	lab.Eventually(o.t, pollTime, "the limit to be in the switch", func() error {
		out, err := h.Exec(o.t.Context(), "ovs-appctl", "dpctl/ct-get-limits")
		if err == nil && !strings.Contains(out, fmt.Sprintf("limit=%d,", limit)) {
			err = errors.New(out)
		}
		return err
	})
}

func TestNATAfterVswitchdDied(t *testing.T) {
	o := newOutdoors(t, 1)
	if err := o.AllowLog(vswitchdGone...); err != nil {
		t.Fatal(err)
	}
	tellTale(t, o.outside.Workload, lab.InternetServer, lab.CampusServer)
	acme, other, third := o.tenant("acme", o.Hosts[0]), o.tenant("umbrella", o.Hosts[0]), o.tenant("hooli", o.Hosts[0])
	h, server := o.Hosts[0], at(lab.InternetServer)
	const most = 10
	o.run("nat", "snat", "add", "acme", "--external", "internet", "--max-connections", fmt.Sprint(most))
	o.snat("umbrella", "internet")
	o.snat("hooli", "campus")
	floating := at(o.float(other[0]))
	tellTale(t, other[0].Workload)
	works := func() {
		t.Helper()
		o.limited(h, most)
		o.seenAs(third[0].Workload, "tcp", at(lab.CampusServer), 10, o.campusAddr(third[0]))
		o.seenAs(other[0].Workload, "tcp", server, 10, floating.Addr())
		o.seenAs(o.outside.Workload, "tcp", floating, 10, lab.CampusGateway)
		// Until the next hop's MAC is known, a connection may count that does not come
		// about; one ping is one connection.
		o.reaches(acme[0], lab.InternetServer)
		before := o.drops(h, "nat-full")
		if n := opened(acme[0], server); n == 0 || n > most {
			t.Errorf("%d connections of at most %d come about", n, most)
		}
		o.dropped(h, "nat-full", before+1)
		if n := opened(third[0], server); n != 30 {
			t.Errorf("%d of 30 connections of a tenant without a limit come about", n)
		}
	}
	works()
	if err := h.Vswitchd.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := h.StartVswitchd(t.Context()); err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, pollTime, "the flows to be back", func() error { return flowsAreRight(t.Context(), h) })
	works()
	o.run("nat", "snat", "set", "acme", "--max-connections", "0")
	lab.Eventually(t, pollTime, "more connections without the limit", func() error {
		if n := opened(acme[0], server); n != 30 {
			return fmt.Errorf("%d of 30", n)
		}
		return nil
	})
}

// campusAddr asks how the campus sees a machine.
func (o *outdoors) campusAddr(m *machine) netip.Addr {
	o.t.Helper()
	var who netip.AddrPort
	lab.Eventually(o.t, pollTime, "an answer from the campus", func() (err error) {
		who, err = askWho(m.Workload, "tcp", at(lab.CampusServer), 10)
		return err
	})
	return who.Addr()
}

// A host that leaves leaves nothing of its ways out behind, and the bridge of others
// as it was.
func TestHostLeavesWithItsWaysOut(t *testing.T) {
	o := newOutdoors(t, 2)
	tellTale(t, o.outside.Workload, lab.InternetServer, lab.CampusServer)
	acme, other := o.tenant("acme", o.Hosts[0], o.Hosts[1]), o.tenant("umbrella", o.Hosts[1])
	o.snat("acme", "campus")
	o.snat("umbrella", "internet")
	// What it says about an ovloomd that leaves in the middle of a conversation.
	if err := o.AllowLog(`\|rconn\|WARN\|br-int<->unix#\d+: connection dropped`); err != nil {
		t.Fatal(err)
	}
	h := o.Hosts[1]
	stays := o.campusAddr(acme[0])
	o.campusAddr(acme[1])
	o.seenAs(other[0].Workload, "tcp", at(lab.InternetServer), 10, h.InternetAddr())
	in := func(args ...string) string {
		t.Helper()
		out, err := h.Exec(t.Context(), args...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	ours := func() (left []string) {
		t.Helper()
		for what, out := range map[string]string{
			"table ip ovloom": in("nft", "list", "tables"),
			" ovl0: ":         in("ip", "-o", "link"),
			"lo:ovl0":         in("ip", "-o", "addr"),
			"ovloom":          in("ovs-vsctl", "--columns=name,external_ids", "list", "Interface"),
			"br-int":          in("ovs-vsctl", "list-br"),
		} {
			if strings.Contains(out, what) {
				left = append(left, what)
			}
		}
		if ports := strings.Fields(in("ovs-vsctl", "list-ports", lab.CampusBridge)); len(ports) != 1 || ports[0] != lab.CampusNIC {
			left = append(left, fmt.Sprint(ports))
		}
		return left
	}
	if found := ours(); len(found) != 6 {
		t.Fatalf("before leaving there is only %v", found)
	}
	o.runOn(h, "host", "leave", "--cascade")
	if err := h.Ovloomd.Wait(t.Context()); err != nil {
		t.Errorf("ovloomd did not end well: %v", err)
	}
	h.Ovloomd = nil // its end is no surprise
	if left := ours(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if now := o.campusAddr(acme[0]); now != stays {
		t.Errorf("the other host's address was %s and is %s", stays, now)
	}
}
