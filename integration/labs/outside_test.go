package labs_test

import (
	"net/netip"
	"testing"

	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/integration/overlay"
)

// The outside that later tests reach through the overlay is reached by the hosts
// themselves, on both ways.
func TestOutsideOfTheLab(t *testing.T) {
	l := lab.New(t, lab.Config{Hosts: 2})
	if _, err := l.NewOutside(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, h := range l.Hosts {
		lab.Eventually(t, overlay.PollTime, h.Name+" to reach the internet", func() error {
			_, err := h.Ping(t.Context(), lab.InternetServer)
			return err
		})
	}
	// A machine on the campus, behind the bridge of a host.
	w, err := l.Hosts[1].NewWorkload(t.Context(), "desk")
	if err != nil {
		t.Fatal(err)
	}
	desk := lab.Veth{Bridge: lab.CampusBridge, HostIf: "desk", Addrs: []netip.Prefix{netip.MustParsePrefix("203.0.113.99/24")}, MTU: 1500}
	if err := w.PlugVeth(t.Context(), desk); err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, overlay.PollTime, "a machine to reach the campus' router", func() error {
		_, err := w.Ping(t.Context(), lab.CampusGateway)
		return err
	})
}
