// ovloom nat floating

package main

import (
	"net/netip"
	"strings"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/intent"
)

var floatingExternal = externalFlag(func(f *intent.Floating) *string { return &f.External })

var floatings = noun[intent.Floating, intent.Floating, api.Floating]{
	class:    intent.ClassFloating,
	usage:    "give a port an address outside, for what it sends and for what is sent to it",
	examples: []string{"ovloom nat floating add acme/web/c1 --external campus", "ovloom nat floating list acme"},
	name:     []argument{portPath},
	parse: func(args []string) (intent.Floating, error) {
		r, err := intent.ParsePortRef(args[0])
		return intent.Floating{Tenant: r.Tenant, Network: r.Network, Port: r.Port}, err
	},
	add: &verb[intent.Floating]{
		usage: "give a port a floating address",
		about: "The external is one with --bridge. The address goes with the port when that is plugged on another host.",
		examples: []string{
			"ovloom nat floating add acme/web/c1 --external campus",
			"ovloom nat floating add acme/web/c1 --external campus --address 203.0.113.20",
		},
		flags: []field[intent.Floating]{
			floatingExternal,
			stringFlag("address", "`ADDRESS` of the pool; the next free one, unless given", func(f *intent.Floating) *netip.Addr { return &f.Address }, intent.ParseAddr),
		},
		check: func(in *input[intent.Floating]) error { return in.choose(&in.object.External, intent.ExternalBridge) },
		says:  func(f intent.Floating) string { return f.Address.String() },
	},
	list: &listing[intent.Floating]{
		usage:    "list the floating addresses of all tenants or of one",
		examples: []string{"ovloom nat floating list", "ovloom nat floating list acme -o json"},
		within:   []intent.Class{intent.ClassTenant},
		columns: []column[intent.Floating]{
			{"PORT", func(f intent.Floating) string { return f.PortRef().String() }},
			{"EXTERNAL", func(f intent.Floating) string { return f.External }},
			{"ADDRESS", func(f intent.Floating) string { return f.Address.String() }},
		},
	},
	show: &showing[intent.Floating, api.Floating]{
		verb: verb[intent.Floating]{
			usage: "show the floating address of a port", examples: []string{"ovloom nat floating show acme/web/c1"},
			flags: []field[intent.Floating]{floatingExternal}, check: findFloating,
		},
		facts: func(f api.Floating) []fact {
			return []fact{
				{"address", f.Address.String()},
				{"external", f.External},
				{"id", decimal(f.ID)},
				{"port", f.PortRef().String()},
				{"inside", addrs(f.Inside)},
				{"host", f.Host},
			}
		},
	},
	delete: &verb[intent.Floating]{
		usage: "take a floating address from its port", about: "The connections of the address end.",
		examples: []string{"ovloom nat floating delete acme/web/c1", "ovloom nat floating delete acme/web/c1 --external campus"},
		flags:    []field[intent.Floating]{floatingExternal}, check: findFloating,
	},
}

// findFloating finds the only floating address of the port, unless the line names its
// external.
func findFloating(in *input[intent.Floating]) error {
	if in.object.External != "" {
		return nil
	}
	port := in.object.PortRef()
	by, err := externalsOf(in.ctx, in.client, intent.ClassFloating, port.Tenant, func(f intent.Floating) string {
		if f.PortRef() != port {
			return ""
		}
		return f.External
	})
	switch {
	case err != nil:
		return err
	case len(by) == 0:
		return intent.NotFoundf("port %s has no floating address", port).WithHint("`ovloom nat floating list %s` shows which have", port.Tenant)
	case len(by) > 1:
		return intent.Invalidf("port %s has several floating addresses: on %s", port, strings.Join(by, ", ")).WithHint("name one: --external %s", by[0])
	}
	in.object.External = by[0]
	return nil
}
