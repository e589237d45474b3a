// ovloom network

package main

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/intent"
)

// The flags of a network, for add and for set.
var (
	networkSubnets = []field[intent.Network]{
		stringsFlag("subnet", "`PREFIX` of IPv4 or IPv6 addresses for its ports, such as 10.0.0.0/24",
			func(n *intent.Network) *[]intent.Subnet { return &n.Subnets }, parseSubnet),
		{name: "gateway", read: readGateways, flag: func() cli.Flag {
			return &cli.StringSliceFlag{Name: "gateway", Usage: "`ADDRESS` of the gateway of the subnet it lies in; the first of the subnet, unless given"}
		}},
	}
	networkRest = []field[intent.Network]{
		intFlag("mtu", "largest IP packet of its ports, in `BYTES`; 0: what the underlay leaves", func(n *intent.Network) *int { return &n.MTU }, anyInt),
		stringFlag("unknown", "what happens to frames to unknown MACs: `POLICY` drop or flood", func(n *intent.Network) *intent.Unknown { return &n.Unknown }, as).
			completed(oneOf(string(intent.UnknownDrop), string(intent.UnknownFlood))),
		uintFlag("storm-limit", fmt.Sprintf("each port may send `N` broadcasts and multicasts a second, if not given %d; 0: no limit", intent.StormDefault),
			func(n *intent.Network) *uint32 { return &n.StormLimit }, stormLimit),
		boolFlag("learning", "MACs that the store does not know may live behind its ports; --learning=false ends that", func(n *intent.Network) *bool { return &n.Learning }),
		bound("ethertype", func() cli.Flag {
			return &cli.StringSliceFlag{Name: "ethertype", Usage: "Ethernet `TYPE` that is carried besides IPv4, IPv6 and ARP, such as 0x88b5; \"none\" ends that"}
		}, func(n *intent.Network) *[]intent.EtherType { return &n.EtherTypes }, etherTypes),
		boolFlag("vlan-transparent", "frames with VLAN tags are carried as they are; --vlan-transparent=false ends that", func(n *intent.Network) *bool { return &n.VLANTransparent }),
	}
	networkVNI = uintFlag("vni", "VXLAN network identifier `N`, 1 to 16777215; chosen, unless given", func(n *intent.Network) *uint32 { return &n.VNI }, vni)
)

var networks = noun[intent.Network, intent.Network, api.Network]{
	class:    intent.ClassNetwork,
	usage:    "networks: one L2 segment each, spread over the hosts",
	examples: []string{"ovloom network add acme/web --subnet 10.0.0.0/24", "ovloom network list acme"},
	name:     []argument{path(intent.ClassTenant, intent.ClassNetwork)},
	parse: func(args []string) (intent.Network, error) {
		r, err := intent.ParseNetworkRef(args[0])
		return intent.Network{Tenant: r.Tenant, Name: r.Network}, err
	},
	add: &verb[intent.Network]{
		usage: "add a network",
		examples: []string{
			"ovloom network add acme/web --subnet 10.0.0.0/24",
			"ovloom network add acme/db --subnet 10.1.0.0/24 --subnet fd00:1::/64 --gateway 10.1.0.254",
			"ovloom network add acme/lab --subnet 10.2.0.0/24 --vni 4097 --mtu 1400 --unknown flood --learning",
			"ovloom network add acme/trunk --vlan-transparent",
			"ovloom network add acme/pppoe --ethertype 0x8863 --ethertype 0x8864",
		},
		flags: append(append(networkSubnets[:2:2], networkVNI), networkRest...),
		check: validNetwork, says: networkText,
	},
	set: &verb[intent.Network]{
		usage: "change a network",
		about: `What is not given stays; --subnet replaces all subnets, --gateway alone only gateways; --ethertype replaces all
types that the network carries besides IPv4, IPv6 and ARP.

Frames with a VLAN tag are dropped unless the network is transparent to them: then they are carried as they are,
and of what is behind the tag nothing is checked but the sender's MAC.`,
		examples: []string{
			"ovloom network set acme/web --mtu 1400",
			"ovloom network set acme/web --subnet 10.0.0.0/24 --subnet fd00::/64",
			"ovloom network set acme/web --storm-limit 5000",
			"ovloom network set acme/lab --ethertype 0x88b5",
			"ovloom network set acme/lab --ethertype none",
			"ovloom network set acme/trunk --vlan-transparent",
		},
		flags: append(networkSubnets[:2:2], networkRest...),
		check: validNetwork, says: networkText,
	},
	list: &listing[intent.Network]{
		usage:    "list the networks of all tenants or of one",
		examples: []string{"ovloom network list", "ovloom network list acme"},
		within:   []intent.Class{intent.ClassTenant},
		columns: []column[intent.Network]{
			{"NETWORK", func(n intent.Network) string { return n.Ref().String() }},
			{"VNI", func(n intent.Network) string { return decimal(n.VNI) }},
			{"SUBNETS", prefixes},
			{"MTU", mtu},
			{"UNKNOWN", func(n intent.Network) string { return string(n.Unknown) }},
			{"LEARNING", func(n intent.Network) string { return yesNo(n.Learning) }},
		},
	},
	show: &showing[intent.Network, api.Network]{
		verb:  verb[intent.Network]{usage: "show a network", several: true, examples: []string{"ovloom network show acme/web"}},
		facts: networkFacts,
	},
	delete: &verb[intent.Network]{
		usage: "delete a network", several: true,
		about:    "A network that has ports, or next hops of routes, is deleted only with --cascade, which prints what goes first.",
		examples: []string{"ovloom network delete acme/web", "ovloom network delete acme/web --cascade"},
	},
}

