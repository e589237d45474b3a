package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/cluster"
	"github.com/ovloom/ovloom/store/kv"
)

// walker makes random changes through one client. Names come from a small pool, so that walkers
// collide.
type walker struct {
	s   *Store
	rnd *rand.Rand
}

func (w walker) pick(names ...string) string { return names[w.rnd.IntN(len(names))] }

func (w walker) tenant() string { return w.pick("acme", "globex", "initech") }

func (w walker) network() intent.NetworkRef {
	return intent.NetworkRef{Tenant: w.tenant(), Network: w.pick("web", "db", "lab")}
}

func (w walker) port() intent.PortRef {
	n := w.network()
	return intent.PortRef{Tenant: n.Tenant, Network: n.Network, Port: fmt.Sprintf("c%d", w.rnd.IntN(12))}
}

func (w walker) host() string { return fmt.Sprintf("host%d", w.rnd.IntN(4)) }

// step makes one random change and returns its name. An expected refusal (kinds Invalid,
// NotFound, Conflict, InUse) is no error.
func (w walker) step(ctx context.Context) (string, error) {
	if w.rnd.IntN(3) == 0 {
		what, err := w.outsideStep(ctx)
		return refused(what, err)
	}
	cascade := w.rnd.IntN(2) == 0
	var what string
	var err error
	switch n := w.rnd.IntN(100); {
	case n < 6:
		what = "add tenant"
		_, _, err = w.s.AddTenant(ctx, w.tenant())
	case n < 18:
		what = "add network"
		r := w.network()
		net := network(r.String(), fmt.Sprintf("10.%d.0.0/28", w.rnd.IntN(4)), fmt.Sprintf("fd00:%d::/64", w.rnd.IntN(4)))
		net.Learning = w.rnd.IntN(2) == 0
		if w.rnd.IntN(3) == 0 {
			net.VNI = uint32(1 + w.rnd.IntN(5))
		}
		_, _, err = w.s.AddNetwork(ctx, net)
	case n < 55:
		what = "add port"
		p := port(w.port().String())
		if w.rnd.IntN(3) == 0 {
			p.Addrs = []netip.Addr{netip.AddrFrom4([4]byte{10, byte(w.rnd.IntN(4)), 0, byte(w.rnd.IntN(16))})}
		}
		if w.rnd.IntN(4) == 0 {
			p.MAC = intent.MAC{2, 0, 0, 0, 0, byte(1 + w.rnd.IntN(4))}
		}
		_, _, err = w.s.AddPort(ctx, p)
	case n < 63:
		what = "set port"
		_, _, err = w.s.SetPort(ctx, w.port(), func(p *intent.Port) error {
			p.MAC = intent.MAC{2, 0, 0, 0, 0, byte(1 + w.rnd.IntN(4))}
			if len(p.Addrs) > 0 && w.rnd.IntN(2) == 0 {
				p.Addrs = p.Addrs[1:]
			}
			return nil
		})
	case n < 69:
		what = "set network"
		_, _, err = w.s.SetNetwork(ctx, w.network(), func(n *intent.Network) error {
			n.VNI = uint32(1 + w.rnd.IntN(5))
			n.Learning = !n.Learning
			if w.rnd.IntN(3) == 0 {
				n.Subnets = n.Subnets[:1]
			}
			return nil
		})
	case n < 71:
		what = "add peer"
		n := w.network()
		_, _, err = w.s.AddPeer(ctx, intent.Peer{Tenant: n.Tenant, Network: n.Network, Name: w.pick("tor1", "tor2"),
			VTEP: netip.AddrFrom4([4]byte{192, 0, 2, byte(1 + w.rnd.IntN(9))})})
	case n < 72:
		what = "delete peer"
		n := w.network()
		_, _, err = w.s.DeletePeer(ctx, intent.PeerRef{Tenant: n.Tenant, Network: n.Network, Peer: w.pick("tor1", "tor2")})
	case n < 75:
		what = "register host"
		h := w.host()
		_, err = w.s.Register(ctx, intent.Host{Name: h, VTEP: netip.AddrFrom4([4]byte{192, 0, 2, byte(1 + w.rnd.IntN(6))})})
	case n < 86:
		what = "claim port"
		_, err = w.s.Claim(ctx, w.port(), w.host(), 0)
	case n < 90:
		what = "release port"
		r, h := w.port(), w.host()
		var all []intent.Binding
		if all, err = w.s.Bindings(ctx, r); err == nil {
			for _, b := range all {
				if b.Host == h {
					err = errors.Join(w.s.MarkUp(ctx, r, h, b.Generation, true, ""), w.s.Release(ctx, r, h, b.Generation))
				}
			}
		}
	case n < 95:
		what = "delete port"
		_, _, err = w.s.DeletePort(ctx, w.port(), cascade)
	case n < 97:
		what = "delete network"
		_, _, err = w.s.DeleteNetwork(ctx, w.network(), cascade)
	case n < 98:
		what = "delete tenant"
		_, _, err = w.s.DeleteTenant(ctx, w.tenant(), cascade)
	default:
		what = "remove host"
		_, _, err = w.s.RemoveHost(ctx, w.host(), cascade)
	}
	return refused(what, err)
}

