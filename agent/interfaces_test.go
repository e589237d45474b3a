package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ovloom/ovloom/controller"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/ovsdb"
)

// fakeDatabase is a database whose bridge has the fake host's interfaces.
type fakeDatabase struct {
	*fakeHost
	mu        sync.Mutex
	connected bool
	changed   chan struct{}
}

func (d *fakeDatabase) Watch() <-chan struct{} { return d.changed }
func (d *fakeDatabase) State() ovsdb.State {
	d.mu.Lock()
	defer d.mu.Unlock()
	return ovsdb.State{Connected: d.connected}
}

func (d *fakeDatabase) connect(connected bool) {
	d.mu.Lock()
	d.connected = connected
	d.mu.Unlock()
	d.changed <- struct{}{}
}

// fakeApart logs the interfaces from which the host is isolated.
type fakeApart struct {
	mu   sync.Mutex
	err  error
	kept []string
}

func (a *fakeApart) Keep(_ context.Context, links []string, all bool) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.kept = append(a.kept, fmt.Sprint(links, all))
	return a.err
}

func (a *fakeApart) fail(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.err = err
}

func (a *fakeApart) took() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	kept := a.kept
	a.kept = nil
	return kept
}

// The controller gets interfaces only after the host is isolated from them: whenever they
// change or an interface can no longer carry its port, and not from a database that is
// disconnected.
func TestInterfacesArePassedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, f := newHost(t)
		f.switched["vx0"] = ovsdb.Interface{UUID: "v", Name: "vx0", OFPort: 1}
		f.switched["tap1"] = ovsdb.Interface{UUID: "t", Name: "tap1", IfaceID: uuid1, OFPort: 7, PluggedFor: "acme/web/c1", Generation: 3}
		f.switched["ex-patch"] = ovsdb.Interface{UUID: "p", Name: "ex-patch", Uplink: "bridge:br-ex", Type: "patch", OFPort: -1}
		db := &fakeDatabase{fakeHost: f, changed: make(chan struct{})}
		apart := &fakeApart{}
		passed := make(chan []controller.Interface, 10)
		tunnels := make(chan of.PortNo, 10)
		i := &Interfaces{Agent: a, Database: db, Tunnel: "vx0", Apart: apart, Log: slog.New(slog.DiscardHandler),
			SetInterfaces: func(_ context.Context, list []controller.Interface) {
				if len(apart.took()) == 0 {
					t.Error("the controller gets an interface before the host is isolated from it")
				}
				passed <- list
			},
			SetTunnel: func(n of.PortNo) { tunnels <- n }}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); _ = i.Run(ctx) }()

		db.connect(false)
		if synctest.Wait(); len(passed) != 0 {
			t.Error("interfaces are passed on without a database")
		}
		db.connect(true)
		list := <-passed
		slices.SortFunc(list, func(a, b controller.Interface) int { return strings.Compare(a.Name, b.Name) })
		want := []controller.Interface{
			{UUID: "p", Name: "ex-patch"},
			{UUID: "t", Name: "tap1", IfaceID: uuid1, OFPort: 7, Plugged: true, Generation: 3}}
		if !slices.Equal(list, want) || <-tunnels != 1 {
			t.Errorf("passed on %+v, want %+v", list, want)
		}
		a.setState("tap1", State{Port: "acme/web/c1", What: "the tap is down", Down: true})
		for list = range passed {
			if n := slices.IndexFunc(list, func(i controller.Interface) bool { return i.Name == "tap1" }); list[n].OFPort == 0 && list[n].Fault == "the tap is down" {
				break
			}
		}
		f.mu.Lock()
		delete(f.switched, "vx0")
		f.mu.Unlock()
		for len(tunnels) > 0 {
			<-tunnels
		}
		db.connect(true)
		if n := <-tunnels; n != 0 {
			t.Errorf("the tunnel port is %d after it has gone", n)
		}
		stop()
		<-done
	})
}

func TestHostIsKeptApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, f := newHost(t)
		f.switched["tap1"] = ovsdb.Interface{Name: "tap1", IfaceID: uuid1}
		f.switched["internal"] = ovsdb.Interface{Name: "internal", IfaceID: "x", Type: "internal"}
		f.switched["ex0"] = ovsdb.Interface{Name: "ex0", IfaceID: "x", Uplink: "host"}
		var log bytes.Buffer
		apart := &fakeApart{}
		i := &Interfaces{Agent: a, Database: &fakeDatabase{fakeHost: f}, Apart: apart, Log: slog.New(slog.NewTextHandler(&log, nil))}
		for _, c := range []struct {
			err    error
			time   time.Duration
			kept   int
			logged int
		}{{nil, 5 * time.Second, 1, 0}, {nil, ApartEvery + time.Second, 2, 0}, {errors.New("no nft"), 3*ApartEvery + time.Second, 4, 1}} {
			ctx, cancel := context.WithTimeout(t.Context(), c.time)
			apart.fail(c.err)
			if err := i.RunApart(ctx); err != nil {
				t.Error(err)
			}
			cancel()
			kept := apart.took()
			if len(kept) != c.kept || kept[0] != "[tap1] true" {
				t.Errorf("in %s kept %q apart, want %d times tap1", c.time, kept, c.kept)
			}
			if n := strings.Count(log.String(), "no nft"); n != c.logged {
				t.Errorf("logged %d times, want %d: %s", n, c.logged, log.String())
			}
		}
		i.Apart = nil
		if err := i.RunApart(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestOwnedPorts(t *testing.T) {
	own := if1
	made := false
	o := Owned{Tunnel: "vx0", HostUplink: "ovl-ext", HostUplinkMade: func() bool { return made }, Interfaces: func() []ovsdb.Interface {
		return []ovsdb.Interface{{Name: own, IfaceID: uuid1}, {Name: "tap1", IfaceID: uuid1}, {Name: "ovl-ext", Uplink: "host"}, {Name: "ex-patch", Uplink: "bridge:br-ex"}}
	}}
	down := func(name string) of.Port {
		return of.Port{No: 7, Name: name, PortConfig: of.PortConfig{Down: true, NoReceive: true}}
	}
	for _, c := range []struct {
		name string
		want of.PortConfig
	}{
		{"vx0", of.PortConfig{}}, {own, of.PortConfig{}}, {"ex-patch", of.PortConfig{}},
		{"tap1", of.PortConfig{Down: true}}, {"unknown", of.PortConfig{Down: true}}, {"ovl-ext", of.PortConfig{Down: true}},
	} {
		if got := o.Wanted(down(c.name)); got != c.want {
			t.Errorf("%s must be %v, want %v", c.name, got, c.want)
		}
	}
	made = true
	if got := o.Wanted(down("ovl-ext")); got.Down {
		t.Errorf("the finished uplink must be %v", got)
	}
	local := down("br-int")
	local.No = of.PortLocal
	if got := o.Wanted(local); got != local.PortConfig {
		t.Errorf("the bridge's own port must be %v", got)
	}
}
