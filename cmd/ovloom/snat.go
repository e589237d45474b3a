// ovloom nat snat

package main

import (
	"fmt"
	"math"
	"net/netip"
	"strings"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/intent"
)

var snatLimit = uintFlag("max-connections", fmt.Sprintf("at most `N` connections at a time on each host, if not given %d; 0: no limit", intent.DefaultConnections),
	func(n *intent.SNAT) *uint32 { return &n.MaxConnections }, connectionLimit)

var snats = noun[intent.SNAT, api.SNAT, api.SNAT]{
	class:    intent.ClassSNAT,
	usage:    "source NAT for a tenant",
	examples: []string{"ovloom nat snat add acme", "ovloom nat snat show acme"},
	name:     []argument{path(intent.ClassTenant)},
	parse: func(args []string) (intent.SNAT, error) {
		name, err := intent.ParseTenant(args[0])
		return intent.SNAT{Tenant: name}, err
	},
	title: func(n intent.SNAT) string { return "the snat of tenant " + n.Tenant },
	add: &verb[intent.SNAT]{
		usage: "add source NAT for a tenant",
		about: "A tenant has one SNAT. By an external with --host, it has one address on all hosts, which each host hides behind its own; by one with --bridge, each host takes an address of the pool when it has a port of the tenant.",
		examples: []string{
			"ovloom nat snat add acme --external internet",
			"ovloom nat snat add acme",
			"ovloom nat snat add acme --external campus --max-connections 20000",
		},
		flags: []field[intent.SNAT]{
			externalFlag(func(n *intent.SNAT) *string { return &n.External }),
			stringFlag("address", "of an external with --host: `ADDRESS` of its range; chosen, unless given", func(n *intent.SNAT) *netip.Addr { return &n.Address }, intent.ParseAddr),
			snatLimit,
		},
		check: func(in *input[intent.SNAT]) error { return in.choose(&in.object.External, "") },
		says: func(n intent.SNAT) string {
			if !n.Address.IsValid() {
				return "each host takes an address for its ports"
			}
			return "its ports go out as " + n.Address.String()
		},
	},
	set: &verb[intent.SNAT]{
		usage:    "change the limit of connections",
		examples: []string{"ovloom nat snat set acme --max-connections 20000", "ovloom nat snat set acme --max-connections 0"},
		flags:    []field[intent.SNAT]{snatLimit},
		check:    findSNAT,
		says:     func(n intent.SNAT) string { return "connections " + limitText(n.MaxConnections) },
	},
	list: &listing[api.SNAT]{
		usage:    "list the source NAT of all tenants or of one",
		examples: []string{"ovloom nat snat list", "ovloom nat snat list -o json"},
		within:   []intent.Class{intent.ClassTenant},
		columns: []column[api.SNAT]{
			{"TENANT", func(n api.SNAT) string { return n.Tenant }},
			{"EXTERNAL", func(n api.SNAT) string { return n.External }},
			{"ADDRESS", snatAddresses},
			{"CONNECTIONS", func(n api.SNAT) string { return limitText(n.MaxConnections) }},
		},
	},
	show: &showing[intent.SNAT, api.SNAT]{
		verb: verb[intent.SNAT]{usage: "show the source NAT of a tenant", examples: []string{"ovloom nat snat show acme"}, check: findSNAT},
		facts: func(n api.SNAT) []fact {
			return []fact{
				{"tenant", n.Tenant},
				{"external", n.External},
				{"id", decimal(n.ID)},
				{"address", snatAddresses(n)},
				{"connections", limitText(n.MaxConnections)},
			}
		},
	},
	delete: &verb[intent.SNAT]{
		usage: "delete the source NAT of a tenant", about: "The connections that left by it end.",
		examples: []string{"ovloom nat snat delete acme"}, check: findSNAT,
	},
}

// connectionLimit converts --max-connections to the limit of a SNAT.
func connectionLimit(n uint64) (uint32, error) {
	if n == 0 {
		return intent.UnlimitedConnections, nil
	}
	if n > math.MaxUint32 {
		return 0, intent.Invalidf("limit of connections %d is out of range", n).WithHint("choose between 1 and %d; 0: no limit", uint32(math.MaxUint32))
	}
	return uint32(n), nil
}

// findSNAT finds the only SNAT of the tenant.
func findSNAT(in *input[intent.SNAT]) error {
	tenant := in.object.Tenant
	by, err := externalsOf(in.ctx, in.client, intent.ClassSNAT, tenant, func(n api.SNAT) string { return n.External })
	if err != nil {
		return err
	}
	if len(by) == 0 {
		return intent.NotFoundf("tenant %s has no snat", tenant).WithHint("add one with `ovloom nat snat add %s`", tenant)
	}
	in.object.External = by[0]
	return nil
}

func limitText(n uint32) string {
	limit, limited := intent.SNAT{MaxConnections: n}.Limit()
	switch {
	case !limited:
		return "not limited"
	case n == 0:
		return fmt.Sprintf("at most %d on a host, the default", limit)
	}
	return fmt.Sprintf("at most %d on a host", limit)
}

// snatAddresses returns the addresses that a SNAT translates to.
func snatAddresses(n api.SNAT) string {
	if n.Address.IsValid() {
		return n.Address.String()
	}
	var s []string
	for _, h := range n.Hosts {
		s = append(s, h.Address.String()+" on "+h.Host)
	}
	return strings.Join(s, ", ")
}
