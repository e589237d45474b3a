// ovloom external: externals, which hosts reach by their uplinks.

package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/intent"
)

// The flags of an external.
var (
	externalKind = []field[intent.External]{
		{name: "host", flag: func() cli.Flag {
			return &cli.BoolFlag{Name: "host", Usage: "out through the hosts' own routing, under the hosts' own addresses"}
		}, read: func(in *input[intent.External]) error {
			in.object.Kind = intent.ExternalHost
			return nil
		}},
		stringFlag("range", "with --host: `PREFIX` of addresses that no other machine uses, one for each tenant (default: "+intent.DefaultHostRange.String()+")",
			func(e *intent.External) *netip.Prefix { return &e.Subnet }, intent.ParsePrefix),
		bound("bridge", func() cli.Flag {
			return completed(&cli.StringFlag{Name: "bridge", Usage: "out through `BRIDGE`, which exists on the hosts and leads to a segment outside"}, interfaces)
		}, func(e *intent.External) *string { return &e.Bridge }, func(c *cli.Context) (string, error) { return c.String("bridge"), nil }),
		stringFlag("subnet", "with --bridge: `PREFIX` of that segment", func(e *intent.External) *netip.Prefix { return &e.Subnet }, intent.ParsePrefix),
		stringFlag("gateway", "with --bridge: `ADDRESS` of the segment's router; the first of the subnet, unless given",
			func(e *intent.External) *netip.Addr { return &e.Gateway }, intent.ParseAddr),
	}
	externalVLAN = intFlag("vlan", "VLAN `N` of the segment on the bridge, 1 to 4094; 0: untagged (default: 0)", func(e *intent.External) *uint16 { return &e.VLAN }, vlan)
	externalPool = stringFlag("pool", "`FIRST-LAST`: the addresses of the subnet that ovloom may use", func(e *intent.External) *intent.AddrRange { return &e.Pool }, intent.ParseAddrRange)
	externalMTU  = func(check func(int) (int, error)) field[intent.External] {
		return intFlag("mtu", "largest IP packet of the segment, in `BYTES` (default: 1500)", func(e *intent.External) *int { return &e.MTU }, check)
	}
	externalAllow = stringsFlag("allow", "`PREFIX` that tenants may reach by it although it is the hosts' own",
		func(e *intent.External) *[]netip.Prefix { return &e.Allow }, intent.ParseAllowed)
	externalNoAllow = field[intent.External]{name: "no-allow", flag: func() cli.Flag {
		return &cli.StringSliceFlag{Name: "no-allow", Usage: "`PREFIX` that was allowed and no longer is"}
	}, read: readNoAllow}
	externalUnderlay = stringFlag("underlay", "with --host: `ACCESS` of tenants to the network that the tunnels run in, deny or allow (default: deny). Hosts and tunnels there stay closed either way",
		func(e *intent.External) *intent.UnderlayAccess { return &e.Underlay }, intent.ParseUnderlayAccess)
)

