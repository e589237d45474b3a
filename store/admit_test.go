package store

import (
	"context"
	"testing"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/cluster"
)

func TestAnMTUThatHostsCannotCarry(t *testing.T) {
	s := open(t, cluster.Config{})
	ctx := t.Context()
	must[intent.Tenant](t)(s.AddTenant(ctx, "acme"))
	wide := intent.Network{Tenant: "acme", Name: "wide", MTU: 9000}
	must[intent.Network](t)(s.AddNetwork(ctx, wide)) // there are no hosts yet
	register := func(name, vtep string, mtu int) {
		t.Helper()
		if _, err := s.Register(ctx, intent.Host{Name: name, VTEP: addr(vtep), UnderlayMTU: mtu}); err != nil {
			t.Fatal(err)
		}
	}
	register("host1", "192.0.2.1", 1600)
	register("host2", "192.0.2.2", 0)
	wide.Name = "wider"
	must[intent.Network](t)(s.AddNetwork(ctx, wide)) // host1 is not alive
	alive, stop := context.WithCancel(ctx)
	defer stop()
	go s.KeepAlive(alive, "host1")
	until(t, "host1 is alive", func() bool {
		hosts, err := s.Hosts(ctx)
		return err == nil && hosts[0].Alive
	})
	wide.Name = "widest"
	set := func(mtu int) error {
		return third(s.SetNetwork(ctx, intent.NetworkRef{Tenant: "acme", Network: "wide"}, func(n *intent.Network) error { n.MTU = mtu; return nil }))
	}
	refusals(t, []refusal{
		{"a new network", third(s.AddNetwork(ctx, wide)), intent.Conflict,
			"an MTU of 9000 bytes needs an underlay MTU of 9050, which is less on host1 (1600); choose at most 1550"},
		{"a changed network", set(1551), intent.Conflict, "underlay MTU of 1601, which is less on host1 (1600)"},
	})
	if err := set(1550); err != nil {
		t.Error(err)
	}
}

func TestAddressesOutsideAreNoneInside(t *testing.T) {
	s := open(t, cluster.Config{})
	ctx := t.Context()
	acme(t, s)
	must[intent.External](t)(s.AddExternal(ctx, internet()))
	clash := campus()
	clash.Name, clash.Bridge, clash.Subnet = "clash", "br-clash", prefix("10.0.0.0/16")
	clash.Pool = intent.AddrRange{First: addr("10.0.0.200"), Last: addr("10.0.1.10")}
	must[intent.External](t)(s.AddExternal(ctx, clash))
	must[intent.Port](t)(s.AddPort(ctx, port("acme/web/c1")))
	c1 := ref("acme/web/c1")
	network := func(tenant, name, subnet string) error {
		return third(s.AddNetwork(ctx, intent.Network{Tenant: tenant, Name: name, Subnets: []intent.Subnet{{Prefix: prefix(subnet)}}}))
	}
	must[intent.SNAT](t)(s.AddSNAT(ctx, intent.SNAT{Tenant: "acme", External: "internet"}))
	const said = "subnet 10.0.0.0/24 of network acme/web has addresses that NAT uses on external clash: 10.0.0.200-10.0.1.10"
	refusals(t, []refusal{
		{"floating", third(s.AddFloating(ctx, intent.Floating{Tenant: "acme", Network: "web", Port: "c1", External: "clash"})), intent.Conflict, said},
		{"forward", third(s.AddForward(ctx, intent.Forward{Tenant: "acme", External: "clash", Protocol: intent.TCP, Port: 80, To: c1, ToPort: 80})), intent.Conflict, said},
		{"network", network("acme", "nat", "100.64.0.0/10"), intent.Conflict, "has addresses that NAT uses on external internet"},
	})
	must[intent.Tenant](t)(s.AddTenant(ctx, "other"))
	if err := network("other", "nat", "100.64.0.0/10"); err != nil {
		t.Errorf("the network of a tenant without NAT: %v", err)
	}
	refusals(t, []refusal{
		{"SNAT", third(s.AddSNAT(ctx, intent.SNAT{Tenant: "other", External: "internet"})), intent.Conflict, "of network other/nat has addresses that NAT uses on external internet"},
	})
}

// Two VLANs of a bridge are two segments, which may use the same addresses.
func TestExternalsOfOneBridge(t *testing.T) {
	s := open(t, cluster.Config{})
	one, other, tagged := campus(), campus(), campus()
	other.Name, other.Subnet, other.Pool = "city", prefix("203.0.114.0/24"), intent.AddrRange{First: addr("203.0.114.10"), Last: addr("203.0.114.20")}
	tagged.Name, tagged.VLAN = "tagged", 100
	for _, e := range []intent.External{one, other, tagged} {
		must[intent.External](t)(s.AddExternal(t.Context(), e))
	}
}
