package controller

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ovloom/ovloom/intent"
)

// said returns the announcements since the last call, each as sender, MAC and the port that it
// is not sent to.
func (r *rig) said() []string {
	r.t.Helper()
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []string
	for _, a := range r.announced {
		for _, addr := range a.Addrs {
			all = append(all, addr.String()+" "+a.MAC.String()+" not to "+a.Port.String())
		}
	}
	r.announced = nil
	return all
}

func (r *rig) saidOnly(want ...string) {
	r.t.Helper()
	if got := r.said(); len(got) != len(want) || len(got) > 0 && (got[0] != want[0] || got[len(got)-1] != want[len(want)-1]) {
		r.t.Errorf("announced %q, want %q", got, want)
	}
}

// A port that comes up is announced several times by its host. A restart causes no
// announcement, and a port that has moved to another host is announced no more.
func TestArrivalsAreAnnounced(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.store.put("acme", intent.Port{Tenant: "acme", Network: "web", Name: "c1", ID: 11, UUID: uuidOf(11), MAC: intent.MAC{2, 0, 0, 0, 0, 11},
			Addrs: []netip.Addr{netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("fd00::2")}})
		both := []string{"10.0.0.2 02:00:00:00:00:0b not to 5", "fd00::2 02:00:00:00:00:0b not to 5"}
		r.bound()
		time.Sleep(2 * arrivalTimes * tick)
		all := r.said()
		if len(all) != arrivalTimes*len(both) || all[0] != both[0] || all[1] != both[1] {
			t.Errorf("announced %q", all)
		}

		// A new connection to the switch causes no announcement.
		r.Disconnected(r.ctx, r.sw)
		r.Connected(r.ctx, r.sw, 1)
		time.Sleep(2 * arrivalTimes * tick)
		r.saidOnly()

		// The port leaves while it is being announced again.
		r.rows.unplug("if1")
		time.Sleep(2 * tick)
		r.saidOnly()
		r.rows.plug(Interface{Name: "if1", IfaceID: uuidOf(11), OFPort: 5})
		r.saidOnly(both...)
		r.store.claimElsewhere(portRef("c1"), "host2")
		time.Sleep(2 * arrivalTimes * tick)
		r.saidOnly()
		r.calls.take()
	})
}

// A port with a new MAC or address is announced with the new one; losing an address causes no
// announcement.
func TestChangedAddressesAreAnnounced(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.bound()
		time.Sleep(2 * arrivalTimes * tick)
		r.said()
		port := intent.Port{Tenant: "acme", Network: "web", Name: "c1", ID: 11, UUID: uuidOf(11), MAC: intent.MAC{2, 0, 0, 0, 0, 11}}
		set := func(mac byte, addrs ...string) {
			port.MAC[5], port.Addrs = mac, nil
			for _, a := range addrs {
				port.Addrs = append(port.Addrs, netip.MustParseAddr(a))
			}
			r.store.put("acme", port)
			r.calls.take()
		}
		set(11, "10.0.0.2")
		time.Sleep(2 * arrivalTimes * tick)
		r.said()

		set(12, "10.0.0.2")
		r.saidOnly("10.0.0.2 02:00:00:00:00:0c not to 5")
		time.Sleep(2 * arrivalTimes * tick)
		if got := len(r.said()); got != arrivalTimes-1 {
			t.Errorf("announced again %d times", got)
		}
		set(12, "10.0.0.2", "10.0.0.200")
		r.saidOnly("10.0.0.2 02:00:00:00:00:0c not to 5", "10.0.0.200 02:00:00:00:00:0c not to 5")
		time.Sleep(2 * arrivalTimes * tick)
		r.said()
		set(12, "10.0.0.200")
		time.Sleep(2 * arrivalTimes * tick)
		r.saidOnly()
		r.calls.take()
	})
}
