// ovloom external: ways out of the overlay.

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

func (p *program) externalCommand() *cli.Command {
	allow := func() cli.Flag {
		return &cli.StringSliceFlag{Name: "allow", Usage: "`PREFIX` that tenants may reach by it although it is the hosts' own"}
	}
	pool := func() cli.Flag {
		return &cli.StringFlag{Name: "pool", Usage: "`FIRST-LAST`: the addresses of the subnet that ovloom may use"}
	}
	mtu := func() cli.Flag {
		return &cli.IntFlag{Name: "mtu", Usage: "largest IP packet of the segment, in `BYTES` (default: 1500)"}
	}
	underlay := func() cli.Flag {
		return &cli.StringFlag{Name: "underlay", Usage: "with --host: `ACCESS` of tenants to the network that the tunnels run in, deny or allow (default: deny). Hosts and tunnels there stay closed either way"}
	}
	vlan := func() cli.Flag {
		return &cli.IntFlag{Name: "vlan", Usage: "VLAN `N` of the segment on the bridge, 1 to 4094; 0: untagged (default: 0)"}
	}
	return &cli.Command{
		Name: "external", Usage: "externals: ways out of the overlay, which tenants use by NAT",
		Description: `   ovloom external add internet --host
   ovloom external show internet`,
		Subcommands: []*cli.Command{
			{Name: "add", Usage: "add an external", ArgsUsage: "EXTERNAL", Action: p.externalAdd,
				Flags: []cli.Flag{
					&cli.BoolFlag{Name: "host", Usage: "out through the hosts' own routing, under the hosts' own addresses"},
					&cli.StringFlag{Name: "range", Usage: "with --host: `PREFIX` of addresses that nobody else uses, one for each tenant (default: " + intent.DefaultHostRange.String() + ")"},
					&cli.StringFlag{Name: "bridge", Usage: "out through `BRIDGE`, which exists on the hosts and leads to a segment outside"},
					&cli.StringFlag{Name: "subnet", Usage: "with --bridge: `PREFIX` of that segment"},
					&cli.StringFlag{Name: "gateway", Usage: "with --bridge: `ADDRESS` of the segment's router; the first of the subnet, unless given"},
					vlan(), pool(), mtu(), allow(), underlay(),
				},
				Description: `With --host, packets leave through the routing of the host where the port is, under the host's address (masquerade): it works on any host that has a route. ` + "`ovloom status`" + ` says what a host lacks for that, and ` + "`ovloom status --fix`" + ` sets it.

With --bridge, tenants have addresses of a real subnet: those of the pool, which nobody else may use. A host without the bridge has no way out by it. Frames on the bridge are untagged, or have the tag of --vlan: others are dropped.

Tenants reach no address of a host, no VTEP and no store, nor each other's addresses, and with --host not the network that the tunnels run in, but for what --allow names. VTEPs and the store are opened by naming the very address only, not by a prefix around it.

   ovloom external add internet --host
   ovloom external add lab --host --range 100.100.0.0/16 --allow 192.0.2.5
   ovloom external add lan --host --range 100.101.0.0/16 --underlay allow
   ovloom external add campus --bridge br-ex --subnet 203.0.113.0/24 --gateway 203.0.113.1 --pool 203.0.113.10-203.0.113.200
   ovloom external add lab7 --bridge br-ex --vlan 107 --subnet 198.51.100.0/24 --pool 198.51.100.10-198.51.100.99`},
			{Name: "set", Usage: "change an external", ArgsUsage: "EXTERNAL", Action: p.externalSet,
				Flags: []cli.Flag{allow(),
					&cli.StringSliceFlag{Name: "no-allow", Usage: "`PREFIX` that was allowed and no longer is"},
					vlan(), pool(), mtu(), underlay()},
				Description: `What is not given stays: --allow adds to what is allowed, --no-allow takes from it; --vlan, --pool, --mtu and --underlay replace. It returns when the change is stored; every host takes it in at once, or as soon as its ovloomd runs.

   ovloom external set internet --allow 192.0.2.0/28
   ovloom external set internet --no-allow 192.0.2.0/28
   ovloom external set internet --underlay deny
   ovloom external set campus --pool 203.0.113.10-203.0.113.250`},
			{Name: "list", Usage: "list the externals", Action: p.externalList,
				Description: "   ovloom external list\n   ovloom external list -o json"},
			{Name: "show", Usage: "show an external, and which of its addresses are used for what", ArgsUsage: "EXTERNAL ...", Action: p.externalShow,
				Description: "   ovloom external show campus"},
			{Name: "delete", Usage: "delete an external", ArgsUsage: "EXTERNAL ...", Flags: deleteFlags(), Action: p.externalDelete,
				Description: "An external that tenants use is deleted only with --cascade, which prints what goes first. It returns when that is stored.\n\n   ovloom external delete campus\n   ovloom external delete internet --cascade"},
		},
	}
}