func parseSubnet(s string) (intent.Subnet, error) {
	p, err := intent.ParsePrefix(s)
	return intent.Subnet{Prefix: p}, err
}

// readGateways assigns each --gateway to the subnet that contains it: one of --subnet, or
// else one of the network's.
func readGateways(in *input[intent.Network]) error {
	if !in.line.IsSet("subnet") && in.exists {
		n, err := api.Get[api.Network](in.ctx, in.client, in.object.Ref())
		if err != nil {
			return err
		}
		in.object.Subnets = n.Subnets
	}
	subs := in.object.Subnets
	given := map[netip.Prefix]bool{}
	for _, s := range in.line.StringSlice("gateway") {
		a, err := intent.ParseAddr(s)
		if err != nil {
			return err
		}
		at := -1
		for i := range subs {
			if subs[i].Prefix.Contains(a) {
				at = i
				break
			}
		}
		switch {
		case at < 0:
			return intent.Invalidf("gateway %s is in no subnet of the network", a).WithHint("give the subnet it lies in with --subnet")
		case given[subs[at].Prefix]:
			return intent.Invalidf("gateway %s is the second of subnet %s", a, subs[at].Prefix).WithHint("a subnet has one gateway")
		}
		given[subs[at].Prefix] = true
		subs[at].Gateway = a
	}
	in.changes(&in.object.Subnets)
	return nil
}

// stormLimit converts --storm-limit to the limit of a network.
func stormLimit(n uint64) (uint32, error) {
	switch {
	case n == 0:
		return intent.StormUnlimited, nil
	case n >= intent.StormUnlimited:
		return 0, intent.Invalidf("storm limit %d is out of range", n).WithHint("choose between 1 and %d; 0: no limit", uint32(intent.StormUnlimited-1))
	}
	return uint32(n), nil
}

// vni checks --vni.
func vni(n uint64) (uint32, error) {
	if n == 0 || n > intent.VNIMax {
		return 0, intent.Invalidf("VNI %d is out of range", n).WithHint("choose between 1 and %d, or leave --vni out to have one chosen", intent.VNIMax)
	}
	return uint32(n), nil
}

// etherTypes parses --ethertype.
func etherTypes(c *cli.Context) ([]intent.EtherType, error) {
	given := c.StringSlice("ethertype")
	if len(given) == 1 && given[0] == "none" {
		return []intent.EtherType{}, nil
	}
	return each(given, intent.ParseEtherType)
}

// validNetwork refuses a network that is invalid by itself.
func validNetwork(in *input[intent.Network]) error { return in.object.Validate() }

// networkText describes a network that was added or changed.
func networkText(n intent.Network) string {
	s := "VNI " + decimal(n.VNI)
	for _, sub := range n.Subnets {
		s += ", " + subnetText(sub)
	}
	return s
}

func subnetText(s intent.Subnet) string {
	return s.Prefix.String() + " with gateway " + s.Gateway.String()
}

func networkFacts(n api.Network) []fact {
	fs := []fact{{"network", n.Ref().String()}, {"id", decimal(n.ID)}, {"vni", decimal(n.VNI)}}
	for _, s := range n.Subnets {
		fs = append(fs, fact{"subnet", subnetText(s)})
	}
	return append(fs,
		fact{"mtu", mtu(n.Network)},
		fact{"unknown", string(n.Unknown)},
		fact{"learning", yesNo(n.Learning)},
		fact{"broadcasts", stormText(n.StormLimit)},
		fact{"ethertypes", etherTypeNames(n.Network)},
		fact{"vlan tags", tags(n.Network)},
		fact{"ports", strconv.Itoa(n.Ports)},
		fact{"hosts", strings.Join(n.Hosts, ", ")},
		fact{"routes", joined(n.Routes)})
}

// stormText says how many broadcasts a port of the network may send.
func stormText(storm uint32) string {
	limit, limited := intent.Network{StormLimit: storm}.Storm()
	if !limited {
		return "not limited"
	}
	return fmt.Sprintf("at most %d a second from each port", limit)
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

// etherTypeNames lists the EtherTypes that a network carries.
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
