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

// outside adds tenants acme and globex with networks web, ports c1 and c2 in each, and
// externals internet and campus.
func outside(t testing.TB, s *Store) {
	t.Helper()
	ctx := t.Context()
	acme(t, s)
	must[intent.Tenant](t)(s.AddTenant(ctx, "globex"))
	must[intent.Network](t)(s.AddNetwork(ctx, network("globex/web", "10.0.0.0/24")))
	for _, name := range []string{"acme/web/c1", "acme/web/c2", "globex/web/c1", "globex/web/c2"} {
		must[intent.Port](t)(s.AddPort(ctx, port(name)))
	}
	must[intent.External](t)(s.AddExternal(ctx, internet()))
	must[intent.External](t)(s.AddExternal(ctx, campus()))
}

func snat(tenant, external string) intent.SNAT {
	return intent.SNAT{Tenant: tenant, External: external}
}

func floating(name, external, address string) intent.Floating {
	r := ref(name)
	f := intent.Floating{Tenant: r.Tenant, Network: r.Network, Port: r.Port, External: external}
	if address != "" {
		f.Address = addr(address)
	}
	return f
}

func forward(external string, port uint16, to string) intent.Forward {
	return intent.Forward{Tenant: ref(to).Tenant, External: external, Protocol: intent.TCP, Port: port, To: ref(to), ToPort: 80}
}

func TestSNAT(t *testing.T) {
	s := open(t, cluster.Config{})
	ctx := t.Context()
	outside(t, s)
	host(t, s, "host1", "192.0.2.1")
	one := must[intent.SNAT](t)(s.AddSNAT(ctx, snat("acme", "internet")))
	if one.Address != addr("100.64.0.2") || one.ID == 0 {
		t.Errorf("added %+v", one)
	}
	two := must[intent.SNAT](t)(s.AddSNAT(ctx, snat("globex", "campus")))
	if two.Address.IsValid() {
		t.Errorf("added %+v, which each host has an address for", two)
	}
	if got, err := s.SNAT(ctx, one.Ref()); err != nil || got != one {
		t.Errorf("reads %+v, %v", got, err)
	}
	set, _, err := s.SetSNAT(ctx, one.Ref(), func(n *intent.SNAT) error { n.MaxConnections = 1000; return nil })
	if all, err2 := s.SNATs(ctx, "acme"); err != nil || err2 != nil || len(all) != 1 || all[0] != set || set.MaxConnections != 1000 {
		t.Errorf("set to %+v, %v; list %+v, %v", set, err, all, err2)
	}
	refusals(t, []refusal{
		{"twice", third(s.AddSNAT(ctx, snat("acme", "internet"))), intent.Conflict, "snat acme through internet exists"},
		{"a second SNAT", third(s.AddSNAT(ctx, snat("acme", "campus"))), intent.Conflict,
			"tenant acme has SNAT through external internet; a tenant has one: delete that first: ovloom nat snat delete acme"},
		{"no external", third(s.AddSNAT(ctx, snat("acme", "no"))), intent.NotFound, "external no does not exist"},
		{"no tenant", third(s.AddSNAT(ctx, snat("no", "campus"))), intent.NotFound, "tenant no does not exist"},
		{"another address", third(s.SetSNAT(ctx, one.Ref(), func(n *intent.SNAT) error { n.Address = addr("100.64.0.9"); return nil })), intent.Invalid, "cannot be changed"},
		{"delete none", third(s.DeleteSNAT(ctx, intent.SNATRef{Tenant: "acme", External: "campus"})), intent.NotFound, "tenant acme has no SNAT through external campus"},
		{"delete of none", third(s.DeleteSNAT(ctx, intent.SNATRef{Tenant: "no", External: "campus"})), intent.NotFound, "tenant no does not exist"},
		{"a tenant with SNAT", third(s.DeleteTenant(ctx, "acme", false)), intent.InUse, "network acme/web, snat acme through internet"},
		{"claim with kind host", second(s.ClaimNATAddress(ctx, "acme", "internet", "host1")), intent.Invalid, "there a tenant has one address on all hosts"},
		{"claim without SNAT", second(s.ClaimNATAddress(ctx, "acme", "campus", "host1")), intent.NotFound, "tenant acme has no SNAT through external campus"},
		{"claim of no host", second(s.ClaimNATAddress(ctx, "globex", "campus", "host9")), intent.NotFound, "host host9 does not exist"},
	})
	if deleted, _, err := s.DeleteSNAT(ctx, one.Ref()); err != nil || !slices.Equal(deleted, []string{"snat acme through internet"}) {
		t.Errorf("deleted %v, %v", deleted, err)
	}
	given := snat("acme", "campus")
	given.Address = addr("203.0.113.10")
	refusals(t, []refusal{{"an address behind a bridge", third(s.AddSNAT(ctx, given)), intent.Invalid, "each host takes one of the pool"}})
	given = snat("acme", "internet")
	given.Address = addr("100.64.9.9")
	if n := must[intent.SNAT](t)(s.AddSNAT(ctx, given)); n.Address != given.Address {
		t.Errorf("given %s, added %+v", given.Address, n)
	}
	checked(t, s)
}