// externalArgument returns a command's only argument, the name of an external.
func externalArgument(c *cli.Context) (string, error) {
	arg, err := argument(c)
	if err != nil {
		return "", err
	}
	return arg, intent.ValidateName("external", arg)
}

func (p *program) externalAdd(c *cli.Context) error {
	name, err := externalArgument(c)
	if err != nil {
		return err
	}
	spec, err := externalFlags(c, name)
	if err != nil {
		return err
	}
	ctx, cancel := p.call(c)
	defer cancel()
	w, err := p.client.AddExternal(ctx, spec)
	if err != nil {
		return err
	}
	return p.externalWritten(w, "added")
}

// externalFlags reads the flags of add.
func externalFlags(c *cli.Context, name string) (api.ExternalSpec, error) {
	spec := api.ExternalSpec{Name: name, Kind: intent.ExternalHost, MTU: c.Int("mtu")}
	subnet, other := "range", []string{"subnet", "gateway", "vlan", "pool", "mtu"}
	if c.IsSet("bridge") {
		spec.Kind, spec.Bridge = intent.ExternalBridge, c.String("bridge")
		subnet, other = "subnet", []string{"range"}
	}
	if c.Bool("host") == c.IsSet("bridge") {
		return spec, intent.Invalidf("external %s needs either --host or --bridge", name).
			WithHint("--host goes out through the hosts' own routing, --bridge br-ex through a bridge that leads outside")
	}
	if c.IsSet("bridge") {
		other = append(other, "underlay")
	}
	for _, flag := range other {
		if c.IsSet(flag) {
			return spec, intent.Invalidf("--%s is not for externals with --%s", flag, spec.Kind).WithHint("see `ovloom external add --help`")
		}
	}
	var err error
	if c.IsSet(subnet) {
		if spec.Subnet, err = intent.ParsePrefix(c.String(subnet)); err != nil {
			return spec, err
		}
	}
	if c.IsSet("gateway") {
		if spec.Gateway, err = intent.ParseAddr(c.String("gateway")); err != nil {
			return spec, err
		}
	}
	if spec.VLAN, err = vlanFlag(c); err != nil {
		return spec, err
	}
	if c.IsSet("pool") {
		if spec.Pool, err = intent.ParseAddrRange(c.String("pool")); err != nil {
			return spec, err
		}
	}
	if spec.Allow, err = allowed(c, "allow"); err != nil {
		return spec, err
	}
	if c.IsSet("underlay") {
		if spec.Underlay, err = intent.ParseUnderlayAccess(c.String("underlay")); err != nil {
			return spec, err
		}
	}
	return spec, intent.External{Name: name, Kind: spec.Kind, Subnet: spec.Subnet, Gateway: spec.Gateway, Bridge: spec.Bridge,
		VLAN: spec.VLAN, Pool: spec.Pool, MTU: spec.MTU, Allow: spec.Allow, Underlay: spec.Underlay}.WithDefaults().Validate()
}

// vlanFlag reads --vlan.
func vlanFlag(c *cli.Context) (uint16, error) {
	n := c.Int("vlan")
	if n < 0 || n > intent.VLANMax {
		return 0, intent.Invalidf("VLAN %d is out of range", n).WithHint("choose between 1 and %d; 0: untagged", intent.VLANMax)
	}
	return uint16(n), nil
}

// allowed reads a flag whose values are prefixes or addresses.
func allowed(c *cli.Context, flag string) ([]netip.Prefix, error) {
	var ps []netip.Prefix
	for _, s := range c.StringSlice(flag) {
		p, err := intent.ParseAllowed(s)
		if err != nil {
			return nil, err
		}
		ps = append(ps, p)
	}
	return ps, nil
}

func (p *program) externalSet(c *cli.Context) error {
	name, err := externalArgument(c)
	if err != nil {
		return err
	}
	var change api.ExternalChange
	if change.Allow, err = allowed(c, "allow"); err != nil {
		return err
	}
	if change.NoAllow, err = allowed(c, "no-allow"); err != nil {
		return err
	}
	if c.IsSet("pool") {
		pool, err := intent.ParseAddrRange(c.String("pool"))
		if err != nil {
			return err
		}
		change.Pool = &pool
	}
	if c.IsSet("mtu") {
		mtu := c.Int("mtu")
		if mtu < intent.MTUMin || mtu > intent.MTUMax {
			return intent.Invalidf("MTU %d is out of range", mtu).WithHint("choose between %d and %d bytes", intent.MTUMin, intent.MTUMax)
		}
		change.MTU = &mtu
	}
	if c.IsSet("underlay") {
		u, err := intent.ParseUnderlayAccess(c.String("underlay"))
		if err != nil {
			return err
		}
		change.Underlay = &u
	}
	if c.IsSet("vlan") {
		vlan, err := vlanFlag(c)
		if err != nil {
			return err
		}
		change.VLAN = &vlan
	}
	if change.IsZero() {
		return intent.Invalidf("nothing is given to change about external %s", name).WithHint("see `ovloom external set --help`")
	}
	for _, pre := range change.Allow {
		if slices.Contains(change.NoAllow, pre) {
			return intent.Invalidf("prefix %s is given both with --allow and with --no-allow", pre).WithHint("choose one")
		}
	}
	ctx, cancel := p.call(c)
	defer cancel()
	w, err := p.client.SetExternal(ctx, name, change)
	if err != nil {
		return err
	}
	return p.externalWritten(w, "changed")
}

