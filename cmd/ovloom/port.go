// ovloom port: the intent. plug.go attaches ports to workloads.

package main

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/intent"
)

// portFlags are the flags of a port, for add and for set.
var portFlags = []field[intent.Port]{
	stringsFlag("ip", "IPv4 or IPv6 `ADDRESS`; the next free one of each subnet, unless given", func(p *intent.Port) *[]netip.Addr { return &p.Addrs }, intent.ParseAddr),
	stringFlag("mac", "Ethernet `ADDRESS`; made, unless given", func(p *intent.Port) *intent.MAC { return &p.MAC }, intent.ParseMAC),
	intFlag("learn", "up to `N` MACs that the store does not know may live behind it (networks with --learning)", func(p *intent.Port) *int { return &p.Learn }, learnLimit),
}

var ports = noun[intent.Port, api.Port, api.Port]{
	class:    intent.ClassPort,
	usage:    "ports: where a VM, container or namespace attaches",
	examples: []string{"ovloom port add acme/web/c1", "ovloom port plug acme/web/c1 --netns c1", "ovloom port list acme/web"},
	name:     []argument{portPath},
	parse: func(args []string) (intent.Port, error) {
		r, err := intent.ParsePortRef(args[0])
		return intent.Port{Tenant: r.Tenant, Network: r.Network, Name: r.Port}, err
	},
	add: &verb[intent.Port]{
		usage: "add a port", several: true,
		examples: []string{
			"ovloom port add acme/web/c1",
			"ovloom port add acme/web/c2 --ip 10.0.0.20 --ip fd00::20 --mac 02:00:00:00:00:20",
			"ovloom port add acme/lab/bridge1 --learn 8",
		},
		flags: portFlags, check: ownAddresses, says: portText,
	},
	set: &verb[intent.Port]{
		usage: "change a port", about: "What is not given stays; --ip replaces all addresses.",
		examples: []string{"ovloom port set acme/web/c1 --ip 10.0.0.21"},
		flags:    portFlags, says: portText,
	},
	list: &listing[api.Port]{
		usage:    "list the ports of all tenants, of one, or of a network",
		examples: []string{"ovloom port list", "ovloom port list acme/web", "ovloom port list --host host2", "ovloom port list --ip 203.0.113.10", "ovloom port list acme -o json"},
		within:   []intent.Class{intent.ClassTenant, intent.ClassNetwork},
		filters:  []filter[api.Port]{portsOfHost, portsWithIP, portsWithMAC},
		none:     hostExists,
		columns: []column[api.Port]{
			{"PORT", func(v api.Port) string { return v.Ref().String() }},
			{"MAC", func(v api.Port) string { return v.MAC.String() }},
			{"ADDRESSES", func(v api.Port) string { return addrs(v.Addrs) }},
			{"HOST", func(v api.Port) string { return v.Host }},
			{"STATE", portState},
		},
	},
	show: &showing[intent.Port, api.Port]{
		verb: verb[intent.Port]{
			usage: "show a port, where it is plugged, and what leads to it", several: true,
			about:    "Instead of its name an address may be given: IPv4, IPv6 or MAC, inside or floating.",
			examples: []string{"ovloom port show acme/web/c1", "ovloom port show 10.0.0.7", "ovloom port show acme/web/c1 acme/web/c2 -o json"},
		},
		get: portNamed, facts: portFacts,
	},
	delete: &verb[intent.Port]{
		usage: "delete a port", several: true,
		about:    "A port that is plugged, or that NAT leads to, is deleted only with --cascade.",
		examples: []string{"ovloom port delete acme/web/c1", "ovloom port delete acme/web/c1 acme/web/c2 acme/web/c3"},
	},
	more: func(p *program) []*cli.Command { return []*cli.Command{p.plugCommand(), p.unplugCommand()} },
}

// learnLimit checks --learn.
func learnLimit(n int) (int, error) {
	if n < 0 || n > intent.LearnMax {
		return 0, intent.Invalidf("learning limit %d is out of range", n).WithHint("choose between 0 and %d", intent.LearnMax)
	}
	return n, nil
}

// ownAddresses refuses addresses when several ports are added: all would have the same.
func ownAddresses(in *input[intent.Port]) error {
	if len(in.several) > 0 && (len(in.object.Addrs) > 0 || !in.object.MAC.IsZero()) {
		return intent.Invalidf("%s cannot have the same address", count(len(in.several), "port")).WithHint("leave --ip and --mac out, or add one port at a time")
	}
	return nil
}

// portText describes a port that was added or changed.
func portText(p intent.Port) string {
	s := "MAC " + p.MAC.String()
	if len(p.Addrs) > 0 {
		s += ", " + addrs(p.Addrs)
	}
	return s
}