// outsideStep is step for routes, externals and NAT.
func (w walker) outsideStep(ctx context.Context) (what string, err error) {
	tenant := w.tenant()
	external := w.pick("internet", "intranet", "campus", "lab")
	pool := func() intent.AddrRange {
		return intent.AddrRange{First: addr("203.0.113.10"), Last: netip.AddrFrom4([4]byte{203, 0, 113, byte(16 + w.rnd.IntN(8))})}
	}
	prefix := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(w.rnd.IntN(4)), 0, 0}), 16+4*w.rnd.IntN(4))
	hop := func() netip.Addr {
		return netip.AddrFrom4([4]byte{10, byte(w.rnd.IntN(4)), 0, byte(1 + w.rnd.IntN(14))})
	}
	switch n := w.rnd.IntN(100); {
	case n < 12:
		what = "add route"
		_, _, err = w.s.AddRoute(ctx, intent.Route{Tenant: tenant, Prefix: prefix, Via: []netip.Addr{hop(), hop()}})
	case n < 16:
		what = "set route"
		_, _, err = w.s.SetRoute(ctx, intent.RouteRef{Tenant: tenant, Prefix: prefix}, func(r *intent.Route) error {
			r.Via = []netip.Addr{hop()}
			return nil
		})
	case n < 20:
		what = "delete route"
		err = one(w, func() ([]intent.Route, error) { return w.s.Routes(ctx, tenant) }, func(r intent.Route) error {
			_, _, err := w.s.DeleteRoute(ctx, r.Ref())
			return err
		})
	case n < 28:
		what = "add external"
		e := intent.External{Name: external, Kind: intent.ExternalHost, Subnet: netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(8 * w.rnd.IntN(4))}), 29)}
		if external == "campus" || external == "lab" {
			e = intent.External{Name: external, Kind: intent.ExternalBridge, Bridge: "br-" + external, Subnet: netip.MustParsePrefix("203.0.113.0/24"), Pool: pool()}
		}
		_, _, err = w.s.AddExternal(ctx, e)
	case n < 32:
		what = "set external"
		_, _, err = w.s.SetExternal(ctx, external, func(e *intent.External) error {
			if e.Kind == intent.ExternalBridge {
				e.Pool = pool()
			}
			e.Allow = []netip.Prefix{prefix}
			return nil
		})
	case n < 35:
		what = "delete external"
		_, _, err = w.s.DeleteExternal(ctx, external, w.rnd.IntN(2) == 0)
	case n < 44:
		what = "add snat"
		_, _, err = w.s.AddSNAT(ctx, intent.SNAT{Tenant: tenant, External: external})
	case n < 49:
		what = "delete snat"
		_, _, err = w.s.DeleteSNAT(ctx, intent.SNATRef{Tenant: tenant, External: external})
	case n < 58:
		what = "claim NAT address"
		_, err = w.s.ClaimNATAddress(ctx, tenant, external, w.host())
	case n < 62:
		what = "release NAT address"
		err = w.s.ReleaseNATAddress(ctx, tenant, external, w.host())
	case n < 72:
		what = "add floating"
		p := w.port()
		f := intent.Floating{Tenant: p.Tenant, Network: p.Network, Port: p.Port, External: external}
		if w.rnd.IntN(3) == 0 {
			f.Address = netip.AddrFrom4([4]byte{203, 0, 113, byte(10 + w.rnd.IntN(8))})
		}
		_, _, err = w.s.AddFloating(ctx, f)
	case n < 77:
		what = "delete floating"
		err = one(w, func() ([]intent.Floating, error) { return w.s.Floatings(ctx, tenant) }, func(f intent.Floating) error {
			_, _, err := w.s.DeleteFloating(ctx, f.Ref())
			return err
		})
	case n < 90:
		what = "add forward"
		to := w.port()
		to.Tenant = tenant
		_, _, err = w.s.AddForward(ctx, intent.Forward{Tenant: tenant, External: external, Protocol: intent.TCP, Port: uint16(80 + w.rnd.IntN(4)), To: to, ToPort: 80})
	default:
		what = "delete forward"
		err = one(w, func() ([]intent.Forward, error) { return w.s.Forwards(ctx, tenant) }, func(f intent.Forward) error {
			_, _, err := w.s.DeleteForward(ctx, f.Ref())
			return err
		})
	}
	return what, err
}