func TestFloatingAddresses(t *testing.T) {
	s := open(t, cluster.Config{})
	ctx := t.Context()
	outside(t, s)
	must[intent.Port](t)(s.AddPort(ctx, port("acme/web/v6", "fd00::66")))
	one := must[intent.Floating](t)(s.AddFloating(ctx, floating("acme/web/c1", "campus", "")))
	two := must[intent.Floating](t)(s.AddFloating(ctx, floating("globex/web/c1", "campus", "203.0.113.15")))
	if one.Address != addr("203.0.113.10") || one.ID == 0 || two.Address != addr("203.0.113.15") {
		t.Errorf("added %+v and %+v", one, two)
	}
	if got, err := s.Floating(ctx, one.Ref()); err != nil || got != one {
		t.Errorf("reads %+v, %v", got, err)
	}
	if all, err := s.Floatings(ctx, "acme"); err != nil || !slices.Equal(all, []intent.Floating{one}) {
		t.Errorf("lists %+v, %v", all, err)
	}
	refusals(t, []refusal{
		{"twice", third(s.AddFloating(ctx, floating("acme/web/c1", "campus", ""))), intent.Conflict, "floating acme/web/c1 on campus exists"},
		{"an address twice", third(s.AddFloating(ctx, floating("acme/web/c2", "campus", "203.0.113.15"))), intent.Conflict,
			"address 203.0.113.15 of external campus is taken by port globex/web/c1; choose another, or leave it out"},
		{"an address outside the pool", third(s.AddFloating(ctx, floating("acme/web/c2", "campus", "203.0.113.21"))), intent.Invalid,
			"address 203.0.113.21 is outside the pool of external campus; choose between 203.0.113.10 and 203.0.113.20"},
		{"through the hosts", third(s.AddFloating(ctx, floating("acme/web/c2", "internet", ""))), intent.Invalid,
			"external internet is of kind host: no machine beyond the hosts could reach a floating address of it"},
		{"a port without IPv4", third(s.AddFloating(ctx, floating("acme/web/v6", "campus", ""))), intent.Invalid, "port acme/web/v6 has no IPv4 address"},
		{"no port", third(s.AddFloating(ctx, floating("acme/web/no", "campus", ""))), intent.NotFound, "port acme/web/no does not exist"},
		{"no external", third(s.AddFloating(ctx, floating("acme/web/c2", "no", ""))), intent.NotFound, "external no does not exist"},
		{"delete none", third(s.DeleteFloating(ctx, floating("acme/web/c2", "campus", "").Ref())), intent.NotFound, "port acme/web/c2 has no floating address on external campus"},
		{"its port", third(s.DeletePort(ctx, ref("acme/web/c1"), false)), intent.InUse, "port acme/web/c1 is in use (used by floating acme/web/c1 on campus)"},
		{"its port's address", third(s.SetPort(ctx, ref("acme/web/c1"), func(p *intent.Port) error { p.Addrs = p.Addrs[1:]; return nil })), intent.InUse,
			"NAT needs an IPv4 address of port acme/web/c1 (used by floating acme/web/c1 on campus)"},
		{"its address in the pool", third(s.SetExternal(ctx, "campus", func(e *intent.External) error { e.Pool.Last = addr("203.0.113.14"); return nil })), intent.InUse,
			"takes away addresses that are in use: address 203.0.113.15 is outside the pool"},
		{"its external", third(s.DeleteExternal(ctx, "campus", false)), intent.InUse, "(used by floating acme/web/c1 on campus, floating globex/web/c1 on campus)"},
	})
	// Another IPv4 address does as well.
	must[intent.Port](t)(s.SetPort(ctx, ref("acme/web/c1"), func(p *intent.Port) error { p.Addrs = []netip.Addr{addr("10.0.0.77")}; return nil }))
	checked(t, s)
	deleted, _, err := s.DeletePort(ctx, ref("acme/web/c1"), true)
	if want := "floating acme/web/c1 on campus, port acme/web/c1"; err != nil || strings.Join(deleted, ", ") != want {
		t.Errorf("deleted %v, %v", deleted, err)
	}
	if _, _, err := s.DeleteFloating(ctx, two.Ref()); err != nil {
		t.Error(err)
	}
	checked(t, s)
}

