package datapath

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ovloom/ovloom/openflow"
)

// vswitchd answers calls from a list, and remembers them.
type vswitchd struct {
	mu sync.Mutex
	// Guarded by mu.
	answers map[string]string
	calls   []string
}

func (v *vswitchd) Call(_ context.Context, method string, params ...string) (string, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.calls = append(v.calls, strings.Join(append([]string{method}, params...), " "))
	return v.answers[method], nil
}

func (v *vswitchd) called(t *testing.T, want ...string) {
	t.Helper()
	v.mu.Lock()
	defer v.mu.Unlock()
	if !slices.Equal(v.calls, want) {
		t.Errorf("called:\n%s\nwant:\n%s", strings.Join(v.calls, "\n"), strings.Join(want, "\n"))
	}
	v.calls = nil
}

func TestLimit(t *testing.T) {
	v := &vswitchd{}
	c := of(v, false).Conntrack(nil)
	if err := errors.Join(c.Limit(t.Context(), 16384, 100), c.Limit(t.Context(), 16384, 0)); err != nil {
		t.Fatal(err)
	}
	v.called(t, "dpctl/ct-set-limits netdev@ovs-netdev zone=16384,limit=100", "dpctl/ct-del-limits netdev@ovs-netdev zone=16384")
}

func TestLimits(t *testing.T) {
	v := &vswitchd{answers: map[string]string{"dpctl/ct-get-limits": "default limit=7\nzone=16384,limit=10000,count=3\nzone=9,limit=1,count=0\n"}}
	got, err := of(v, false).Conntrack(nil).Limits(t.Context())
	if want := map[uint16]uint32{16384: 10000, 9: 1}; err != nil || !maps.Equal(got, want) {
		t.Errorf("limits: %v, want %v; %v", got, want, err)
	}
	v.called(t, "dpctl/ct-get-limits netdev@ovs-netdev")
}

func TestConnections(t *testing.T) {
	v := &vswitchd{answers: map[string]string{"dpctl/dump-conntrack": "udp,orig=(src=10.0.0.2,dst=192.0.2.80,sport=5000,dport=53),reply=(src=192.0.2.80,dst=100.64.0.2,sport=53,dport=5000),zone=16384\n"}}
	got, err := of(v, true).Conntrack(nil).Connections(t.Context(), 16384)
	if err != nil || len(got) != 1 || got[0].Reply.Dst != netip.MustParseAddr("100.64.0.2") {
		t.Errorf("connections: %v, %v", got, err)
	}
	v.called(t, "revalidator/wait", "dpctl/dump-conntrack system@ovs-system zone=16384")
}

type flusher struct{ zones []uint16 }

func (f *flusher) CTFlush(_ context.Context, which ...openflow.Connections) error {
	for _, w := range which {
		f.zones = append(f.zones, w.Zone)
	}
	return nil
}

func TestCutUsesTheConnectionOfTheMoment(t *testing.T) {
	f := &flusher{}
	down := errors.New("not connected")
	c := of(&vswitchd{}, false).Conntrack(func() (Flusher, error) { return f, down })
	if err := c.Cut(t.Context(), openflow.Connections{Zone: 1}); !errors.Is(err, down) {
		t.Errorf("without a connection: %v", err)
	}
	down = nil
	if err := c.Cut(t.Context(), openflow.Connections{Zone: 1}); err != nil || !slices.Equal(f.zones, []uint16{1}) {
		t.Errorf("flushed %v, %v", f.zones, err)
	}
}

func TestTakeFragments(t *testing.T) {
	v := &vswitchd{}
	if err := of(v, true).TakeFragments(t.Context()); err != nil {
		t.Fatal(err)
	}
	v.called(t)
	if err := of(v, false).TakeFragments(t.Context()); err != nil {
		t.Fatal(err)
	}
	v.called(t, "dpctl/ipf-set-min-frag netdev@ovs-netdev v4 400", "dpctl/ipf-set-max-nfrags netdev@ovs-netdev 5000")
}

// notes keeps texts in memory.
type notes map[string]string

func (n notes) BridgeNote(bridge, key string) (string, error) { return n[bridge+key], nil }
func (n notes) SetBridgeNote(_ context.Context, bridge, key, text string) error {
	n[bridge+key] = text
	return nil
}

func TestZones(t *testing.T) {
	n := notes{}
	z := Zones{n, "br-int", slog.New(slog.DiscardHandler)}
	want := map[string]uint16{"nat/acme/7": 16384}
	if err := z.SaveZones(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	if got, err := z.LoadZones(t.Context()); err != nil || !maps.Equal(got, want) {
		t.Errorf("zones %v, %v", got, err)
	}
	n["br-intzones"] = "{damaged"
	if got, err := z.LoadZones(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("damaged: zones %v, %v", got, err)
	}
	if err := z.SaveZones(t.Context(), nil); err != nil || n["br-intzones"] != "" {
		t.Errorf("without zones: note %q, %v", n["br-intzones"], err)
	}
}

// What another program sets of fragments is set again, and told once.
func TestFragmentsAreSetAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const status = "    Fragmentation Module Status\n    ---------------------------\n    v4 enabled: 1\n    v6 enabled: 1\n    max num frags (v4/v6): %s\n    num frag: 0\n    min v4 frag size: %s\n"
		v := &vswitchd{answers: map[string]string{"dpctl/ipf-get-status": fmt.Sprintf(status, "5000", "400")}}
		ctx, stop := context.WithCancel(t.Context())
		var told []string
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			of(v, false).KeepFragments(ctx, func(was string) { told = append(told, was) }, func(err error) { t.Error(err) })
		}()
		time.Sleep(fragmentsEvery + time.Millisecond)
		synctest.Wait()
		v.called(t, "dpctl/ipf-get-status netdev@ovs-netdev")
		v.mu.Lock()
		v.answers["dpctl/ipf-get-status"] = fmt.Sprintf(status, "10", "1200")
		v.mu.Unlock()
		time.Sleep(fragmentsEvery)
		synctest.Wait()
		v.called(t, "dpctl/ipf-get-status netdev@ovs-netdev", "dpctl/ipf-set-min-frag netdev@ovs-netdev v4 400", "dpctl/ipf-set-max-nfrags netdev@ovs-netdev 5000")
		stop()
		<-ended
		if want := []string{"fragments of at least 1200 bytes, at most 10"}; !slices.Equal(told, want) {
			t.Errorf("told %q, want %q", told, want)
		}
	})
}