// externalWritten prints an external that was stored. It is no tenant's, so there is
// no host of which it is known when it has taken it in.
func (p *program) externalWritten(w api.Written, done string) error {
	e := object[intent.External](w)
	return p.print(e, func(out io.Writer) {
		fmt.Fprintf(out, "external %s %s: %s, addresses %s", e.Name, done, leadsBy(*e), e.Addresses())
		if len(e.Allow) > 0 {
			fmt.Fprintf(out, ", allows %s", joined(e.Allow))
		}
		fmt.Fprintln(out)
	})
}

// leadsBy says how packets leave by an external.
func leadsBy(e intent.External) string {
	if e.Kind == intent.ExternalBridge {
		if e.VLAN != 0 {
			return fmt.Sprintf("through bridge %s, VLAN %d", e.Bridge, e.VLAN)
		}
		return "through bridge " + e.Bridge
	}
	return "through the host"
}

// underlayWords says what tenants may reach of the underlay.
var underlayWords = map[intent.UnderlayAccess]string{
	intent.UnderlayDeny:  "denied",
	intent.UnderlayAllow: "allowed, but for hosts and tunnels",
	"":                   "allowed, but for hosts and tunnels: nobody has chosen",
}

func joined[T fmt.Stringer](vs []T) string {
	var s []string
	for _, v := range vs {
		s = append(s, v.String())
	}
	return strings.Join(s, ", ")
}

func (p *program) externalList(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	ctx, cancel := p.call(c)
	defer cancel()
	es, err := p.client.Externals(ctx)
	if err != nil {
		return err
	}
	return p.print(es, func(out io.Writer) {
		var rows [][]string
		for _, e := range es {
			rows = append(rows, []string{e.Name, leadsBy(e), e.Subnet.String(), e.Gateway.String(), e.Addresses().String(), joined(e.Allow)})
		}
		table(out, []string{"EXTERNAL", "LEADS", "SUBNET", "GATEWAY", "ADDRESSES", "ALLOWS"}, rows)
	})
}

func (p *program) externalShow(c *cli.Context) error {
	name, err := externalArgument(c)
	if err != nil {
		return err
	}
	ctx, cancel := p.call(c)
	defer cancel()
	e, err := p.client.External(ctx, name)
	if err != nil {
		return err
	}
	return p.print(e, func(out io.Writer) {
		pairs := [][2]string{
			{"external", e.Name},
			{"id", strconv.FormatUint(uint64(e.ID), 10)},
			{"leads", leadsBy(e.External)},
			{"subnet", e.Subnet.String() + " with gateway " + e.Gateway.String()},
			{"addresses", fmt.Sprintf("%s: %d in use, %d free", e.Addresses(), len(e.Used), e.Free)},
		}
		if e.MTU != 0 {
			pairs = append(pairs, [2]string{"mtu", strconv.Itoa(e.MTU)})
		}
		if e.Kind == intent.ExternalHost {
			pairs = append(pairs, [2]string{"underlay", underlayWords[e.Underlay]})
		}
		facts(out, append(pairs, [2]string{"allows", joined(e.Allow)})...)
		section(out, "Addresses in use", []string{"ADDRESS", "USED BY"}, e.Used, func(u api.UsedAddress) []string {
			return []string{u.Address.String(), strings.Join(u.By, ", ")}
		})
	})
}

func (p *program) externalDelete(c *cli.Context) error {
	name, err := externalArgument(c)
	if err != nil {
		return err
	}
	return p.delete(c, "", func(m api.DeleteMode) (api.Written, error) {
		ctx, cancel := p.call(c)
		defer cancel()
		return p.client.DeleteExternal(ctx, name, m)
	})
}

// chooseExternal returns the external that --external names; if it does not and
// there is only one that will do, that one. kind is what will do; "": any.
func (p *program) chooseExternal(ctx context.Context, c *cli.Context, kind intent.ExternalKind) (string, error) {
	if c.IsSet("external") {
		return c.String("external"), intent.ValidateName("external", c.String("external"))
	}
	es, err := p.client.Externals(ctx)
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
