package store

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/cluster"
)

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func network(name string, prefixes ...string) intent.Network {
	tenant, name, _ := strings.Cut(name, "/")
	n := intent.Network{Tenant: tenant, Name: name}
	for _, p := range prefixes {
		n.Subnets = append(n.Subnets, intent.Subnet{Prefix: prefix(p)})
	}
	return n
}

func port(name string, addrs ...string) intent.Port {
	r := ref(name)
	p := intent.Port{Tenant: r.Tenant, Network: r.Network, Name: r.Port}
	for _, a := range addrs {
		p.Addrs = append(p.Addrs, addr(a))
	}
	return p
}

// acme adds tenant acme with network acme/web, 10.0.0.0/24 and fd00::/64.
func acme(t testing.TB, s *Store) {
	t.Helper()
	must[intent.Tenant](t)(s.AddTenant(t.Context(), "acme"))
	must[intent.Network](t)(s.AddNetwork(t.Context(), network("acme/web", "10.0.0.0/24", "fd00::/64")))
}

func host(t testing.TB, s *Store, name, vtep string) intent.Host {
	t.Helper()
	h, err := s.Register(t.Context(), intent.Host{Name: name, VTEP: addr(vtep)})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestWhatIsLeftOutIsChosen(t *testing.T) {
	s := open(t, cluster.Config{})
	ctx := t.Context()
	tenant := must[intent.Tenant](t)(s.AddTenant(ctx, "acme"))
	if tenant.ID == 0 || tenant.VRF == 0 {
		t.Errorf("tenant without id or VRF: %+v", tenant)
	}
	n := must[intent.Network](t)(s.AddNetwork(ctx, network("acme/web", "10.0.0.0/24", "fd00::/64")))
	if n.VNI < intent.VNIFirst || n.ID == 0 || n.Unknown != intent.UnknownDrop ||
		n.Subnets[0].Gateway != addr("10.0.0.1") || n.Subnets[1].Gateway != addr("fd00::1") {
		t.Errorf("network: %+v", n)
	}
	p := must[intent.Port](t)(s.AddPort(ctx, port("acme/web/c1")))
	if got := fmt.Sprint(p.Addrs); got != "[10.0.0.2 fd00::2]" {
		t.Errorf("first port has %s", got)
	}
	if p.MAC != intent.DerivedMAC(p.ID) || !intent.IsUUID(p.UUID) {
		t.Errorf("port: %+v", p)
	}
	if p = must[intent.Port](t)(s.AddPort(ctx, port("acme/web/c2"))); fmt.Sprint(p.Addrs) != "[10.0.0.3 fd00::3]" {
		t.Errorf("second port has %v", p.Addrs)
	}
	got, err := s.Port(ctx, ref("acme/web/c2"))
	if err != nil || fmt.Sprint(got) != fmt.Sprint(p) {
		t.Errorf("read %+v, %v; added %+v", got, err, p)
	}
	checked(t, s)
}

// Each case is refused with its kind and text, without a write.
func TestRefusals(t *testing.T) {
	s := open(t, cluster.Config{})
	ctx := t.Context()
	acme(t, s)
	must[intent.Network](t)(s.AddNetwork(ctx, intent.Network{Tenant: "acme", Name: "db", VNI: 77, Subnets: []intent.Subnet{{Prefix: prefix("10.1.0.0/24")}}}))
	c1 := must[intent.Port](t)(s.AddPort(ctx, port("acme/web/c1", "10.0.0.5", "fd00::5")))
	must[intent.Port](t)(s.AddPort(ctx, port("acme/web/c2", "10.0.0.6")))
	host(t, s, "host1", "192.0.2.1")
	if _, err := s.Claim(ctx, c1.Ref(), "host1", 0); err != nil {
		t.Fatal(err)
	}
	addPort := func(p intent.Port) error { _, _, err := s.AddPort(ctx, p); return err }
	addNetwork := func(n intent.Network) error { _, _, err := s.AddNetwork(ctx, n); return err }
	setPort := func(edit func(*intent.Port)) error {
		_, _, err := s.SetPort(ctx, ref("acme/web/c2"), func(p *intent.Port) error { edit(p); return nil })
		return err
	}
	setNetwork := func(edit func(*intent.Network)) error {
		_, _, err := s.SetNetwork(ctx, intent.NetworkRef{Tenant: "acme", Network: "web"}, func(n *intent.Network) error { edit(n); return nil })
		return err
	}
	with := func(p intent.Port, edit func(*intent.Port)) intent.Port { edit(&p); return p }
	cases := []struct {
		name string
		err  error
		kind intent.Kind
		text string
	}{
		{"a tenant's name twice", third(s.AddTenant(ctx, "acme")), intent.Conflict, "tenant acme exists"},
		{"a tenant's name with capitals", third(s.AddTenant(ctx, "Acme")), intent.Invalid, "malformed"},
		{"a network's name twice", addNetwork(network("acme/web")), intent.Conflict, "network acme/web exists"},
		{"a network of no tenant", addNetwork(network("nobody/web")), intent.NotFound, "tenant nobody does not exist"},
		{"a VNI twice", addNetwork(intent.Network{Tenant: "acme", Name: "x", VNI: 77}), intent.Conflict, "VNI 77 is taken by network acme/db"},
		{"a VNI of 25 bits", addNetwork(intent.Network{Tenant: "acme", Name: "x", VNI: 1 << 24}), intent.Invalid, "VNI 16777216 is out of range"},
		{"subnets that overlap in a tenant", addNetwork(network("acme/x", "10.1.0.128/25")), intent.Conflict, "overlaps 10.1.0.0/24 of network acme/db"},
		{"a prefix that is not masked", addNetwork(network("acme/x", "10.2.0.1/24")), intent.Invalid, "write 10.2.0.0/24"},
		{"a port's name twice", addPort(port("acme/web/c1")), intent.Conflict, "port acme/web/c1 exists"},
		{"a port of no network", addPort(port("acme/nothing/c1")), intent.NotFound, "network acme/nothing does not exist"},
		{"a port of no tenant", addPort(port("nobody/web/c1")), intent.NotFound, "tenant nobody does not exist"},
		{"an address twice", addPort(port("acme/web/c3", "10.0.0.7", "10.0.0.5")), intent.Conflict, "address 10.0.0.5 is taken by acme/web/c1"},
		{"an IPv6 address twice", addPort(port("acme/web/c3", "fd00::5")), intent.Conflict, "address fd00::5 is taken by acme/web/c1"},
		{"an address outside", addPort(port("acme/web/c3", "10.9.0.5")), intent.Invalid, "in no subnet of network acme/web; its subnets are 10.0.0.0/24, fd00::/64"},
		{"the gateway's address", addPort(port("acme/web/c3", "10.0.0.1")), intent.Invalid, "is the gateway"},
		{"a MAC twice", addPort(with(port("acme/web/c3"), func(p *intent.Port) { p.MAC = c1.MAC })), intent.Conflict, "MAC " + c1.MAC.String() + " is taken by acme/web/c1"},
		{"a UUID twice", addPort(with(port("acme/web/c3"), func(p *intent.Port) { p.UUID = c1.UUID })), intent.Conflict, "taken by port acme/web/c1"},
		{"learning in a network that does not", addPort(with(port("acme/web/c3"), func(p *intent.Port) { p.Learn = 2 })), intent.Invalid, "does not learn"},
		{"moving to a taken address", setPort(func(p *intent.Port) { p.Addrs = []netip.Addr{addr("10.0.0.5")} }), intent.Conflict, "address 10.0.0.5 is taken by acme/web/c1"},
		{"moving to a taken MAC", setPort(func(p *intent.Port) { p.MAC = c1.MAC }), intent.Conflict, "is taken by acme/web/c1"},
		{"renaming a port", setPort(func(p *intent.Port) { p.Name = "c9" }), intent.Invalid, "cannot be changed"},
		{"changing a UUID", setPort(func(p *intent.Port) { p.UUID = c1.UUID }), intent.Invalid, "cannot be changed"},
		{"moving to a taken VNI", setNetwork(func(n *intent.Network) { n.VNI = 77 }), intent.Conflict, "VNI 77 is taken by network acme/db"},
		{"a subnet that ports need taken away", setNetwork(func(n *intent.Network) { n.Subnets = n.Subnets[1:] }), intent.InUse, "used by port acme/web/c1, port acme/web/c2"},
		{"a gateway where a port is", setNetwork(func(n *intent.Network) { n.Subnets[0].Gateway = addr("10.0.0.6") }), intent.InUse, "used by port acme/web/c2"},
		{"a subnet that overlaps added", setNetwork(func(n *intent.Network) { n.Subnets = append(n.Subnets, intent.Subnet{Prefix: prefix("10.1.0.0/16")}) }), intent.Conflict, "overlaps 10.1.0.0/24"},
		{"setting no port", third(s.SetPort(ctx, ref("acme/web/no"), func(*intent.Port) error { return nil })), intent.NotFound, "port acme/web/no does not exist"},
		{"deleting a tenant in use", third(s.DeleteTenant(ctx, "acme", false)), intent.InUse, "binding acme/web/c1 on host1, port acme/web/c1, port acme/web/c2, network acme/db, network acme/web"},
		{"deleting a network in use", third(s.DeleteNetwork(ctx, c1.Ref().NetworkRef(), false)), intent.InUse, "port acme/web/c2"},
		{"deleting a bound port", third(s.DeletePort(ctx, c1.Ref(), false)), intent.InUse, "binding acme/web/c1 on host1"},
		{"deleting no tenant", third(s.DeleteTenant(ctx, "nobody", true)), intent.NotFound, "tenant nobody does not exist"},
		{"deleting no network", third(s.DeleteNetwork(ctx, intent.NetworkRef{Tenant: "acme", Network: "no"}, true)), intent.NotFound, "network acme/no does not exist"},
		{"deleting no port", third(s.DeletePort(ctx, ref("acme/web/no"), true)), intent.NotFound, "port acme/web/no does not exist"},
		{"a VTEP twice", second(s.Register(ctx, intent.Host{Name: "host2", VTEP: addr("192.0.2.1")})), intent.Conflict, "VTEP address 192.0.2.1 is taken by host host1"},
		{"an IPv6 VTEP", second(s.Register(ctx, intent.Host{Name: "host2", VTEP: addr("2001:db8::1")})), intent.Invalid, "IPv4 only, for now"},
		{"removing a host with bindings", third(s.RemoveHost(ctx, "host1", false)), intent.InUse, "binding acme/web/c1 on host1"},
		{"removing no host", third(s.RemoveHost(ctx, "host9", true)), intent.NotFound, "host host9 does not exist"},
		{"claiming no port", second(s.Claim(ctx, ref("acme/web/no"), "host1", 0)), intent.NotFound, "port acme/web/no does not exist"},
		{"claiming for no host", second(s.Claim(ctx, c1.Ref(), "host9", 0)), intent.NotFound, "host host9 does not exist"},
		{"an interface id that is nothing", second(s.Resolve(ctx, "eth0")), intent.Invalid, "neither a UUID nor the name of a port"},
		{"an interface of no port", second(s.Resolve(ctx, "00000000-0000-4000-8000-000000000000")), intent.NotFound, "no port has the name or UUID"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if intent.KindOf(c.err) != c.kind || !strings.Contains(fmt.Sprint(c.err), c.text) {
				t.Errorf("got %q: %v\nwant %q: ...%s...", intent.KindOf(c.err), c.err, c.kind, c.text)
			}
		})
	}
	ports, err := s.Ports(ctx, c1.Ref().NetworkRef())
	if err != nil || len(ports) != 2 {
		t.Errorf("ports afterwards: %v, %v", ports, err)
	}
	checked(t, s)
}

