package pipeline

import "net/netip"

// Prefixes lists, by table, the fields of which it matches prefixes, as Open vSwitch
// names them. The switch must know, or a datapath flow has all bits of an address as
// soon as some flow of the table matches any (ovs-vswitchd.conf.db(5), Flow_Table:
// prefixes). It takes three for each table.
func Prefixes() map[int][]string {
	return map[int][]string{
		idRoute:     {"ip_dst", "ip_src", "ipv6_dst"},
		idNeighbour: {"ip_dst", "ipv6_dst"},
	}
}

func comparePrefixes(a, b netip.Prefix) int {
	if c := a.Addr().Compare(b.Addr()); c != 0 {
		return c
	}
	return a.Bits() - b.Bits()
}
