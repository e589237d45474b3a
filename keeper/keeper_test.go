package keeper

import (
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

	"github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/openflow/ofconn"
	"github.com/ovloom/ovloom/pipeline"
)

// fakeConn is a switch with ports.
type fakeConn struct {
	mu    sync.Mutex
	ports []openflow.Port
	set   []string
	frags string // set by another program; "": unset
}

func (c *fakeConn) PutConfigBack(context.Context) (was string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	was, c.frags = c.frags, ""
	return was, nil
}

func (c *fakeConn) WatchFlows(context.Context, ...uint8) (*ofconn.FlowWatch, error) {
	return nil, errors.New("not known")
}

func (c *fakeConn) Ports(context.Context) ([]openflow.Port, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.ports), nil
}

func (c *fakeConn) SetPorts(_ context.Context, ports ...openflow.Port) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range ports {
		c.set = append(c.set, strings.TrimSpace(fmt.Sprintf("%s %s", p.Name, p.PortConfig)))
		for i := range c.ports {
			if c.ports[i].No == p.No {
				c.ports[i].PortConfig = p.PortConfig
			}
		}
	}
	return nil
}

func (c *fakeConn) setDown(no openflow.PortNo, down bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.ports {
		if c.ports[i].No == no {
			c.ports[i].Down = down
		}
	}
}

func (c *fakeConn) take() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := strings.Join(c.set, ", ")
	c.set = nil
	return s
}

func TestPortsArePutBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := &fakeConn{ports: []openflow.Port{
			{No: 1, Name: "a", PortConfig: openflow.PortConfig{NoForward: true}},
			{No: 2, Name: "b"},
			{No: openflow.PortLocal, Name: "br-int", PortConfig: openflow.PortConfig{Down: true}},
		}}
		k := New()
		k.Log = slog.New(slog.DiscardHandler)
		k.Wanted = func(p openflow.Port) openflow.PortConfig {
			if p.No == openflow.PortLocal {
				return p.PortConfig
			}
			return openflow.PortConfig{}
		}
		repaired := 0
		k.Repaired = func(openflow.Port) { repaired++ }
		ctx, stop := context.WithCancel(t.Context())
		if w := k.Begin(ctx, conn); w != nil {
			t.Error("a watch that failed")
		}
		go k.Keep(ctx, conn, nil, func() { t.Error("disturbed") })
		synctest.Wait()
		if got := conn.take(); got != "a" || repaired != 1 {
			t.Errorf("initially set: %q", got)
		}
		down := openflow.Port{No: 2, Name: "b", PortConfig: openflow.PortConfig{Down: true}}
		for event, want := range map[openflow.PortEvent]string{openflow.PortModified: "b", openflow.PortAdded: "b", openflow.PortDeleted: ""} {
			conn.setDown(2, event != openflow.PortDeleted)
			k.Changes <- openflow.PortChange{Event: event, Port: down}
			synctest.Wait()
			if got := conn.take(); got != "" {
				t.Errorf("port %s: set %q at once", event, got)
			}
			time.Sleep(2 * downPatience)
			synctest.Wait()
			if got := conn.take(); got != want {
				t.Errorf("port %s: set %q", event, got)
			}
		}
		stop()
		synctest.Wait()
	})
}

func TestFragmentsArePutBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := &fakeConn{}
		k := New()
		k.Log = slog.New(slog.DiscardHandler)
		var repaired []string
		k.FragmentsRepaired = func(was string) { repaired = append(repaired, was) }
		ctx, stop := context.WithCancel(t.Context())
		go k.Keep(ctx, conn, nil, func() { t.Error("disturbed") })
		time.Sleep(2*configEvery + time.Second)
		synctest.Wait()
		if repaired != nil {
			t.Errorf("put back: %q", repaired)
		}
		conn.mu.Lock()
		conn.frags = "drop"
		conn.mu.Unlock()
		time.Sleep(2 * configEvery)
		synctest.Wait()
		if !slices.Equal(repaired, []string{"drop"}) {
			t.Errorf("put back: %q", repaired)
		}
		stop()
		synctest.Wait()
	})
}

func TestTables(t *testing.T) {
	ids := Tables()
	for _, id := range pipeline.LearnedTables() {
		if slices.Contains(ids, id) {
			t.Errorf("table %d is watched although the switch itself changes its flows", id)
		}
	}
	if want := len(pipeline.Tables()) - len(pipeline.LearnedTables()); len(ids) != want {
		t.Errorf("%d tables are watched, want %d", len(ids), want)
	}
}
