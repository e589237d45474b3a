// ovloom tenant

package main

import (
	"strconv"
	"strings"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/intent"
)

var tenants = noun[intent.Tenant, intent.Tenant, api.Tenant]{
	class:    intent.ClassTenant,
	usage:    "groups of networks that no other tenant can reach",
	examples: []string{"ovloom tenant add acme", "ovloom tenant delete acme --cascade"},
	name:     []argument{path(intent.ClassTenant)},
	parse: func(args []string) (intent.Tenant, error) {
		name, err := intent.ParseTenant(args[0])
		return intent.Tenant{Name: name}, err
	},
	add: &verb[intent.Tenant]{usage: "add a tenant", several: true, examples: []string{"ovloom tenant add acme"}},
	list: &listing[intent.Tenant]{
		usage:    "list the tenants",
		examples: []string{"ovloom tenant list", "ovloom tenant list -o json"},
		columns: []column[intent.Tenant]{
			{"TENANT", func(t intent.Tenant) string { return t.Name }},
			{"VRF", func(t intent.Tenant) string { return decimal(t.VRF) }},
		},
	},
	show: &showing[intent.Tenant, api.Tenant]{
		verb: verb[intent.Tenant]{usage: "show a tenant and what it has", several: true, examples: []string{"ovloom tenant show acme"}},
		facts: func(t api.Tenant) []fact {
			return []fact{
				{"tenant", t.Name},
				{"id", decimal(t.ID)},
				{"vrf", decimal(t.VRF)},
				{"networks", strings.Join(t.Networks, ", ")},
				{"ports", strconv.Itoa(t.Ports)},
				{"hosts", strings.Join(t.Hosts, ", ")},
				{"routes", strconv.Itoa(t.Routes)},
				{"nat", tenantNAT(t)},
			}
		},
	},
	delete: &verb[intent.Tenant]{
		usage: "delete a tenant", several: true,
		about:    "A tenant that has networks or NAT is deleted only with --cascade, which prints what goes first.",
		examples: []string{"ovloom tenant delete acme", "ovloom tenant delete acme --cascade --dry-run"},
	},
}

// tenantNAT summarizes a tenant's NAT.
func tenantNAT(t api.Tenant) string {
	var s []string
	for _, n := range t.SNATs {
		s = append(s, "snat through "+n.External)
	}
	if t.Floatings > 0 {
		s = append(s, strconv.Itoa(t.Floatings)+" floating")
	}
	if t.Forwards > 0 {
		s = append(s, count(t.Forwards, "forward"))
	}
	return strings.Join(s, ", ")
}
