package nat_test

// NAT survives restarts of ovloomd and of ovs-vswitchd, keeps its limits, and ends with
// its rules.

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
	"github.com/ovloom/ovloom/integration/overlay"
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
func startBulk(o *overlay.Outdoors, from *overlay.Machine, server netip.Addr) *bulk {
	o.T.Helper()
	var l net.Listener
	if err := o.Outside.InNetNS(func() (err error) {
		l, err = net.Listen("tcp", netip.AddrPortFrom(server, 0).String())
		return err
	}); err != nil {
		o.T.Fatal(err)
	}
	o.T.Cleanup(func() { l.Close() })
	to := l.Addr().(*net.TCPAddr).AddrPort()
	var c net.Conn
	lab.Eventually(o.T, overlay.PollTime, "a connection to "+to.String(), func() (err error) {
		c, err = overlay.Dial(from.Workload, "tcp", to)
		return err
	})
	o.T.Cleanup(func() { c.Close() })
	s, err := l.Accept()
	if err != nil {
		o.T.Fatal(err)
	}
	o.T.Cleanup(func() { s.Close() })
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
			// What is not read any more fills the buffers first.
			c.SetWriteDeadline(time.Now().Add(overlay.PollTime))
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

// during returns the rate of bytes and the longest pause between them, while fn runs
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
	lab.Eventually(t, overlay.PollTime, what+" goes on", func() error {
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
	o := overlay.NewOutdoors(t, 1)
	acme, other := o.Tenant("acme", o.Hosts[0]), o.Tenant("umbrella", o.Hosts[0])
	o.SNAT("acme", "internet")
	o.SNAT("umbrella", "internet")
	a, b := startBulk(o, acme[0], lab.InternetServer), startBulk(o, other[0], lab.InternetServer)
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
		o.Synced(h)
	})
	t.Logf("%.0f bytes/s, longest stall %s; over a restart %.0f bytes/s, %s", rate, stall, rateOver, stallOver)
	if rateOver < rate/2 {
		t.Errorf("%.0f bytes/s over a restart of ovloomd, and %.0f without", rateOver, rate)
	}
	if limit := 10*stall + time.Second; stallOver > limit {
		t.Errorf("the transfer stalled %s over a restart of ovloomd, and %s without", stallOver, stall)
	}
	o.Run("nat", "floating", "add", "umbrella/web/c1", "--external", "campus")
	a.goesOn(t, "the transfer over a restart")
	b.goesOn(t, "the transfer whose port got a floating address")

	o.Run("nat", "snat", "delete", "acme")
	lab.Eventually(t, overlay.PollTime, "the transfer to end with its rule", func() error {
		before := a.received.Load()
		time.Sleep(overlay.AnswerTime / 4)
		if n := a.received.Load() - before; n > 0 {
			return fmt.Errorf("%d bytes came", n)
		}
		return nil
	})
	b.goesOn(t, "the other tenant's transfer")
}

