package leave

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ovloom/ovloom/agent"
	"github.com/ovloom/ovloom/intent"
)

// bed is a host with a port, a NIC in a bridge, and a store with another host. It logs what is
// done.
type bed struct {
	log       []string
	ports     []agent.Plugged
	hosts     []string
	hostsErr  error
	removeErr error
	nic       string
	failing   string // the step that fails
}

func (b *bed) did(format string, args ...any) error {
	what := fmt.Sprintf(format, args...)
	if what == b.failing {
		return errors.New("refused")
	}
	b.log = append(b.log, what)
	return nil
}

func (b *bed) Plugged() []agent.Plugged { return b.ports }
func (b *bed) Remove(_ context.Context, p agent.Plugged) error {
	return b.did("unplug %s", p.Interface)
}
func (b *bed) DeleteBridge(_ context.Context, name string) error { return b.did("delete %s", name) }
func (b *bed) Taken() (string, error)                            { return b.nic, nil }
func (b *bed) Return(context.Context) error                      { return b.did("return %s", b.nic) }
func (b *bed) Hosts(context.Context) ([]intent.HostState, error) {
	var list []intent.HostState
	for _, h := range b.hosts {
		list = append(list, intent.HostState{Host: intent.Host{Name: h}})
	}
	return list, b.hostsErr
}

func (b *bed) RemoveHost(_ context.Context, name string, cascade bool) ([]string, int64, error) {
	return nil, 0, errors.Join(b.removeErr, b.did("remove %s, cascade %v", name, cascade))
}

func (b *bed) host() *Host {
	return &Host{Name: "host1", Bridge: "br-int", Ports: b, Store: b, Switch: b, Underlay: b,
		RemoveExits: func(context.Context) error { return b.did("remove exits") },
		RemoveApart: func(context.Context) error { return b.did("remove rules") },
		StopLoops:   func() { _ = b.did("stop") },
		End:         func(why error) { _ = b.did("end: %v", why) }}
}

func newBed() *bed {
	return &bed{ports: []agent.Plugged{{Interface: "ovl1", Port: "u1", For: "acme/web/c1"}}, hosts: []string{"host1", "host2"}, nic: "eth1"}
}

var wholeLeave = []string{"unplug ovl1", "stop", "remove host1, cascade true", "remove exits", "delete br-int", "remove rules", "return eth1", "end: this host has left the overlay"}

func TestLeave(t *testing.T) {
	b := newBed()
	done, err := b.host().Leave(t.Context(), true)
	if err != nil || !slices.Equal(b.log, wholeLeave) {
		t.Errorf("done %q, want %q; %v", b.log, wholeLeave, err)
	}
	plan, err := newBed().host().PlanLeave(t.Context())
	if err != nil || !slices.Equal(plan, done) {
		t.Errorf("planned %q, %v; done %q", plan, err, done)
	}
	if want := "unplug port acme/web/c1 (interface ovl1)"; done[0] != want {
		t.Errorf("the first step is %q, want %q", done[0], want)
	}

	// Another host had removed this one already, and there is no NIC to give back.
	b = newBed()
	b.removeErr, b.nic = intent.NotFoundf("host host1 does not exist"), ""
	if done, err := b.host().Leave(t.Context(), true); err != nil || len(done) != 5 {
		t.Errorf("done %q, %v", done, err)
	}
}

// If leaving fails halfway, the daemon, which is half stopped, ends and reports the step; if it
// fails at once, nothing changes.
func TestLeaveThatFails(t *testing.T) {
	b := newBed()
	b.failing = "delete br-int"
	done, err := b.host().Leave(t.Context(), true)
	if len(done) != 4 || err == nil || !strings.Contains(err.Error(), `leaving stopped at "delete bridge br-int": refused`) {
		t.Errorf("done %q, %v", done, err)
	}
	if last := b.log[len(b.log)-1]; !strings.HasPrefix(last, "end: leaving stopped") {
		t.Errorf("the last step is %q", last)
	}
	b = newBed()
	b.failing = "unplug ovl1"
	if done, err := b.host().Leave(t.Context(), true); len(done) != 0 || err == nil || len(b.log) != 0 {
		t.Errorf("done %q, %v; happened %q", done, err, b.log)
	}
}

func TestLeaveIsRefused(t *testing.T) {
	for _, c := range []struct {
		name    string
		change  func(*bed, *Host)
		cascade bool
		want    intent.Kind
	}{
		{"ports are plugged", func(*bed, *Host) {}, false, intent.InUse},
		{"others live on the store that runs here", func(_ *bed, h *Host) { h.HasStore = true }, true, intent.InUse},
		{"the store does not answer", func(b *bed, _ *Host) { b.hostsErr = intent.Unavailablef("down") }, true, intent.Unavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBed()
			h := b.host()
			c.change(b, h)
			done, err := h.Leave(t.Context(), c.cascade)
			if intent.KindOf(err) != c.want || len(done)+len(b.log) != 0 {
				t.Errorf("%v, want %v; happened %q", err, c.want, b.log)
			}
		})
	}
	b := newBed()
	b.hosts = []string{"host1"}
	h := b.host()
	h.HasStore = true
	if _, err := h.Leave(t.Context(), true); err != nil {
		t.Errorf("the last host: %v", err)
	}
}
