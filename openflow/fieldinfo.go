// What is known about each field: its name, width and text form.

package openflow

import "strconv"

// fieldFormat is how ovs-ofctl prints the value of a field.
type fieldFormat uint8

const (
	formatDecimal fieldFormat = iota
	formatHex
	formatIPv4
	formatIPv6
	formatMAC
	formatPort
	formatCTState
	formatTCPFlags
	formatTunFlags
	formatFrag
	formatPacketType
)

// fieldInfo describes a field (ovs-fields(7)).
type fieldInfo struct {
	name   string // as in set_field
	oxm    string // as in move
	bits   uint8
	format fieldFormat
}

var fieldInfos = withRegisters([fieldCount]fieldInfo{
	FieldInPort:        {"in_port_oxm", "OXM_OF_IN_PORT", 32, formatPort},
	FieldActsetOutput:  {"actset_output", "ONFOXM_ET_ACTSET_OUTPUT", 32, formatPort},
	FieldPacketType:    {"packet_type", "OXM_OF_PACKET_TYPE", 32, formatPacketType},
	FieldMetadata:      {"metadata", "OXM_OF_METADATA", 64, formatHex},
	FieldTunID:         {"tun_id", "NXM_NX_TUN_ID", 64, formatHex},
	FieldTunSrc:        {"tun_src", "NXM_NX_TUN_IPV4_SRC", 32, formatIPv4},
	FieldTunDst:        {"tun_dst", "NXM_NX_TUN_IPV4_DST", 32, formatIPv4},
	FieldTunIPv6Src:    {"tun_ipv6_src", "NXM_NX_TUN_IPV6_SRC", 128, formatIPv6},
	FieldTunIPv6Dst:    {"tun_ipv6_dst", "NXM_NX_TUN_IPV6_DST", 128, formatIPv6},
	FieldTunFlags:      {"tun_flags", "NXM_NX_TUN_FLAGS", 1, formatTunFlags},
	FieldTunGBPID:      {"tun_gbp_id", "NXM_NX_TUN_GBP_ID", 16, formatDecimal},
	FieldTunGBPFlags:   {"tun_gbp_flags", "NXM_NX_TUN_GBP_FLAGS", 8, formatHex},
	FieldPktMark:       {"pkt_mark", "NXM_NX_PKT_MARK", 32, formatHex},
	FieldConjID:        {"conj_id", "NXM_NX_CONJ_ID", 32, formatDecimal},
	FieldCTState:       {"ct_state", "NXM_NX_CT_STATE", 32, formatCTState},
	FieldCTZone:        {"ct_zone", "NXM_NX_CT_ZONE", 16, formatHex},
	FieldCTMark:        {"ct_mark", "NXM_NX_CT_MARK", 32, formatHex},
	FieldCTLabel:       {"ct_label", "NXM_NX_CT_LABEL", 128, formatHex},
	FieldCTNwProto:     {"ct_nw_proto", "NXM_NX_CT_NW_PROTO", 8, formatDecimal},
	FieldCTNwSrc:       {"ct_nw_src", "NXM_NX_CT_NW_SRC", 32, formatIPv4},
	FieldCTNwDst:       {"ct_nw_dst", "NXM_NX_CT_NW_DST", 32, formatIPv4},
	FieldCTIPv6Src:     {"ct_ipv6_src", "NXM_NX_CT_IPV6_SRC", 128, formatIPv6},
	FieldCTIPv6Dst:     {"ct_ipv6_dst", "NXM_NX_CT_IPV6_DST", 128, formatIPv6},
	FieldCTTpSrc:       {"ct_tp_src", "NXM_NX_CT_TP_SRC", 16, formatDecimal},
	FieldCTTpDst:       {"ct_tp_dst", "NXM_NX_CT_TP_DST", 16, formatDecimal},
	FieldEthSrc:        {"eth_src", "NXM_OF_ETH_SRC", 48, formatMAC},
	FieldEthDst:        {"eth_dst", "NXM_OF_ETH_DST", 48, formatMAC},
	FieldEthType:       {"eth_type", "NXM_OF_ETH_TYPE", 16, formatHex},
	FieldVLANTCI:       {"vlan_tci", "NXM_OF_VLAN_TCI", 16, formatHex},
	FieldVLANVID:       {"vlan_vid", "OXM_OF_VLAN_VID", 12, formatDecimal},
	FieldVLANPCP:       {"vlan_pcp", "OXM_OF_VLAN_PCP", 3, formatDecimal},
	FieldIPSrc:         {"ip_src", "NXM_OF_IP_SRC", 32, formatIPv4},
	FieldIPDst:         {"ip_dst", "NXM_OF_IP_DST", 32, formatIPv4},
	FieldIPv6Src:       {"ipv6_src", "NXM_NX_IPV6_SRC", 128, formatIPv6},
	FieldIPv6Dst:       {"ipv6_dst", "NXM_NX_IPV6_DST", 128, formatIPv6},
	FieldIPv6Label:     {"ipv6_label", "NXM_NX_IPV6_LABEL", 20, formatHex},
	FieldIPProto:       {"nw_proto", "NXM_OF_IP_PROTO", 8, formatDecimal},
	FieldIPDSCP:        {"ip_dscp", "OXM_OF_IP_DSCP", 6, formatDecimal},
	FieldIPECN:         {"nw_ecn", "NXM_NX_IP_ECN", 2, formatDecimal},
	FieldIPTTL:         {"nw_ttl", "NXM_NX_IP_TTL", 8, formatDecimal},
	FieldIPFrag:        {"ip_frag", "NXM_NX_IP_FRAG", 2, formatFrag},
	FieldTCPSrc:        {"tcp_src", "NXM_OF_TCP_SRC", 16, formatDecimal},
	FieldTCPDst:        {"tcp_dst", "NXM_OF_TCP_DST", 16, formatDecimal},
	FieldTCPFlags:      {"tcp_flags", "NXM_NX_TCP_FLAGS", 12, formatTCPFlags},
	FieldUDPSrc:        {"udp_src", "NXM_OF_UDP_SRC", 16, formatDecimal},
	FieldUDPDst:        {"udp_dst", "NXM_OF_UDP_DST", 16, formatDecimal},
	FieldSCTPSrc:       {"sctp_src", "OXM_OF_SCTP_SRC", 16, formatDecimal},
	FieldSCTPDst:       {"sctp_dst", "OXM_OF_SCTP_DST", 16, formatDecimal},
	FieldICMPType:      {"icmp_type", "NXM_OF_ICMP_TYPE", 8, formatDecimal},
	FieldICMPCode:      {"icmp_code", "NXM_OF_ICMP_CODE", 8, formatDecimal},
	FieldICMPv6Type:    {"icmpv6_type", "NXM_NX_ICMPV6_TYPE", 8, formatDecimal},
	FieldICMPv6Code:    {"icmpv6_code", "NXM_NX_ICMPV6_CODE", 8, formatDecimal},
	FieldARPOp:         {"arp_op", "NXM_OF_ARP_OP", 16, formatDecimal},
	FieldARPSPA:        {"arp_spa", "NXM_OF_ARP_SPA", 32, formatIPv4},
	FieldARPTPA:        {"arp_tpa", "NXM_OF_ARP_TPA", 32, formatIPv4},
	FieldARPSHA:        {"arp_sha", "NXM_NX_ARP_SHA", 48, formatMAC},
	FieldARPTHA:        {"arp_tha", "NXM_NX_ARP_THA", 48, formatMAC},
	FieldNDTarget:      {"nd_target", "NXM_NX_ND_TARGET", 128, formatIPv6},
	FieldNDSLL:         {"nd_sll", "NXM_NX_ND_SLL", 48, formatMAC},
	FieldNDTLL:         {"nd_tll", "NXM_NX_ND_TLL", 48, formatMAC},
	FieldNDReserved:    {"nd_reserved", "ERICOXM_OF_ICMPV6_ND_RESERVED", 32, formatDecimal},
	FieldNDOptionsType: {"nd_options_type", "ERICOXM_OF_ICMPV6_ND_OPTIONS_TYPE", 8, formatDecimal},
})