// The filters of ovloom port list.
var (
	portsOfHost = filter[api.Port]{
		flag: func() cli.Flag {
			return completed(&cli.StringFlag{Name: "host", Usage: "only those that `HOST` has plugged"}, namesOf(intent.ClassHost))
		},
		keep: func(host string) (func(api.Port) bool, error) {
			if host == "" {
				return nil, nil
			}
			return func(v api.Port) bool { return v.Host == host }, intent.ValidateName("host", host)
		},
	}
	portsWithIP = filter[api.Port]{
		flag: func() cli.Flag {
			return &cli.StringFlag{Name: "ip", Usage: "only those with this IPv4 or IPv6 `ADDRESS`, inside or floating"}
		},
		keep: func(s string) (func(api.Port) bool, error) {
			a, err := intent.ParseAddr(s)
			return func(v api.Port) bool { return hasAddress(v, a) }, err
		},
	}
	portsWithMAC = filter[api.Port]{
		flag: func() cli.Flag {
			return &cli.StringFlag{Name: "mac", Usage: "only those with this Ethernet `ADDRESS`"}
		},
		keep: func(s string) (func(api.Port) bool, error) {
			mac, err := intent.ParseMAC(s)
			return func(v api.Port) bool { return v.MAC == mac }, err
		},
	}
)

// hostExists distinguishes a host without ports, whose list is empty, from a misspelt one.
func hostExists(ctx context.Context, p *program, c *cli.Context) error {
	host := c.String("host")
	if host == "" {
		return nil
	}
	_, err := api.Get[api.Host](ctx, p.client, intent.HostRef{Host: host})
	if intent.KindOf(err) == intent.NotFound {
		return err
	}
	return nil
}

// hasAddress reports whether a port has an address, inside or outside.
func hasAddress(v api.Port, a netip.Addr) bool {
	return slices.Contains(v.Addrs, a) || slices.ContainsFunc(v.Floatings, func(f intent.Floating) bool { return f.Address == a })
}

// portNamed returns the port with a name, or with an address.
func portNamed(ctx context.Context, p *program, args []string) (api.Port, error) {
	arg := args[0]
	var has func(api.Port) bool
	if a, err := netip.ParseAddr(arg); err == nil {
		has = func(v api.Port) bool { return hasAddress(v, a) }
	} else if mac, err := intent.ParseMAC(arg); err == nil {
		has = func(v api.Port) bool { return v.MAC == mac }
	}
	if has == nil {
		ref, err := intent.ParsePortRef(arg)
		if err != nil {
			return api.Port{}, err
		}
		return api.Get[api.Port](ctx, p.client, ref)
	}
	all, err := api.List[api.Port](ctx, p.client, intent.ClassPort, nil)
	if err != nil {
		return api.Port{}, err
	}
	all = slices.DeleteFunc(all, func(v api.Port) bool { return !has(v) })
	switch len(all) {
	case 0:
		return api.Port{}, intent.NotFoundf("no port has the address %s", arg).WithHint("see: ovloom port list")
	case 1:
		return api.Get[api.Port](ctx, p.client, all[0].Ref())
	}
	var names []string
	for _, v := range all {
		names = append(names, v.Ref().String())
	}
	return api.Port{}, intent.Conflictf("%s have the address %s: %s", count(len(all), "port"), arg, strings.Join(names, ", ")).
		WithHint("name one of them, such as: ovloom port show %s", names[0])
}

func portState(p api.Port) string {
	switch {
	case len(p.Claims) > 1:
		return "conflict"
	case p.Host == "":
		return "unplugged"
	case p.Fault != "":
		return "down"
	case p.Up:
		return "up"
	}
	return "plugged"
}

func portFacts(v api.Port) []fact {
	fs := []fact{
		{"port", v.Ref().String()},
		{"id", decimal(v.ID)},
		{"uuid", v.UUID},
		{"mac", v.MAC.String()},
		{"addresses", addrs(v.Addrs)},
		{"learn", strconv.Itoa(v.Learn)},
		{"host", v.Host},
		{"state", portState(v)},
	}
	if v.Fault != "" {
		fs = append(fs, fact{"because", v.Fault})
	}
	for _, f := range v.Floatings {
		fs = append(fs, fact{"floating", f.Address.String() + " on " + f.External})
	}
	for _, f := range v.Forwards {
		fs = append(fs, fact{"forward", fmt.Sprintf("%s on %s to %d", outside(f), f.External, f.ToPort)})
	}
	if len(v.Routes) > 0 {
		fs = append(fs, fact{"next hop of", joined(v.Routes)})
	}
	if len(v.Claims) > 1 {
		for _, cl := range v.Claims {
			fs = append(fs, fact{"claim", claimText(cl)})
		}
	}
	return fs
}

func claimText(c api.Claim) string {
	return fmt.Sprintf("%s, generation %d", c.Host, c.Generation)
}