var externals = noun[intent.External, intent.External, api.External]{
	class:    intent.ClassExternal,
	usage:    "externals: networks outside the overlay that tenants reach by NAT",
	examples: []string{"ovloom external add internet --host", "ovloom external show internet"},
	name:     []argument{path(intent.ClassExternal)},
	parse: func(args []string) (intent.External, error) {
		return intent.External{Name: args[0]}, intent.ValidateName("external", args[0])
	},
	add: &verb[intent.External]{
		usage: "add an external",
		about: "With --host, packets leave through the routing of the host where the port is, under the host's address (masquerade): it works on any host that has a route. `ovloom status` says what a host lacks for that, and `ovloom status --fix`" + ` sets it.

With --bridge, tenants have addresses of a real subnet: those of the pool, which nobody else may use. A host without the bridge has no uplink to it. Frames on the bridge are untagged, or have the tag of --vlan: others are dropped.

Tenants reach no address of a host, no VTEP and no store, nor each other's addresses, and with --host not the network that the tunnels run in, but for what --allow names. VTEPs and the store are opened by naming the very address only, not by a prefix around it.`,
		examples: []string{
			"ovloom external add internet --host",
			"ovloom external add lab --host --range 100.100.0.0/16 --allow 192.0.2.5",
			"ovloom external add lan --host --range 100.101.0.0/16 --underlay allow",
			"ovloom external add campus --bridge br-ex --subnet 203.0.113.0/24 --gateway 203.0.113.1 --pool 203.0.113.10-203.0.113.200",
			"ovloom external add lab7 --bridge br-ex --vlan 107 --subnet 198.51.100.0/24 --pool 198.51.100.10-198.51.100.99",
		},
		flags: slices.Concat(externalKind, []field[intent.External]{externalVLAN, externalPool, externalMTU(anyInt), externalAllow, externalUnderlay}),
		check: validExternal, says: externalText,
	},
	set: &verb[intent.External]{
		usage: "change an external",
		about: "What is not given stays: --allow adds to what is allowed, --no-allow takes from it; --vlan, --pool, --mtu and --underlay replace. It returns when the change is stored; every host takes it in at once, or as soon as its ovloomd runs.",
		examples: []string{
			"ovloom external set internet --allow 192.0.2.0/28",
			"ovloom external set internet --no-allow 192.0.2.0/28",
			"ovloom external set internet --underlay deny",
			"ovloom external set campus --pool 203.0.113.10-203.0.113.250",
		},
		flags: []field[intent.External]{externalAllow, externalNoAllow, externalVLAN, externalPool, externalMTU(segmentMTU), externalUnderlay},
		check: oneOfAllowed, says: externalText,
	},
	list: &listing[intent.External]{
		usage:    "list the externals",
		examples: []string{"ovloom external list", "ovloom external list -o json"},
		columns: []column[intent.External]{
			{"EXTERNAL", func(e intent.External) string { return e.Name }},
			{"LEADS", leadsBy},
			{"SUBNET", func(e intent.External) string { return e.Subnet.String() }},
			{"GATEWAY", func(e intent.External) string { return e.Gateway.String() }},
			{"ADDRESSES", func(e intent.External) string { return e.Addresses().String() }},
			{"ALLOWS", func(e intent.External) string { return joined(e.Allow) }},
		},
	},
	show: &showing[intent.External, api.External]{
		verb: verb[intent.External]{
			usage: "show an external, and which of its addresses are used for what", several: true,
			examples: []string{"ovloom external show campus"},
		},
		facts: externalFacts,
		after: func(w io.Writer, e api.External) {
			section(w, "Addresses in use", []string{"ADDRESS", "USED BY"}, e.Used, func(u api.UsedAddress) []string {
				return []string{u.Address.String(), strings.Join(u.By, ", ")}
			})
		},
	},
	delete: &verb[intent.External]{
		usage: "delete an external", several: true,
		about:    "An external that tenants use is deleted only with --cascade, which prints what goes first. It returns when that is stored.",
		examples: []string{"ovloom external delete campus", "ovloom external delete internet --cascade"},
	},
}

// validExternal refuses flags that contradict each other, and an external that is invalid
// by itself.
func validExternal(in *input[intent.External]) error {
	e, bridge := &in.object, in.line.IsSet("bridge")
	if in.line.Bool("host") == bridge {
		return intent.Invalidf("external %s needs either --host or --bridge", e.Name).
			WithHint("--host goes out through the hosts' own routing, --bridge br-ex through a bridge that leads outside")
	}
	other := []string{"subnet", "gateway", "vlan", "pool", "mtu"}
	e.Kind = intent.ExternalHost
	if bridge {
		e.Kind, other = intent.ExternalBridge, []string{"range", "underlay"}
	}
	for _, flag := range other {
		if in.line.IsSet(flag) {
			return intent.Invalidf("--%s is not for externals with --%s", flag, e.Kind).WithHint("see `ovloom external add --help`")
		}
	}
	return e.WithDefaults().Validate()
}

// vlan checks --vlan.
func vlan(n int) (uint16, error) {
	if n < 0 || n > intent.VLANMax {
		return 0, intent.Invalidf("VLAN %d is out of range", n).WithHint("choose between 1 and %d; 0: untagged", intent.VLANMax)
	}
	return uint16(n), nil
}

