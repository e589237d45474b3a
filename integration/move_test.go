package integration_test

import (
	"fmt"
	"testing"

	"github.com/ovloom/ovloom/integration/lab"
)

// A port unplugged here and plugged there takes its traffic along.
func TestPortMovesBetweenHosts(t *testing.T) {
	o := newOverlay(t, lab.Config{})
	o.run("tenant", "add", "acme")
	o.run("network", "add", "acme/web", "--subnet", "10.0.0.0/24", "--subnet", "fd00:1::/64")
	peer := o.plug(o.Hosts[2], "acme/web/peer")
	m := o.plug(o.Hosts[0], "acme/web/c1")
	o.reaches(peer, m.v4())

	for _, h := range []*lab.Host{o.Hosts[1], o.Hosts[0], o.Hosts[2], o.Hosts[1]} {
		o.runOn(m.Host, "port", "unplug", "acme/web/c1")
		m = o.plugExisting(h, "acme/web/c1")
		o.reaches(peer, m.v4())
		o.reaches(m, peer.v6())
	}
}

// The newest claim wins; the older one is shown, silenced, and of no consequence
// when it goes.
func TestTwoHostsThatClaimAPort(t *testing.T) {
	o := newOverlay(t, lab.Config{})
	o.run("tenant", "add", "acme")
	o.run("network", "add", "acme/web", "--subnet", "10.0.0.0/24")
	peer := o.plug(o.Hosts[2], "acme/web/peer")
	old := o.plug(o.Hosts[0], "acme/web/c1")
	o.reaches(peer, old.v4())
	o.refused(o.Hosts[1], 4, say("port acme/web/c1 is plugged on host host1", "--take"), "port", "plug", "acme/web/c1", "--netns", old.NetNS)
	now := o.plugExisting(o.Hosts[1], "acme/web/c1", "--take") // and the old one stays

	claimed := func(h *lab.Host, hosts ...string) {
		t.Helper()
		lab.Eventually(t, pollTime, fmt.Sprintf("the claims that %s shows", h.Name), func() error {
			conflicts := o.status(h).Conflicts
			if len(hosts) < 2 {
				if len(conflicts) > 0 {
					return fmt.Errorf("a conflict: %+v", conflicts)
				}
				return nil
			}
			if len(conflicts) != 1 || conflicts[0].Port != "acme/web/c1" || len(conflicts[0].Claims) != len(hosts) {
				return fmt.Errorf("%+v", conflicts)
			}
			for i, c := range conflicts[0].Claims {
				if c.Host != hosts[i] {
					return fmt.Errorf("claim %d is of %s, not %s", i, c.Host, hosts[i])
				}
			}
			return nil
		})
	}
	for _, h := range o.Hosts {
		claimed(h, "host2", "host1")
	}
	o.reaches(peer, now.v4())
	heard := o.capture(peer)
	before := o.drops(old.Host, "claimed-elsewhere")
	lie := []byte("from the loser")
	o.say(old, peer, lie)
	o.dropped(old.Host, "claimed-elsewhere", before+1)
	truth := []byte("from the winner")
	o.say(now, peer, truth)
	heard.MustSee(t, pollTime, "the winner's datagram", carries(truth))
	heard.MustNotSee(t, "the loser's datagram", carries(lie))

	t.Run("late events of the old binding", func(t *testing.T) {
		o := &overlay{o.Lab, t}
		// The loser's daemon starts anew and finds its old interface with its old
		// claim; then the interface goes, long after the port moved.
		if err := o.Hosts[0].Ovloomd.Kill(); err != nil {
			t.Fatal(err)
		}
		if _, err := o.Hosts[0].StartOvloomd(t.Context()); err != nil {
			t.Fatal(err)
		}
		o.synced(o.Hosts[0])
		claimed(o.Hosts[0], "host2", "host1")
		o.reaches(peer, now.v4())
		o.runOn(o.Hosts[0], "port", "unplug", "acme/web/c1")
		for _, h := range o.Hosts {
			claimed(h)
		}
		o.reaches(peer, now.v4())
		o.reaches(now, peer.v4())
	})
}
