package faults_test

// Tests of hosts and cables that fail.

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/integration/overlay"
	"github.com/ovloom/ovloom/intent"
)

// A host that is down stays in the other hosts' tables until it is removed.
func TestHostGoneAndBack(t *testing.T) {
	o := overlay.New(t, lab.Config{Hosts: 2, AllowLog: overlay.VswitchdGone})
	o.Run("tenant", "add", "acme")
	o.Run("network", "add", "acme/web", "--subnet", "10.0.0.0/24")
	a, b := o.Plug(o.Hosts[0], "acme/web/c1"), o.Plug(o.Hosts[1], "acme/web/c2")
	o.Reaches(a, b.V4())
	before := o.Dump(o.Hosts[0])

	h := o.Hosts[1]
	for _, p := range []*lab.Process{h.Ovloomd, h.Vswitchd} {
		if err := p.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	lab.Eventually(t, time.Minute, "the host to count as gone", func() error {
		var hosts []intent.HostState
		o.Get(o.Hosts[0], &hosts, "host", "list")
		if slices.ContainsFunc(hosts, func(s intent.HostState) bool { return s.Name == h.Name && s.Alive }) {
			return errors.New("it counts as alive")
		}
		return nil
	})
	if after := o.Dump(o.Hosts[0]); after != before {
		t.Errorf("flows before the host went:\n%s\nafter:\n%s", before, after)
	}
	// Commands do not wait for it.
	c := o.Plug(o.Hosts[0], "acme/web/c3")

	if err := h.StartVswitchd(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := h.StartOvloomd(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.Reaches(a, b.V4())
	o.Reaches(b, c.V4())
}

// After a cable is unplugged and plugged in again, everything recovers.
func TestUnderlayDownAndUp(t *testing.T) {
	o := overlay.New(t, lab.Config{Hosts: 2, AllowLog: []string{`tunnel`}})
	o.Run("tenant", "add", "acme")
	o.Run("network", "add", "acme/web", "--subnet", "10.0.0.0/24")
	a, b := o.Plug(o.Hosts[0], "acme/web/c1"), o.Plug(o.Hosts[1], "acme/web/c2")
	o.Reaches(a, b.V4())
	before := o.Dump(b.Host)
	for range 2 {
		if err := b.Host.LinkDown(); err != nil {
			t.Fatal(err)
		}
		lab.Eventually(t, overlay.PollTime, "traffic to stop", func() error {
			if _, err := a.Ping(t.Context(), b.V4()); err == nil {
				return errors.New("an answer")
			}
			return nil
		})
		if err := b.Host.LinkUp(); err != nil {
			t.Fatal(err)
		}
		o.Reaches(a, b.V4())
	}
	if after := o.Dump(b.Host); after != before {
		t.Errorf("flows before:\n%s\nafter:\n%s", before, after)
	}
}