// All forwards of a tenant on one external have the same address, and its SNAT through the
// hosts as well: it is taken with the first and released with the last.
func TestForwards(t *testing.T) {
	s := open(t, cluster.Config{})
	ctx := t.Context()
	outside(t, s)
	one := must[intent.Forward](t)(s.AddForward(ctx, forward("internet", 8080, "acme/web/c1")))
	out := must[intent.SNAT](t)(s.AddSNAT(ctx, snat("acme", "internet")))
	two := must[intent.Forward](t)(s.AddForward(ctx, forward("internet", 8081, "acme/web/c1")))
	there := must[intent.Forward](t)(s.AddForward(ctx, forward("campus", 8080, "acme/web/c2")))
	other := must[intent.Forward](t)(s.AddForward(ctx, forward("campus", 8080, "globex/web/c1")))
	if one.Address != addr("100.64.0.2") || out.Address != one.Address || two.Address != one.Address {
		t.Errorf("forwards at %s and %s, SNAT at %s", one.Address, two.Address, out.Address)
	}
	if there.Address != addr("203.0.113.10") || other.Address != addr("203.0.113.11") {
		t.Errorf("behind the bridge at %s and %s", there.Address, other.Address)
	}
	if got, err := s.Forward(ctx, one.Ref()); err != nil || got != one {
		t.Errorf("reads %+v, %v", got, err)
	}
	if all, err := s.Forwards(ctx, "acme"); err != nil || !slices.Equal(all, []intent.Forward{there, one, two}) {
		t.Errorf("lists %+v, %v", all, err)
	}
	elsewhere := forward("campus", 8082, "acme/web/c1")
	elsewhere.Address = addr("203.0.113.15")
	foreign := forward("campus", 8082, "globex/web/c1")
	foreign.Tenant = "acme"
	refusals(t, []refusal{
		{"twice", third(s.AddForward(ctx, forward("internet", 8080, "acme/web/c2"))), intent.Conflict, "forward acme internet tcp/8080 exists; choose another port"},
		{"a port of the hosts twice", third(s.AddForward(ctx, forward("internet", 8080, "globex/web/c1"))), intent.Conflict,
			"tcp port 8080 of the hosts is taken by forward acme internet tcp/8080; choose another port"},
		{"a second address", third(s.AddForward(ctx, elsewhere)), intent.Conflict, "tenant acme has address 203.0.113.10 on external campus; a tenant has one there"},
		{"to another tenant", third(s.AddForward(ctx, foreign)), intent.Invalid, "a tenant forwards to its own ports only"},
		{"to no port", third(s.AddForward(ctx, forward("campus", 8083, "acme/web/no"))), intent.NotFound, "port acme/web/no does not exist"},
		{"its port", third(s.DeletePort(ctx, ref("acme/web/c1"), false)), intent.InUse, "(used by forward acme internet tcp/8080, forward acme internet tcp/8081)"},
		{"its address as a floating one", third(s.AddFloating(ctx, floating("globex/web/c2", "campus", "203.0.113.10"))), intent.Conflict, "is taken by tenant acme"},
		{"delete none", third(s.DeleteForward(ctx, forward("campus", 99, "acme/web/c1").Ref())), intent.NotFound, "forward acme campus tcp/99 does not exist"},
		{"its external", third(s.DeleteExternal(ctx, "internet", false)), intent.InUse,
			"(used by forward acme internet tcp/8080, forward acme internet tcp/8081, snat acme through internet)"},
		{"its network", third(s.DeleteNetwork(ctx, intent.NetworkRef{Tenant: "globex", Network: "web"}, false)), intent.InUse,
			"(used by forward globex campus tcp/8080, port globex/web/c1, port globex/web/c2)"},
	})
	checked(t, s)
	deleted, _, err := s.DeletePort(ctx, ref("acme/web/c1"), true)
	if want := "forward acme internet tcp/8080, forward acme internet tcp/8081, port acme/web/c1"; err != nil || strings.Join(deleted, ", ") != want {
		t.Errorf("deleted %v, %v", deleted, err)
	}
	if got := addresses(t, s, "internet"); got != "100.64.0.2 tenant acme" {
		t.Errorf("with the SNAT left: %s", got)
	}
	if _, _, err := s.DeleteSNAT(ctx, out.Ref()); err != nil {
		t.Error(err)
	}
	if got := addresses(t, s, "internet"); got != "" {
		t.Errorf("with nothing left: %s", got)
	}
	deleted, _, err = s.DeleteExternal(ctx, "campus", true)
	if want := "forward acme campus tcp/8080, forward globex campus tcp/8080, external campus"; err != nil || strings.Join(deleted, ", ") != want {
		t.Errorf("deleted %v, %v", deleted, err)
	}
	checked(t, s)
}

