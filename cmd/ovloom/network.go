// ovloom network

package main

import (
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/intent"
)

func (p *program) networkCommand() *cli.Command {
	flags := []cli.Flag{
		&cli.StringSliceFlag{Name: "subnet", Usage: "`PREFIX` of IPv4 or IPv6 addresses for its ports, such as 10.0.0.0/24"},
		&cli.StringSliceFlag{Name: "gateway", Usage: "`ADDRESS` of the gateway of the subnet it lies in; the first of the subnet, unless given"},
	}
	rest := []cli.Flag{
		&cli.IntFlag{Name: "mtu", Usage: "largest IP packet of its ports, in `BYTES`; 0: what the underlay leaves"},
		&cli.StringFlag{Name: "unknown", Usage: "what happens to frames to a MAC that nobody knows: `POLICY` drop or flood"},
		&cli.Uint64Flag{Name: "storm-limit", Usage: fmt.Sprintf("each port may send `N` broadcasts and multicasts a second, if not given %d; 0: no limit", intent.StormDefault)},
		&cli.BoolFlag{Name: "learning", Usage: "MACs that the store does not know may live behind its ports; --learning=false ends that"},
		&cli.StringSliceFlag{Name: "ethertype", Usage: "Ethernet `TYPE` that is carried besides IPv4, IPv6 and ARP, such as 0x88b5; \"none\" ends that"},
		&cli.BoolFlag{Name: "vlan-transparent", Usage: "frames with VLAN tags are carried as they are; --vlan-transparent=false ends that"},
	}
	vni := &cli.Uint64Flag{Name: "vni", Usage: "VXLAN network identifier `N`, 1 to 16777215; chosen, unless given"}
	return &cli.Command{
		Name: "network", Usage: "networks: one L2 segment each, spread over the hosts",
		Description: `   ovloom network add acme/web --subnet 10.0.0.0/24
   ovloom network list acme`,
		Subcommands: []*cli.Command{
			{Name: "add", Usage: "add a network", ArgsUsage: "TENANT/NETWORK", Flags: append(append(flags[:2:2], vni), rest...), Action: p.networkAdd,
				Description: `   ovloom network add acme/web --subnet 10.0.0.0/24
   ovloom network add acme/db --subnet 10.1.0.0/24 --subnet fd00:1::/64 --gateway 10.1.0.254
   ovloom network add acme/lab --subnet 10.2.0.0/24 --vni 4097 --mtu 1400 --unknown flood --learning
   ovloom network add acme/trunk --vlan-transparent
   ovloom network add acme/pppoe --ethertype 0x8863 --ethertype 0x8864`},
			{Name: "set", Usage: "change a network", ArgsUsage: "TENANT/NETWORK", Flags: append(flags[:2:2], rest...), Action: p.networkSet,
				Description: `What is not given stays; --subnet replaces all subnets, --gateway alone only gateways; --ethertype replaces all
types that the network carries besides IPv4, IPv6 and ARP.

Frames with a VLAN tag are dropped unless the network is transparent to them: then they are carried as they are,
and of what is behind the tag nothing is checked but the sender's MAC.

   ovloom network set acme/web --mtu 1400
   ovloom network set acme/web --subnet 10.0.0.0/24 --subnet fd00::/64
   ovloom network set acme/web --storm-limit 5000
   ovloom network set acme/lab --ethertype 0x88b5
   ovloom network set acme/lab --ethertype none
   ovloom network set acme/trunk --vlan-transparent`},
			{Name: "list", Usage: "list the networks of all tenants or of one", ArgsUsage: "[TENANT]", Action: p.networkList,
				Description: "   ovloom network list\n   ovloom network list acme"},
			{Name: "show", Usage: "show a network", ArgsUsage: "TENANT/NETWORK ...", Action: p.networkShow,
				Description: "   ovloom network show acme/web"},
			{Name: "delete", Usage: "delete a network", ArgsUsage: "TENANT/NETWORK ...", Flags: deleteFlags(), Action: p.networkDelete,
				Description: "A network that has ports, or next hops of routes, is deleted only with --cascade, which prints what goes first.\n\n   ovloom network delete acme/web\n   ovloom network delete acme/web --cascade"},
		},
	}
}

// networkArgument returns a command's only argument, the name of a network.
func networkArgument(c *cli.Context) (intent.NetworkRef, error) {
	arg, err := argument(c)
	if err != nil {
		return intent.NetworkRef{}, err
	}
	return intent.ParseNetworkRef(arg)
}

// subnets reads --subnet and --gateway.
func subnets(c *cli.Context) ([]intent.Subnet, error) {
	var subs []intent.Subnet
	for _, s := range c.StringSlice("subnet") {
		p, err := intent.ParsePrefix(s)
		if err != nil {
			return nil, err
		}
		subs = append(subs, intent.Subnet{Prefix: p})
	}
	return subs, gateways(c, subs)
}

