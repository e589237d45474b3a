package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
)

// zoneKeeper records what is done to zones.
type zoneKeeper struct {
	did     []string
	refuses bool
}

func (k *zoneKeeper) LoadZones(context.Context) (map[string]uint16, error) { return nil, nil }

func (k *zoneKeeper) SaveZones(_ context.Context, kept map[string]uint16) error {
	k.did = append(k.did, fmt.Sprint("save ", kept))
	return nil
}

func (k *zoneKeeper) Connections(context.Context, uint16) ([]of.Connections, error) { return nil, nil }

func (k *zoneKeeper) Cut(_ context.Context, which ...of.Connections) error {
	k.did = append(k.did, fmt.Sprint("empty ", which[0].Zone))
	return nil
}

func (k *zoneKeeper) Limit(_ context.Context, zone uint16, most uint32) error {
	k.did = append(k.did, fmt.Sprint("limit ", zone, " to ", most))
	if k.refuses {
		return errors.New("no limits here")
	}
	return nil
}

func limitedAcme() intent.SpanUpdate {
	return intent.SpanUpdate{Tenant: "acme", Snapshot: &intent.Snapshot{Tenant: intent.Tenant{Name: "acme", ID: 3, VRF: 7},
		SNATs: []intent.SNAT{{Tenant: "acme", External: "campus", MaxConnections: 500}}}}
}

// A tenant's zone has its limit before any flow can send a packet there; a datapath without
// limits gives zones all the same.
func TestZonesAreBoundedBeforeTheyAreUsed(t *testing.T) {
	for _, refuses := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			k := &zoneKeeper{refuses: refuses}
			c := New("host1", Deps{NAT: &NAT{Zones: k, Conntrack: k}, Log: slog.New(slog.DiscardHandler)})
			c.synced, c.nat.zonesLoaded, c.nat.zones = true, true, map[string]uint16{}
			c.world.Update(limitedAcme())
			c.assignZones(t.Context())
			synctest.Wait()
			if rules, ok := c.world.Rules("acme"); ok {
				t.Errorf("zone %d is in use already", rules.Zone)
			}
			(<-c.in)()
			if want := []string{"limit 16384 to 500", "empty 16384", "save map[nat/acme/3:16384]"}; !slices.Equal(k.did, want) {
				t.Errorf("did %q, want %q", k.did, want)
			}
			if rules, _ := c.world.Rules("acme"); rules.Zone != 16384 {
				t.Errorf("zone %d", rules.Zone)
			}
			if _, known := c.nat.limits[16384]; known == refuses {
				t.Errorf("limit known: %v", known)
			}
		})
	}
}

// limitedSwitch is a conntrack whose limits other programs change.
type limitedSwitch struct {
	zoneKeeper
	limits map[uint16]uint32
}

func (k *limitedSwitch) Limit(ctx context.Context, zone uint16, most uint32) error {
	k.limits[zone] = most
	return k.zoneKeeper.Limit(ctx, zone, most)
}

func (k *limitedSwitch) Limits(context.Context) (map[uint16]uint32, error) {
	return maps.Clone(k.limits), nil
}

// A limit that another program changed or removed is set again, and reported.
func TestLimitsThatOthersChangeAreSetAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, repairs := &limitedSwitch{limits: map[uint16]uint32{16384: 500}}, &fakeRepairs{}
		c := New("host1", Deps{NAT: &NAT{Zones: k, Conntrack: k}, Repairs: repairs, Log: slog.New(slog.DiscardHandler)})
		c.synced, c.nat.zonesLoaded, c.nat.externalsReceived = true, true, true
		c.world.Update(limitedAcme())
		c.nat.zones = map[string]uint16{"nat/acme/3": 16384}
		c.world.SetZones(c.nat.zones)
		c.world.CheckAll()
		look := func() {
			t.Helper()
			c.checkLimits(t.Context())
			synctest.Wait()
			for range 10 { // for what was started, and what follows from it
				for len(c.in) > 0 {
					(<-c.in)()
				}
				c.natTasks(t.Context())
				synctest.Wait()
			}
		}
		look()
		look()
		repairs.take()
		for _, changed := range []map[uint16]uint32{{16384: 1}, {}} {
			k.limits = changed
			want := fmt.Sprintf("0 limits of connections changed by another program: zone 16384 had %d, not 500", changed[16384])
			look()
			if got := repairs.take(); got != want || k.limits[16384] != 500 {
				t.Errorf("limits are %v; reported %q, want %q", k.limits, got, want)
			}
			time.Sleep(time.Minute)
			look()
			if got := repairs.take(); got != "" {
				t.Errorf("nothing was changed, but reported: %q", got)
			}
		}
	})
}