// opened returns how many of 30 connections to a server come about at once.
func opened(from *overlay.Machine, to netip.AddrPort) int {
	var open atomic.Int64
	var all sync.WaitGroup
	hold := make(chan struct{})
	var tried sync.WaitGroup
	for range 30 {
		tried.Add(1)
		all.Go(func() {
			c, err := overlay.Dial(from.Workload, "tcp", to)
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

func TestNATAfterVswitchdDied(t *testing.T) {
	o := overlay.NewOutdoors(t, 1)
	if err := o.AllowLog(overlay.VswitchdGone...); err != nil {
		t.Fatal(err)
	}
	overlay.Serve(t, o.Outside.Workload, lab.InternetServer, lab.CampusServer)
	acme, other, third := o.Tenant("acme", o.Hosts[0]), o.Tenant("umbrella", o.Hosts[0]), o.Tenant("hooli", o.Hosts[0])
	h, server := o.Hosts[0], overlay.ServerAt(lab.InternetServer)
	const most = 10
	o.Run("nat", "snat", "add", "acme", "--external", "internet", "--max-connections", fmt.Sprint(most))
	o.SNAT("umbrella", "internet")
	o.SNAT("hooli", "campus")
	floating := overlay.ServerAt(o.Float(other[0]))
	overlay.Serve(t, other[0].Workload)
	works := func() {
		t.Helper()
		o.ConnectionsLimited(h, most)
		o.SeenAs(third[0].Workload, "tcp", overlay.ServerAt(lab.CampusServer), 10, campusAddr(o, third[0]))
		o.SeenAs(other[0].Workload, "tcp", server, 10, floating.Addr())
		o.SeenAs(o.Outside.Workload, "tcp", floating, 10, lab.CampusGateway)
		// Until the next hop's MAC is known, a connection may count that does not come
		// about; one ping is one connection.
		o.Reaches(acme[0], lab.InternetServer)
		before := o.Drops(h, "nat-full")
		if n := opened(acme[0], server); n == 0 || n > most {
			t.Errorf("%d connections of at most %d come about", n, most)
		}
		o.Dropped(h, "nat-full", before+1)
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
	lab.Eventually(t, overlay.PollTime, "the flows to be back", func() error { return overlay.FlowsAreRight(t.Context(), h) })
	works()
	o.Run("nat", "snat", "set", "acme", "--max-connections", "0")
	lab.Eventually(t, overlay.PollTime, "more connections without the limit", func() error {
		if n := opened(acme[0], server); n != 30 {
			return fmt.Errorf("%d of 30", n)
		}
		return nil
	})
}

// campusAddr asks how the campus sees a machine.
func campusAddr(o *overlay.Outdoors, m *overlay.Machine) netip.Addr {
	o.T.Helper()
	var who netip.AddrPort
	lab.Eventually(o.T, overlay.PollTime, "an answer from the campus", func() (err error) {
		who, err = overlay.AskWho(m.Workload, "tcp", overlay.ServerAt(lab.CampusServer), 10)
		return err
	})
	return who.Addr()
}

// A host that leaves leaves nothing of its uplinks behind, and the bridge of others
// as it was.
func TestHostLeavesWithItsWaysOut(t *testing.T) {
	o := overlay.NewOutdoors(t, 2)
	overlay.Serve(t, o.Outside.Workload, lab.InternetServer, lab.CampusServer)
	acme, other := o.Tenant("acme", o.Hosts[0], o.Hosts[1]), o.Tenant("umbrella", o.Hosts[1])
	o.SNAT("acme", "campus")
	o.SNAT("umbrella", "internet")
	// Open vSwitch's warning about an ovloomd that closes the connection in the middle of a message.
	if err := o.AllowLog(`\|rconn\|WARN\|br-int<->unix#\d+: connection dropped`); err != nil {
		t.Fatal(err)
	}
	h := o.Hosts[1]
	stays := campusAddr(o, acme[0])
	campusAddr(o, acme[1])
	o.SeenAs(other[0].Workload, "tcp", overlay.ServerAt(lab.InternetServer), 10, h.InternetAddr())
	in := func(args ...string) string { t.Helper(); return o.Exec(h, args...) }
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
		ports, err := overlay.OVS(t.Context(), h).VSwitch.ListPorts(lab.CampusBridge)
		if err != nil {
			t.Fatal(err)
		}
		if len(ports) != 1 || ports[0] != lab.CampusNIC {
			left = append(left, fmt.Sprint(ports))
		}
		return left
	}
	if found := ours(); len(found) != 6 {
		t.Fatalf("before leaving there is only %v", found)
	}
	o.RunOn(h, "host", "leave", "--cascade")
	if err := h.Ovloomd.Wait(t.Context()); err != nil {
		t.Errorf("ovloomd did not end well: %v", err)
	}
	h.Ovloomd = nil // its end is no surprise
	if left := ours(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if now := campusAddr(o, acme[0]); now != stays {
		t.Errorf("the other host's address was %s and is %s", stays, now)
	}
}