// gateways gives each of subs the --gateway that lies in it.
func gateways(c *cli.Context, subs []intent.Subnet) error {
	given := map[netip.Prefix]bool{}
	for _, s := range c.StringSlice("gateway") {
		a, err := intent.ParseAddr(s)
		if err != nil {
			return err
		}
		in := -1
		for i := range subs {
			if subs[i].Prefix.Contains(a) {
				in = i
				break
			}
		}
		switch {
		case in < 0:
			return intent.Invalidf("gateway %s is in no subnet of the network", a).WithHint("give the subnet it lies in with --subnet")
		case given[subs[in].Prefix]:
			return intent.Invalidf("gateway %s is the second of subnet %s", a, subs[in].Prefix).WithHint("a subnet has one gateway")
		}
		given[subs[in].Prefix] = true
		subs[in].Gateway = a
	}
	return nil
}

// stormLimit reads --storm-limit: the limit as a network has it.
func stormLimit(c *cli.Context) (uint32, error) {
	n := c.Uint64("storm-limit")
	switch {
	case !c.IsSet("storm-limit"):
		return 0, nil // the default
	case n == 0:
		return intent.StormUnlimited, nil
	case n >= intent.StormUnlimited:
		return 0, intent.Invalidf("storm limit %d is out of range", n).WithHint("choose between 1 and %d; 0: no limit", uint32(intent.StormUnlimited-1))
	}
	return uint32(n), nil
}

// stormText says how many broadcasts a port of the network may send.
func stormText(storm uint32) string {
	limit, limited := intent.Network{StormLimit: storm}.Storm()
	if !limited {
		return "not limited"
	}
	return fmt.Sprintf("at most %d a second from each port", limit)
}

func (p *program) networkAdd(c *cli.Context) error {
	ref, err := networkArgument(c)
	if err != nil {
		return err
	}
	subs, err := subnets(c)
	if err != nil {
		return err
	}
	vni := c.Uint64("vni")
	if c.IsSet("vni") && (vni == 0 || vni > intent.VNIMax) {
		return intent.Invalidf("VNI %d is out of range", vni).WithHint("choose between 1 and %d, or leave --vni out to have one chosen", intent.VNIMax)
	}
	types, err := etherTypes(c)
	if err != nil {
		return err
	}
	storm, err := stormLimit(c)
	if err != nil {
		return err
	}
	spec := api.NetworkSpec{StormLimit: storm, EtherTypes: types, VLANTransparent: c.Bool("vlan-transparent"), Name: ref.Network, Subnets: subs, VNI: uint32(vni), MTU: c.Int("mtu"),
		Unknown: intent.Unknown(c.String("unknown")), Learning: c.Bool("learning")}
	n := intent.Network{Tenant: ref.Tenant, Name: ref.Network, VNI: spec.VNI, Subnets: subs, MTU: spec.MTU, Unknown: spec.Unknown, EtherTypes: types}
	if err := n.Validate(); err != nil {
		return err
	}
	ctx, cancel := p.call(c)
	defer cancel()
	w, err := p.client.AddNetwork(ctx, ref.Tenant, spec)
	if err != nil {
		return err
	}
	return p.networkWritten(c, w, "added")
}

func (p *program) networkSet(c *cli.Context) error {
	ref, err := networkArgument(c)
	if err != nil {
		return err
	}
	ctx, cancel := p.call(c)
	defer cancel()
	var change api.NetworkChange
	switch {
	case c.IsSet("subnet"):
		subs, err := subnets(c)
		if err != nil {
			return err
		}
		change.Subnets = &subs
	case c.IsSet("gateway"):
		n, err := p.client.Network(ctx, ref)
		if err != nil {
			return err
		}
		if err := gateways(c, n.Subnets); err != nil {
			return err
		}
		change.Subnets = &n.Subnets
	}
	if c.IsSet("mtu") {
		mtu := c.Int("mtu")
		change.MTU = &mtu
	}
	if c.IsSet("unknown") {
		unknown := intent.Unknown(c.String("unknown"))
		change.Unknown = &unknown
	}
	if c.IsSet("learning") {
		learning := c.Bool("learning")
		change.Learning = &learning
	}
	if c.IsSet("ethertype") {
		types, err := etherTypes(c)
		if err != nil {
			return err
		}
		change.EtherTypes = &types
	}
	if c.IsSet("vlan-transparent") {
		transparent := c.Bool("vlan-transparent")
		change.VLANTransparent = &transparent
	}
	if c.IsSet("storm-limit") {
		storm, err := stormLimit(c)
		if err != nil {
			return err
		}
		change.StormLimit = &storm
	}
	if change == (api.NetworkChange{}) {
		return intent.Invalidf("nothing is given to change about network %s", ref).WithHint("see `ovloom network set --help`")
	}
	if err := validateChange(ref, change); err != nil {
		return err
	}
	w, err := p.client.SetNetwork(ctx, ref, change)
	if err != nil {
		return err
	}
	return p.networkWritten(c, w, "changed")
}

