package host_test

import (
	"fmt"
	"testing"

	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/integration/overlay"
)

// A port unplugged here and plugged there takes its traffic along.
func TestPortMovesBetweenHosts(t *testing.T) {
	o := overlay.New(t, lab.Config{})
	o.Run("tenant", "add", "acme")
	o.Run("network", "add", "acme/web", "--subnet", "10.0.0.0/24", "--subnet", "fd00:1::/64")
	peer := o.Plug(o.Hosts[2], "acme/web/peer")
	m := o.Plug(o.Hosts[0], "acme/web/c1")
	o.Reaches(peer, m.V4())

	for _, h := range []*lab.Host{o.Hosts[1], o.Hosts[0], o.Hosts[2], o.Hosts[1]} {
		o.RunOn(m.Host, "port", "unplug", "acme/web/c1")
		m = o.PlugExisting(h, "acme/web/c1")
		o.Reaches(peer, m.V4())
		o.Reaches(m, peer.V6())
	}
}

// The newest claim wins; the older one is shown, silenced, and of no consequence
// when it goes.
func TestTwoHostsThatClaimAPort(t *testing.T) {
	o := overlay.New(t, lab.Config{})
	o.Run("tenant", "add", "acme")
	o.Run("network", "add", "acme/web", "--subnet", "10.0.0.0/24")
	peer := o.Plug(o.Hosts[2], "acme/web/peer")
	old := o.Plug(o.Hosts[0], "acme/web/c1")
	o.Reaches(peer, old.V4())
	refused(o, o.Hosts[1], 4, overlay.Words("port acme/web/c1 is plugged on host host1", "--take"), "port", "plug", "acme/web/c1", "--netns", old.NetNS)
	now := o.PlugExisting(o.Hosts[1], "acme/web/c1", "--take") // and the old one stays

	claimed := func(h *lab.Host, hosts ...string) {
		t.Helper()
		lab.Eventually(t, overlay.PollTime, fmt.Sprintf("the claims that %s shows", h.Name), func() error {
			conflicts := o.Status(h).Conflicts
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
	o.Reaches(peer, now.V4())
	heard := o.Capture(peer)
	before := o.Drops(old.Host, "claimed-elsewhere")
	lie := []byte("from the loser")
	o.Say(old, peer, lie)
	o.Dropped(old.Host, "claimed-elsewhere", before+1)
	truth := []byte("from the winner")
	o.Say(now, peer, truth)
	heard.MustSee(t, overlay.PollTime, "the winner's datagram", overlay.PayloadIs(truth))
	heard.MustNotSee(t, "the loser's datagram", overlay.PayloadIs(lie))

	t.Run("late events of the old binding", func(t *testing.T) {
		o := o.With(t)
		// The loser's daemon restarts and finds its old interface with its old
		// claim; then the interface goes, long after the port moved.
		if err := o.Hosts[0].Ovloomd.Kill(); err != nil {
			t.Fatal(err)
		}
		if _, err := o.Hosts[0].StartOvloomd(t.Context()); err != nil {
			t.Fatal(err)
		}
		o.Synced(o.Hosts[0])
		claimed(o.Hosts[0], "host2", "host1")
		o.Reaches(peer, now.V4())
		o.RunOn(o.Hosts[0], "port", "unplug", "acme/web/c1")
		for _, h := range o.Hosts {
			claimed(h)
		}
		o.Reaches(peer, now.V4())
		o.Reaches(now, peer.V4())
	})
}