// addresses lists the addresses of an external in use, with their users.
func addresses(t testing.TB, s *Store, external string) string {
	t.Helper()
	all, _, err := s.kv.List(t.Context(), "read", outsideOf(external))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, it := range all {
		a, err := parseSortable(it.Key[len(outsideOf(external)):])
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, a.String()+" "+string(it.Value))
	}
	return strings.Join(out, ", ")
}

// Each host that needs an address for a tenant takes one, keeps it, and releases it when the
// host or the SNAT goes.
func TestNATAddresses(t *testing.T) {
	s := open(t, cluster.Config{})
	ctx := t.Context()
	outside(t, s)
	m, _ := watch(t, s, "acme")
	must[intent.SNAT](t)(s.AddSNAT(ctx, snat("acme", "campus")))
	must[intent.SNAT](t)(s.AddSNAT(ctx, snat("globex", "campus")))
	claim := func(tenant, host string) netip.Addr {
		t.Helper()
		a, err := s.ClaimNATAddress(ctx, tenant, "campus", host)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	for i := range 5 {
		host(t, s, fmt.Sprintf("host%d", i), fmt.Sprintf("192.0.2.%d", i+1))
	}
	for i := range 5 {
		for j, tenant := range []string{"acme", "globex"} {
			if got, want := claim(tenant, fmt.Sprintf("host%d", i)), netip.AddrFrom4([4]byte{203, 0, 113, byte(10 + 2*i + j)}); got != want {
				t.Errorf("%s on host%d has %s, want %s", tenant, i, got, want)
			}
		}
	}
	if got := claim("acme", "host2"); got != addr("203.0.113.14") {
		t.Errorf("claimed again: %s", got)
	}
	must[intent.Floating](t)(s.AddFloating(ctx, floating("acme/web/c1", "campus", "")))
	host(t, s, "host5", "192.0.2.6")
	_, err := s.ClaimNATAddress(ctx, "acme", "campus", "host5")
	refusals(t, []refusal{{"one more than there are", err, intent.Conflict,
		"all 11 addresses of external campus (203.0.113.10-203.0.113.20) are in use; delete floating addresses, forwards or SNATs that are not needed, or enlarge its pool: ovloom external set campus --pool FIRST-LAST"}})
	if all, err := s.NATAddresses(ctx, "acme"); err != nil || len(all) != 5 || all[4] != (intent.NATAddress{Tenant: "acme", External: "campus", Host: "host4", Address: addr("203.0.113.18")}) {
		t.Errorf("lists %+v, %v", all, err)
	}
	checked(t, s)

	// Releasing it twice is harmless, and it is not the next one to be taken.
	for range 2 {
		if err := s.ReleaseNATAddress(ctx, "acme", "campus", "host0"); err != nil {
			t.Error(err)
		}
	}
	if deleted, _, err := s.RemoveHost(ctx, "host1", false); err != nil || !slices.Equal(deleted, []string{"host host1"}) {
		t.Errorf("removed %v, %v", deleted, err)
	}
	if got := claim("acme", "host5"); got != addr("203.0.113.10") {
		t.Errorf("the pool goes round: %s", got)
	}
	if err := s.ReleaseNATAddress(ctx, "acme", "campus", "host5"); err != nil {
		t.Error(err)
	}
	if got := claim("acme", "host5"); got != addr("203.0.113.12") {
		t.Errorf("after the release host5 got %s, want the next address", got)
	}
	if _, _, err := s.DeleteSNAT(ctx, intent.SNATRef{Tenant: "acme", External: "campus"}); err != nil {
		t.Error(err)
	}
	if got := addresses(t, s, "campus"); got != "203.0.113.11 tenant globex on host0, 203.0.113.15 tenant globex on host2, "+
		"203.0.113.17 tenant globex on host3, 203.0.113.19 tenant globex on host4, 203.0.113.20 port acme/web/c1" {
		t.Errorf("left: %s", got)
	}
	checked(t, s)
	deleted, rev, err := s.DeleteTenant(ctx, "acme", true)
	if err != nil || deleted[0] != "floating acme/web/c1 on campus" {
		t.Errorf("deleted %v, %v", deleted, err)
	}
	m.reaches(t, rev)
	deleted, _, err = s.DeleteExternal(ctx, "campus", true)
	if want := "snat globex through campus, external campus"; err != nil || strings.Join(deleted, ", ") != want {
		t.Errorf("deleted %v, %v", deleted, err)
	}
	checked(t, s)
}

// If the deletion of a SNAT stopped halfway, with addresses left, the next call completes it.
func TestLeftNATAddressesGo(t *testing.T) {
	s := open(t, cluster.Config{})
	ctx := t.Context()
	outside(t, s)
	host(t, s, "host1", "192.0.2.1")
	ref := intent.SNATRef{Tenant: "acme", External: "campus"}
	half := func() {
		t.Helper()
		must[intent.SNAT](t)(s.AddSNAT(ctx, snat("acme", "campus")))
		if _, err := s.ClaimNATAddress(ctx, "acme", "campus", "host1"); err != nil {
			t.Fatal(err)
		}
		for _, k := range []string{snatKey(ref), userKey("campus", snatKey(ref))} {
			if _, err := remove(ctx, s, k); err != nil {
				t.Fatal(err)
			}
		}
		if found, err := s.Check(ctx); err != nil || len(found) != 1 || found[0] != "NAT address of tenant acme on external campus at host1 has no SNAT" {
			t.Errorf("found %v, %v", found, err)
		}
	}
	half()
	if deleted, rev, err := s.DeleteSNAT(ctx, ref); err != nil || rev == 0 || !slices.Equal(deleted, []string{"snat acme through campus"}) {
		t.Errorf("deleted %v, %v", deleted, err)
	}
	checked(t, s)
	half()
	if deleted, _, err := s.DeleteExternal(ctx, "campus", true); err != nil || !slices.Equal(deleted, []string{"snat acme through campus", "external campus"}) {
		t.Errorf("deleted %v, %v", deleted, err)
	}
	checked(t, s)
}

// Many hosts take addresses from one pool at the same time until it is empty: each address has
// one host, and all of them are taken.
func TestHostsTakeAddressesAtOnce(t *testing.T) {
	t.Parallel()
	const hosts = 40
	s := open(t, cluster.Config{Timeout: patience})
	ctx := t.Context()
	outside(t, s)
	far := open(t, cluster.Config{Endpoints: s.URLs(), Timeout: patience})
	must[intent.SNAT](t)(s.AddSNAT(ctx, snat("acme", "campus")))
	must[intent.External](t)(s.SetExternal(ctx, "campus", func(e *intent.External) error { e.Pool.Last = addr("203.0.113.39"); return nil }))
	for i := range hosts {
		host(t, s, fmt.Sprintf("host%d", i), fmt.Sprintf("192.0.2.%d", i+1))
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	got := map[netip.Addr]int{}
	full := 0
	for i := range hosts {
		wg.Go(func() {
			a, err := []*Store{s, far}[i%2].ClaimNATAddress(ctx, "acme", "campus", fmt.Sprintf("host%d", i))
			mu.Lock()
			defer mu.Unlock()
			var e *intent.Error
			switch {
			case err == nil:
				got[a]++
			case errors.As(err, &e) && e.Kind == intent.Conflict && strings.HasPrefix(e.What, "all 30 addresses"):
				full++
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(got) != 30 || full != hosts-30 {
		t.Errorf("%d addresses were taken, %d hosts were refused", len(got), full)
	}
	checked(t, s)
}

// After everything was deleted, only the counter of externals is left of externals and NAT.
func TestDeletingNATLeavesNoKey(t *testing.T) {
	s := open(t, cluster.Config{})
	ctx := t.Context()
	outside(t, s)
	host(t, s, "host1", "192.0.2.1")
	must[intent.SNAT](t)(s.AddSNAT(ctx, snat("acme", "campus")))
	must[intent.SNAT](t)(s.AddSNAT(ctx, snat("globex", "internet")))
	must[intent.Floating](t)(s.AddFloating(ctx, floating("acme/web/c1", "campus", "")))
	must[intent.Forward](t)(s.AddForward(ctx, forward("internet", 8080, "globex/web/c1")))
	must[intent.Forward](t)(s.AddForward(ctx, forward("campus", 8080, "acme/web/c1")))
	must[intent.Route](t)(s.AddRoute(ctx, route("acme", "10.9.0.0/16", "10.0.0.9")))
	if _, err := s.ClaimNATAddress(ctx, "acme", "campus", "host1"); err != nil {
		t.Fatal(err)
	}
	for _, tenant := range []string{"acme", "globex"} {
		users, err := s.TenantUsers(ctx, tenant)
		if err != nil {
			t.Fatal(err)
		}
		deleted, _, err := s.DeleteTenant(ctx, tenant, true)
		if want := append(users, "tenant "+tenant); err != nil || !slices.Equal(deleted, want) {
			t.Errorf("deleted\n%s\nwant\n%s\n%v", strings.Join(deleted, "\n"), strings.Join(want, "\n"), err)
		}
	}
	for _, external := range []string{"internet", "campus"} {
		if _, _, err := s.DeleteExternal(ctx, external, false); err != nil {
			t.Error(err)
		}
	}
	if _, _, err := s.RemoveHost(ctx, "host1", false); err != nil {
		t.Error(err)
	}
	keys, err := s.Keys(ctx)
	if want := "/ovloom/v1/c/id /ovloom/v1/c/number /ovloom/v1/c/vni /ovloom/v1/c/vrf /ovloom/v1/cluster"; err != nil || strings.Join(keys, " ") != want {
		t.Errorf("left:\n%s\n%v", strings.Join(keys, "\n"), err)
	}
}