// etherTypes reads --ethertype.
func etherTypes(c *cli.Context) ([]intent.EtherType, error) {
	given := c.StringSlice("ethertype")
	if len(given) == 1 && given[0] == "none" {
		return []intent.EtherType{}, nil
	}
	var types []intent.EtherType
	for _, s := range given {
		t, err := intent.ParseEtherType(s)
		if err != nil {
			return nil, err
		}
		types = append(types, t)
	}
	return types, nil
}

// validateChange refuses what would be wrong about any network.
func validateChange(ref intent.NetworkRef, change api.NetworkChange) error {
	n := intent.Network{Tenant: ref.Tenant, Name: ref.Network}
	if change.Subnets != nil {
		n.Subnets = *change.Subnets
	}
	if change.MTU != nil {
		n.MTU = *change.MTU
	}
	if change.Unknown != nil {
		n.Unknown = *change.Unknown
	}
	if change.EtherTypes != nil {
		n.EtherTypes = *change.EtherTypes
	}
	return n.Validate()
}

// networkWritten waits for a network that was stored and prints it.
func (p *program) networkWritten(c *cli.Context, w api.Written, done string) error {
	n := object[intent.Network](w)
	late := p.applied(c, n.Tenant, w.Revision)
	result := struct {
		*intent.Network
		LeftToDo []string `json:"left_to_do,omitempty"`
	}{n, w.LeftToDo}
	if err := p.print(result, func(out io.Writer) {
		fmt.Fprintf(out, "network %s %s: VNI %d", n.Ref(), done, n.VNI)
		for _, s := range n.Subnets {
			fmt.Fprintf(out, ", %s with gateway %s", s.Prefix, s.Gateway)
		}
		fmt.Fprintln(out)
		printLeftToDo(out, w.LeftToDo)
	}); err != nil {
		return err
	}
	return late
}

func (p *program) networkList(c *cli.Context) error {
	tenant, err := optionalTenant(c)
	if err != nil {
		return err
	}
	ctx, cancel := p.call(c)
	defer cancel()
	ns, err := p.client.Networks(ctx, tenant)
	if err != nil {
		return err
	}
	return p.print(ns, func(out io.Writer) {
		var rows [][]string
		for _, n := range ns {
			rows = append(rows, []string{n.Ref().String(), strconv.FormatUint(uint64(n.VNI), 10), prefixes(n), mtu(n), string(n.Unknown), yesNo(n.Learning)})
		}
		table(out, []string{"NETWORK", "VNI", "SUBNETS", "MTU", "UNKNOWN", "LEARNING"}, rows)
	})
}

func optionalTenant(c *cli.Context) (string, error) {
	switch c.NArg() {
	case 0:
		return "", nil
	case 1:
		return intent.ParseTenant(c.Args().First())
	}
	return "", argumentCount(c, "at most one tenant")
}

func prefixes(n intent.Network) string {
	var s []string
	for _, sub := range n.Subnets {
		s = append(s, sub.Prefix.String())
	}
	return strings.Join(s, ", ")
}

func mtu(n intent.Network) string {
	if n.MTU == 0 {
		return "auto"
	}
	return strconv.Itoa(n.MTU)
}

// etherTypeNames lists what a network carries.
func etherTypeNames(n intent.Network) string {
	s := "IPv4, IPv6, ARP"
	for _, e := range n.EtherTypes {
		s += ", " + e.String()
	}
	return s
}

func tags(n intent.Network) string {
	if n.VLANTransparent {
		return "carried"
	}
	return "dropped"
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func (p *program) networkShow(c *cli.Context) error {
	ref, err := networkArgument(c)
	if err != nil {
		return err
	}
	ctx, cancel := p.call(c)
	defer cancel()
	n, err := p.client.Network(ctx, ref)
	if err != nil {
		return err
	}
	return p.print(n, func(out io.Writer) {
		pairs := [][2]string{
			{"network", n.Ref().String()},
			{"id", strconv.FormatUint(uint64(n.ID), 10)},
			{"vni", strconv.FormatUint(uint64(n.VNI), 10)},
		}
		for _, s := range n.Subnets {
			pairs = append(pairs, [2]string{"subnet", s.Prefix.String() + " with gateway " + s.Gateway.String()})
		}
		facts(out, append(pairs,
			[2]string{"mtu", mtu(n.Network)},
			[2]string{"unknown", string(n.Unknown)},
			[2]string{"learning", yesNo(n.Learning)},
			[2]string{"broadcasts", stormText(n.StormLimit)},
			[2]string{"ethertypes", etherTypeNames(n.Network)},
			[2]string{"vlan tags", tags(n.Network)},
			[2]string{"ports", strconv.Itoa(n.Ports)},
			[2]string{"hosts", strings.Join(n.Hosts, ", ")},
			[2]string{"routes", joined(n.Routes)})...)
	})
}

func (p *program) networkDelete(c *cli.Context) error {
	ref, err := networkArgument(c)
	if err != nil {
		return err
	}
	return p.delete(c, ref.Tenant, func(m api.DeleteMode) (api.Written, error) {
		ctx, cancel := p.call(c)
		defer cancel()
		return p.client.DeleteNetwork(ctx, ref, m)
	})
}