func second[T any](_ T, err error) error { return err }

func third[T any](_ T, _ int64, err error) error { return err }

func TestSetPortMovesItsIndex(t *testing.T) {
	s := open(t, cluster.Config{})
	ctx := t.Context()
	acme(t, s)
	p := must[intent.Port](t)(s.AddPort(ctx, port("acme/web/c1", "10.0.0.5", "10.0.0.6")))
	mac := intent.MAC{2, 0, 0, 0, 0, 9}
	got, rev, err := s.SetPort(ctx, p.Ref(), func(p *intent.Port) error {
		p.Addrs = []netip.Addr{addr("10.0.0.6"), addr("10.0.0.7")}
		p.MAC = mac
		return nil
	})
	if err != nil || got.MAC != mac {
		t.Fatalf("set: %+v, %v", got, err)
	}
	checked(t, s)
	must[intent.Port](t)(s.AddPort(ctx, port("acme/web/c2", "10.0.0.5"))) // released
	if _, again, err := s.SetPort(ctx, p.Ref(), func(*intent.Port) error { return nil }); err != nil || again != rev {
		// Later changes of another port are not waited for.
		t.Errorf("setting nothing: revision %d, the last change was %d, %v", again, rev, err)
	}
	before, _ := s.Ping(ctx)
	if _, _, err := s.SetPort(ctx, p.Ref(), func(*intent.Port) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if after, _ := s.Ping(ctx); after != before {
		t.Errorf("setting nothing wrote something: revision %d, then %d", before, after)
	}
	refused := errors.New("no")
	if _, _, err := s.SetPort(ctx, p.Ref(), func(*intent.Port) error { return refused }); err != refused {
		t.Errorf("edit refused, got %v", err)
	}
	checked(t, s)
}

func TestSetNetworkMovesItsVNI(t *testing.T) {
	s := open(t, cluster.Config{})
	ctx := t.Context()
	acme(t, s)
	web := intent.NetworkRef{Tenant: "acme", Network: "web"}
	must[intent.Port](t)(s.AddPort(ctx, port("acme/web/c1")))
	n := must[intent.Network](t)(s.SetNetwork(ctx, web, func(n *intent.Network) error {
		n.VNI, n.MTU, n.Unknown, n.Learning = 42, 1400, intent.UnknownFlood, true
		n.Subnets = append(n.Subnets, intent.Subnet{Prefix: prefix("10.5.0.0/16")})
		return nil
	}))
	if n.VNI != 42 || n.Subnets[2].Gateway != addr("10.5.0.1") {
		t.Errorf("set: %+v", n)
	}
	checked(t, s)
	p := must[intent.Port](t)(s.AddPort(ctx, port("acme/web/c2")))
	if len(p.Addrs) != 3 {
		t.Errorf("port after the change has %v", p.Addrs)
	}
	must[intent.Port](t)(s.SetPort(ctx, p.Ref(), func(p *intent.Port) error { p.Learn = 2; return nil }))
	_, _, err := s.SetNetwork(ctx, web, func(n *intent.Network) error { n.Learning = false; return nil })
	if intent.KindOf(err) != intent.InUse || !strings.Contains(err.Error(), "port acme/web/c2") {
		t.Errorf("learning switched off under a port that learns: %v", err)
	}
	checked(t, s)
}

func TestSubnetIsUsedUpAndRoundAgain(t *testing.T) {
	s := open(t, cluster.Config{})
	ctx := t.Context()
	must[intent.Tenant](t)(s.AddTenant(ctx, "acme"))
	must[intent.Network](t)(s.AddNetwork(ctx, network("acme/web", "10.0.0.0/29")))
	var got []string
	for i := range 5 {
		p := must[intent.Port](t)(s.AddPort(ctx, port(fmt.Sprintf("acme/web/c%d", i))))
		got = append(got, p.Addrs[0].String())
	}
	if want := []string{"10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	_, _, err := s.AddPort(ctx, port("acme/web/full"))
	if intent.KindOf(err) != intent.Conflict || !strings.Contains(err.Error(), "subnet 10.0.0.0/29 of network acme/web has no free address") {
		t.Errorf("a full subnet: %v", err)
	}
	if _, _, err := s.DeletePort(ctx, ref("acme/web/c2"), false); err != nil {
		t.Fatal(err)
	}
	p := must[intent.Port](t)(s.AddPort(ctx, port("acme/web/again")))
	if p.Addrs[0] != addr("10.0.0.4") {
		t.Errorf("got %v, want the released one", p.Addrs)
	}
	checked(t, s)
}

// Several processes add ports without addresses to one network at once.
func TestAddressesFromManyWritersAreUnique(t *testing.T) {
	t.Parallel()
	const writers, each = 32, 12
	s := open(t, cluster.Config{Timeout: patience})
	ctx := t.Context()
	must[intent.Tenant](t)(s.AddTenant(ctx, "acme"))
	must[intent.Network](t)(s.AddNetwork(ctx, network("acme/web", "10.0.0.0/23", "fd00::/64")))
	stores := []*Store{s, open(t, cluster.Config{Endpoints: s.URLs(), Timeout: patience}), open(t, cluster.Config{Endpoints: s.URLs(), Timeout: patience}), open(t, cluster.Config{Endpoints: s.URLs(), Timeout: patience})}
	var mu sync.Mutex
	owner := map[netip.Addr]string{}
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				p, _, err := stores[w%len(stores)].AddPort(ctx, port(fmt.Sprintf("acme/web/w%d-%d", w, i)))
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				for _, a := range p.Addrs {
					if owner[a] != "" {
						t.Errorf("address %v of %s and %s", a, owner[a], p.Ref())
					}
					owner[a] = p.Ref().String()
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(owner) != 2*writers*each {
		t.Errorf("%d addresses, want %d", len(owner), 2*writers*each)
	}
	checked(t, s)
}

// 32 writers want the same names, VNI, address and MAC: one gets each.
func TestOneOfManyWritersWins(t *testing.T) {
	t.Parallel()
	const writers = 32
	s := open(t, cluster.Config{Timeout: patience})
	ctx := t.Context()
	acme(t, s)
	stores := []*Store{s, open(t, cluster.Config{Endpoints: s.URLs(), Timeout: patience}), open(t, cluster.Config{Endpoints: s.URLs(), Timeout: patience})}
	races := map[string]func(s *Store, w int) error{
		"tenant name": func(s *Store, _ int) error { return third(s.AddTenant(ctx, "globex")) },
		"VNI": func(s *Store, w int) error {
			return third(s.AddNetwork(ctx, intent.Network{Tenant: "acme", Name: fmt.Sprintf("n%d", w), VNI: 99}))
		},
		"overlapping subnets": func(s *Store, w int) error {
			return third(s.AddNetwork(ctx, network(fmt.Sprintf("acme/o%d", w), "10.7.0.0/16")))
		},
		"address": func(s *Store, w int) error {
			return third(s.AddPort(ctx, port(fmt.Sprintf("acme/web/a%d", w), "10.0.0.9")))
		},
		"MAC": func(s *Store, w int) error {
			p := port(fmt.Sprintf("acme/web/m%d", w))
			p.MAC = intent.MAC{2, 0, 0, 0, 0, 1}
			return third(s.AddPort(ctx, p))
		},
		"VTEP": func(s *Store, w int) error {
			return second(s.Register(ctx, intent.Host{Name: fmt.Sprintf("h%d", w), VTEP: addr("192.0.2.9")}))
		},
	}
	for name, race := range races {
		t.Run(name, func(t *testing.T) {
			var wg sync.WaitGroup
			var mu sync.Mutex
			won := 0
			for w := range writers {
				wg.Go(func() {
					err := race(stores[w%len(stores)], w)
					mu.Lock()
					defer mu.Unlock()
					switch {
					case err == nil:
						won++
					case intent.KindOf(err) != intent.Conflict:
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if won != 1 {
				t.Errorf("%d writers won", won)
			}
		})
	}
	checked(t, s)
}

// 32 writers change one port; every change is based on the one before.
func TestEditsAreNotLost(t *testing.T) {
	const writers = 32
	s := open(t, cluster.Config{Timeout: 20e9})
	ctx := t.Context()
	acme(t, s)
	must[intent.Network](t)(s.SetNetwork(ctx, intent.NetworkRef{Tenant: "acme", Network: "web"}, func(n *intent.Network) error {
		n.Learning = true
		return nil
	}))
	p := must[intent.Port](t)(s.AddPort(ctx, port("acme/web/c1")))
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			if _, _, err := s.SetPort(ctx, p.Ref(), func(p *intent.Port) error { p.Learn++; return nil }); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got, err := s.Port(ctx, p.Ref()); err != nil || got.Learn != writers {
		t.Errorf("counted to %d, %v", got.Learn, err)
	}
}

func TestListsAreOrderedAndWhole(t *testing.T) {
	s := open(t, cluster.Config{})
	ctx := t.Context()
	var want []string
	for i := range 130 { // more than fit in one transaction
		name := fmt.Sprintf("t%03d", i)
		must[intent.Tenant](t)(s.AddTenant(ctx, name))
		want = append(want, name)
	}
	tenants, err := s.Tenants(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, tn := range tenants {
		got = append(got, tn.Name)
	}
	if !slices.Equal(got, want) {
		t.Errorf("tenants: %v", got)
	}
	for _, name := range []string{"b", "a", "c"} {
		must[intent.Network](t)(s.AddNetwork(ctx, network("t000/"+name)))
	}
	networks, err := s.Networks(ctx, "t000")
	if err != nil || len(networks) != 3 || networks[0].Name != "a" || networks[2].Name != "c" {
		t.Errorf("networks: %v, %v", networks, err)
	}
	if _, err := s.Networks(ctx, "nobody"); intent.KindOf(err) != intent.NotFound {
		t.Errorf("networks of no tenant: %v", err)
	}
	if _, err := s.Ports(ctx, intent.NetworkRef{Tenant: "t000", Network: "z"}); intent.KindOf(err) != intent.NotFound {
		t.Errorf("ports of no network: %v", err)
	}
	if _, err := s.Snapshot(ctx, "nobody"); intent.KindOf(err) != intent.NotFound {
		t.Errorf("snapshot of no tenant: %v", err)
	}
}
