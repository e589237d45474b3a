package pipeline

import "net/netip"

// Prefixes lists, by table, the fields that the table matches by prefix, as Open
// vSwitch names them. Without this setting, one match on an address in the table makes
// every datapath flow exact on it (ovs-vswitchd.conf.db(5), Flow_Table: prefixes). A
// table can have three.
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