// segmentMTU checks --mtu of an existing external.
func segmentMTU(n int) (int, error) {
	if n < intent.MTUMin || n > intent.MTUMax {
		return 0, intent.Invalidf("MTU %d is out of range", n).WithHint("choose between %d and %d bytes", intent.MTUMin, intent.MTUMax)
	}
	return n, nil
}

// noAllow is the name of --no-allow's value: a field of the change, not of the external.
const noAllow = "no_allow"

func readNoAllow(in *input[intent.External]) error {
	ps, err := each(in.line.StringSlice("no-allow"), intent.ParseAllowed)
	in.change[noAllow] = ps
	return err
}

// oneOfAllowed refuses a prefix that is given both to --allow and to --no-allow.
func oneOfAllowed(in *input[intent.External]) error {
	no, _ := in.change[noAllow].([]netip.Prefix)
	for _, pre := range in.object.Allow {
		if slices.Contains(no, pre) {
			return intent.Invalidf("prefix %s is given both with --allow and with --no-allow", pre).WithHint("choose one")
		}
	}
	return nil
}

// externalText describes an external that was added or changed.
func externalText(e intent.External) string {
	s := fmt.Sprintf("%s, addresses %s", leadsBy(e), e.Addresses())
	if len(e.Allow) > 0 {
		s += ", allows " + joined(e.Allow)
	}
	return s
}

// leadsBy describes how packets leave by an external.
func leadsBy(e intent.External) string {
	if e.Kind == intent.ExternalBridge {
		if e.VLAN != 0 {
			return fmt.Sprintf("through bridge %s, VLAN %d", e.Bridge, e.VLAN)
		}
		return "through bridge " + e.Bridge
	}
	return "through the host"
}

// underlayWords describe which part of the underlay tenants may reach.
var underlayWords = map[intent.UnderlayAccess]string{
	intent.UnderlayDeny:  "denied",
	intent.UnderlayAllow: "allowed, but for hosts and tunnels",
	"":                   "allowed, but for hosts and tunnels (default)",
}

func externalFacts(e api.External) []fact {
	fs := []fact{
		{"external", e.Name},
		{"id", decimal(e.ID)},
		{"leads", leadsBy(e.External)},
		{"subnet", e.Subnet.String() + " with gateway " + e.Gateway.String()},
		{"addresses", fmt.Sprintf("%s: %d in use, %d free", e.Addresses(), len(e.Used), e.Free)},
	}
	if e.MTU != 0 {
		fs = append(fs, fact{"mtu", strconv.Itoa(e.MTU)})
	}
	if e.Kind == intent.ExternalHost {
		fs = append(fs, fact{"underlay", underlayWords[e.Underlay]})
	}
	return append(fs, fact{"allows", joined(e.Allow)})
}

// choose sets the external of a new NAT object where the line names none.
func (in *input[O]) choose(external *string, kind intent.ExternalKind) (err error) {
	if *external == "" {
		*external, err = chooseExternal(in.ctx, in.client, kind)
	}
	return err
}

// chooseExternal returns the only external of a kind; "": of any kind.
func chooseExternal(ctx context.Context, c *api.Client, kind intent.ExternalKind) (string, error) {
	es, err := api.List[intent.External](ctx, c, intent.ClassExternal, nil)
	if err != nil {
		return "", err
	}
	var names []string
	for _, e := range es {
		if kind == "" || e.Kind == kind {
			names = append(names, e.Name)
		}
	}
	switch {
	case len(names) == 1:
		return names[0], nil
	case len(names) > 1:
		return "", intent.Invalidf("it is not said by which external: there are %s", strings.Join(names, ", ")).WithHint("name one: --external %s", names[0])
	case kind == intent.ExternalBridge:
		return "", intent.NotFoundf("there is no external with a bridge, whose addresses a port could have").
			WithHint("add one, such as `ovloom external add campus --bridge br-ex --subnet 203.0.113.0/24 --pool 203.0.113.10-203.0.113.200`")
	}
	return "", intent.NotFoundf("there is no external").WithHint("add one, such as `ovloom external add internet --host`")
}