// fieldMasks holds all bits of each field.
var fieldMasks = func() (masks [fieldCount]Bits) {
	for f := range masks {
		masks[f] = lowBits(int(fieldInfos[f].bits))
	}
	masks[FieldVLANVID] = BitsOf(vlanPresent | 0xfff)
	return masks
}()

// withRegisters adds the registers, whose names are numbered.
func withRegisters(infos [fieldCount]fieldInfo) [fieldCount]fieldInfo {
	for n := range 16 {
		infos[FieldReg0+Field(n)] = fieldInfo{"reg" + strconv.Itoa(n), "NXM_NX_REG" + strconv.Itoa(n), 32, formatHex}
	}
	for n := range 8 {
		infos[FieldXReg0+Field(n)] = fieldInfo{"xreg" + strconv.Itoa(n), "OXM_OF_PKT_REG" + strconv.Itoa(n), 64, formatHex}
	}
	for n := range 4 {
		infos[FieldXXReg0+Field(n)] = fieldInfo{"xxreg" + strconv.Itoa(n), "NXM_NX_XXREG" + strconv.Itoa(n), 128, formatHex}
	}
	return infos
}

// info returns what is known about f; its zero value if f is no field.
func (f Field) info() *fieldInfo {
	if f >= fieldCount {
		f = FieldNone
	}
	return &fieldInfos[f]
}

// mask returns all bits of f.
func (f Field) mask() Bits {
	if f >= fieldCount {
		return Bits{}
	}
	return fieldMasks[f]
}

// Width returns the number of bits in f that move and similar actions can name; 0 for
// FieldNone.
func (f Field) Width() int { return int(f.info().bits) }

// Mask returns the mask of an exact match on f: all its bits, and for FieldVLANVID also
// the bit above them, which says that there is a tag.
func (f Field) Mask() Bits { return f.mask() }

// String returns the field's name in ovs-fields(7), as set_field takes it.
func (f Field) String() string {
	if name := f.info().name; name != "" {
		return name
	}
	return "field" + strconv.Itoa(int(f))
}

// Reg returns register n (0 to 15).
func Reg(n int) Field {
	if n < 0 || n > 15 {
		panic("openflow: register out of range")
	}
	return FieldReg0 + Field(n)
}