// one changes one of the existing objects.
func one[T any](w walker, list func() ([]T, error), do func(T) error) error {
	all, err := list()
	if err != nil || len(all) == 0 {
		return err
	}
	return do(all[w.rnd.IntN(len(all))])
}

// refused turns an expected refusal of a random change into success.
func refused(what string, err error) (string, error) {
	switch intent.KindOf(err) {
	case intent.Invalid, intent.NotFound, intent.Conflict, intent.InUse:
		return what + " refused", nil
	}
	return what, err
}

// Several clients make random changes at once. At the end every index key matches its object,
// and every watch has delivered the store's state.
func TestRandomWalk(t *testing.T) {
	t.Parallel()
	const walkers, steps = 5, 500
	s := open(t, cluster.Config{})
	stores := []*Store{s, client(t, s), client(t, s)}
	mirrors := map[string]*mirror{}
	for i, tenant := range []string{"acme", "globex", "initech"} {
		mirrors[tenant], _ = watch(t, stores[i], tenant)
		must[intent.Tenant](t)(s.AddTenant(t.Context(), tenant))
		must[intent.Network](t)(s.AddNetwork(t.Context(), network(tenant+"/web", "10.0.0.0/28", "fd00::/64")))
	}
	for i := range 4 {
		host(t, s, fmt.Sprintf("host%d", i), fmt.Sprintf("192.0.2.%d", i+1))
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var left atomic.Int64
	left.Store(steps)
	var mu sync.Mutex
	done := map[string]int{}
	var wg sync.WaitGroup
	for i := range walkers {
		wg.Go(func() {
			w := walker{stores[i%len(stores)], rand.New(rand.NewPCG(seed, uint64(i)))}
			for left.Load() > 0 {
				what, err := w.step(t.Context())
				if err != nil {
					t.Errorf("%s: %v", what, err)
					return
				}
				mu.Lock()
				done[what]++
				mu.Unlock()
				if !strings.HasSuffix(what, " refused") {
					left.Add(-1)
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%v", done)
	checked(t, s)
	// One more change of each tenant, which the watches have to reach.
	for tenant, m := range mirrors {
		if _, _, err := s.AddTenant(t.Context(), tenant); err != nil && intent.KindOf(err) != intent.Conflict {
			t.Fatal(err)
		}
		_, rev, err := s.AddNetwork(t.Context(), network(tenant+"/last"))
		if err != nil {
			t.Fatal(err)
		}
		m.reaches(t, rev)
		m.equals(t, s, tenant)
	}
}

// Whatever the history, the store is consistent at every moment; after all is deleted only
// counters are left, and no number is reused.
func TestHistoryLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	const steps, each = 900, 150
	s := open(t, cluster.Config{})
	ctx := t.Context()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	w := walker{s, rand.New(rand.NewPCG(seed, 0))}
	for i := range steps {
		if what, err := w.step(ctx); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if i%each == each-1 {
			checked(t, s)
		}
	}
	before, err := s.ids.Take(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, class := range []intent.Class{intent.ClassTenant, intent.ClassExternal, intent.ClassHost} {
		all, err := s.List(ctx, class, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range all {
			if _, _, err := s.Delete(ctx, o.Reference(), true); err != nil {
				t.Errorf("delete %s: %v", intent.ObjectName(o), err)
			}
		}
	}
	for _, k := range keys(t, s) {
		switch k {
		case kv.NameKey, idCounter, vniCounter, vrfCounter, numberCounter:
		default:
			t.Errorf("left behind: %s", k)
		}
	}
	checked(t, s)
	if after, err := s.ids.Take(ctx); err != nil || after <= before {
		t.Errorf("id %d after %d, %v", after, before, err)
	}
}
