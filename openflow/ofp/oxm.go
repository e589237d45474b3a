package ofp

import (
	"encoding/binary"
	"fmt"

	"github.com/ovloom/ovloom/openflow"
)

// This file reads and writes OXM entries: a class, a field, a value and perhaps a
// mask (OpenFlow 1.5, 7.2.3; Open vSwitch's fields: ovs-fields(7)).

// Classes of OXM entries.
const (
	classNXM0       = 0x0000 // NXM_OF_…
	classNXM1       = 0x0001 // NXM_NX_…
	classEricsson   = 0x1000 // ERICOXM_OF_…
	classOXM        = 0x8000 // OXM_OF_…
	classPacketRegs = 0x8001 // OXM_OF_PKT_REG…
)

// oxmField is a field's encoding. Every field has a header of four bytes, so that it
// fits into actions with room for no more.
type oxmField struct {
	class  uint16
	number uint8
	size   uint8 // of the value, in bytes
}

// oxmFields holds the name that encoders use: OpenFlow's own where it has one.
var oxmFields = func() [256]oxmField {
	fields := [256]oxmField{
		openflow.FieldInPort:        {classOXM, 0, 4},
		openflow.FieldActsetOutput:  {classOXM, 43, 4},
		openflow.FieldPacketType:    {classOXM, 44, 4},
		openflow.FieldMetadata:      {classOXM, 2, 8},
		openflow.FieldTunID:         {classOXM, 38, 8},
		openflow.FieldTunSrc:        {classNXM1, 31, 4},
		openflow.FieldTunDst:        {classNXM1, 32, 4},
		openflow.FieldTunIPv6Src:    {classNXM1, 109, 16},
		openflow.FieldTunIPv6Dst:    {classNXM1, 110, 16},
		openflow.FieldTunFlags:      {classNXM1, 104, 2},
		openflow.FieldTunGBPID:      {classNXM1, 38, 2},
		openflow.FieldTunGBPFlags:   {classNXM1, 39, 1},
		openflow.FieldPktMark:       {classNXM1, 33, 4},
		openflow.FieldConjID:        {classNXM1, 37, 4},
		openflow.FieldCTState:       {classNXM1, 105, 4},
		openflow.FieldCTZone:        {classNXM1, 106, 2},
		openflow.FieldCTMark:        {classNXM1, 107, 4},
		openflow.FieldCTLabel:       {classNXM1, 108, 16},
		openflow.FieldCTNwProto:     {classNXM1, 119, 1},
		openflow.FieldCTNwSrc:       {classNXM1, 120, 4},
		openflow.FieldCTNwDst:       {classNXM1, 121, 4},
		openflow.FieldCTIPv6Src:     {classNXM1, 122, 16},
		openflow.FieldCTIPv6Dst:     {classNXM1, 123, 16},
		openflow.FieldCTTpSrc:       {classNXM1, 124, 2},
		openflow.FieldCTTpDst:       {classNXM1, 125, 2},
		openflow.FieldEthSrc:        {classOXM, 4, 6},
		openflow.FieldEthDst:        {classOXM, 3, 6},
		openflow.FieldEthType:       {classOXM, 5, 2},
		openflow.FieldVLANTCI:       {classNXM0, 4, 2},
		openflow.FieldVLANVID:       {classOXM, 6, 2},
		openflow.FieldVLANPCP:       {classOXM, 7, 1},
		openflow.FieldIPSrc:         {classOXM, 11, 4},
		openflow.FieldIPDst:         {classOXM, 12, 4},
		openflow.FieldIPv6Src:       {classOXM, 26, 16},
		openflow.FieldIPv6Dst:       {classOXM, 27, 16},
		openflow.FieldIPv6Label:     {classOXM, 28, 4},
		openflow.FieldIPProto:       {classOXM, 10, 1},
		openflow.FieldIPDSCP:        {classOXM, 8, 1},
		openflow.FieldIPECN:         {classOXM, 9, 1},
		openflow.FieldIPTTL:         {classNXM1, 29, 1},
		openflow.FieldIPFrag:        {classNXM1, 26, 1},
		openflow.FieldTCPSrc:        {classOXM, 13, 2},
		openflow.FieldTCPDst:        {classOXM, 14, 2},
		openflow.FieldTCPFlags:      {classOXM, 42, 2},
		openflow.FieldUDPSrc:        {classOXM, 15, 2},
		openflow.FieldUDPDst:        {classOXM, 16, 2},
		openflow.FieldSCTPSrc:       {classOXM, 17, 2},
		openflow.FieldSCTPDst:       {classOXM, 18, 2},
		openflow.FieldICMPType:      {classOXM, 19, 1},
		openflow.FieldICMPCode:      {classOXM, 20, 1},
		openflow.FieldICMPv6Type:    {classOXM, 29, 1},
		openflow.FieldICMPv6Code:    {classOXM, 30, 1},
		openflow.FieldARPOp:         {classOXM, 21, 2},
		openflow.FieldARPSPA:        {classOXM, 22, 4},
		openflow.FieldARPTPA:        {classOXM, 23, 4},
		openflow.FieldARPSHA:        {classOXM, 24, 6},
		openflow.FieldARPTHA:        {classOXM, 25, 6},
		openflow.FieldNDTarget:      {classOXM, 31, 16},
		openflow.FieldNDSLL:         {classOXM, 32, 6},
		openflow.FieldNDTLL:         {classOXM, 33, 6},
		openflow.FieldNDReserved:    {classEricsson, 1, 4},
		openflow.FieldNDOptionsType: {classEricsson, 2, 1},
	}
	for n := range openflow.Field(16) {
		fields[openflow.FieldReg0+n] = oxmField{classNXM1, uint8(n), 4}
	}
	for n := range openflow.Field(8) {
		fields[openflow.FieldXReg0+n] = oxmField{classPacketRegs, uint8(n), 8}
	}
	for n := range openflow.Field(4) {
		fields[openflow.FieldXXReg0+n] = oxmField{classNXM1, 111 + uint8(n), 16}
	}
	return fields
}()

// nxmAliases are the older names of fields, which switches use in some actions.
var nxmAliases = map[openflow.Field]oxmField{
	openflow.FieldTunID:      {classNXM1, 16, 8},
	openflow.FieldEthSrc:     {classNXM0, 2, 6},
	openflow.FieldEthDst:     {classNXM0, 1, 6},
	openflow.FieldEthType:    {classNXM0, 3, 2},
	openflow.FieldIPSrc:      {classNXM0, 7, 4},
	openflow.FieldIPDst:      {classNXM0, 8, 4},
	openflow.FieldIPv6Src:    {classNXM1, 19, 16},
	openflow.FieldIPv6Dst:    {classNXM1, 20, 16},
	openflow.FieldIPv6Label:  {classNXM1, 27, 4},
	openflow.FieldIPProto:    {classNXM0, 6, 1},
	openflow.FieldIPECN:      {classNXM1, 28, 1},
	openflow.FieldTCPSrc:     {classNXM0, 9, 2},
	openflow.FieldTCPDst:     {classNXM0, 10, 2},
	openflow.FieldTCPFlags:   {classNXM1, 34, 2},
	openflow.FieldUDPSrc:     {classNXM0, 11, 2},
	openflow.FieldUDPDst:     {classNXM0, 12, 2},
	openflow.FieldICMPType:   {classNXM0, 13, 1},
	openflow.FieldICMPCode:   {classNXM0, 14, 1},
	openflow.FieldICMPv6Type: {classNXM1, 21, 1},
	openflow.FieldICMPv6Code: {classNXM1, 22, 1},
	openflow.FieldARPOp:      {classNXM0, 15, 2},
	openflow.FieldARPSPA:     {classNXM0, 16, 4},
	openflow.FieldARPTPA:     {classNXM0, 17, 4},
	openflow.FieldARPSHA:     {classNXM1, 17, 6},
	openflow.FieldARPTHA:     {classNXM1, 18, 6},
	openflow.FieldNDTarget:   {classNXM1, 23, 16},
	openflow.FieldNDSLL:      {classNXM1, 24, 6},
	openflow.FieldNDTLL:      {classNXM1, 25, 6},
}

// oxmNumbers finds a field by the index of its class and its number.
var oxmNumbers = func() (numbers [5][128]openflow.Field) {
	for f, o := range oxmFields {
		if o.size > 0 {
			numbers[classIndex(uint32(o.class))][o.number] = openflow.Field(f)
		}
	}
	for f, o := range nxmAliases {
		numbers[classIndex(uint32(o.class))][o.number] = f
	}
	return numbers
}()

// classIndex numbers the classes; -1 is another one.
func classIndex(class uint32) int {
	switch class {
	case classNXM0:
		return 0
	case classNXM1:
		return 1
	case classOXM:
		return 2
	case classPacketRegs:
		return 3
	case classEricsson:
		return 4
	}
	return -1
}

// key is the upper part of the field's header: class and number.
func (o oxmField) key() uint32 { return uint32(o.class)<<7 | uint32(o.number) }

// fieldOf returns the field that an OXM header of four bytes names; FieldNone if it is
// unknown or has another length.
func fieldOf(header uint32) openflow.Field {
	class := classIndex(header >> 16)
	if class < 0 {
		return openflow.FieldNone
	}
	f := oxmNumbers[class][header>>9&0x7f]
	size := uint32(oxmFields[f].size)
	if header&0x100 != 0 {
		size *= 2
	}
	if header&0xff != size {
		return openflow.FieldNone
	}
	return f
}

// appendHeader appends the header of an unmasked entry for f.
func appendHeader(b []byte, f openflow.Field) ([]byte, error) {
	o := oxmFields[f]
	if o.size == 0 {
		return b, fmt.Errorf("ofp: no field %s on the wire", f)
	}
	return binary.BigEndian.AppendUint32(b, o.key()<<9|uint32(o.size)), nil
}

// appendOXM appends an entry, without a mask if mask has all bits of f.
func appendOXM(b []byte, f openflow.Field, value, mask openflow.Bits) ([]byte, error) {
	o := oxmFields[f]
	if o.size == 0 {
		return b, fmt.Errorf("ofp: no field %s on the wire", f)
	}
	n := 16 - int(o.size)
	if mask == f.Mask() {
		b = binary.BigEndian.AppendUint32(b, o.key()<<9|uint32(o.size))
		return append(b, value[n:]...), nil
	}
	b = binary.BigEndian.AppendUint32(b, o.key()<<9|0x100|uint32(o.size)*2)
	b = append(b, value[n:]...)
	return append(b, mask[n:]...), nil
}

// oxm is one decoded entry.
type oxm struct {
	field       openflow.Field // FieldNone: unknown
	value, mask openflow.Bits  // mask has all bits of the field if the entry has none
	raw         []byte         // the whole entry, a part of the message
}

// nextOXM takes the entry that b begins with. An entry for an unknown field, or with
// a value that the field cannot hold, comes back with FieldNone.
func nextOXM(b []byte) (e oxm, rest []byte, err error) {
	if len(b) < 4 {
		return e, nil, fmt.Errorf("ofp: match field: %d bytes, want at least 4", len(b))
	}
	header := binary.BigEndian.Uint32(b)
	n := 4 + int(header&0xff)
	if n > len(b) {
		return e, nil, fmt.Errorf("ofp: match field %#x: says %d bytes, %d are there", header, n, len(b))
	}
	e.raw, rest = b[:n], b[n:]
	f := fieldOf(header)
	if f == openflow.FieldNone {
		return e, rest, nil
	}
	size := int(oxmFields[f].size)
	full := f.Mask()
	copy(e.value[16-size:], b[4:])
	e.mask = full
	if header&0x100 != 0 {
		e.mask = openflow.Bits{}
		copy(e.mask[16-size:], b[4+size:n])
		// Bits beyond the field's width: some switches set them.
		e.value = e.value.And(e.mask)
		e.mask = e.mask.And(full)
	}
	if e.value.And(full) != e.value {
		return oxm{raw: e.raw}, rest, nil
	}
	e.value = e.value.And(e.mask)
	e.field = f
	return e, rest, nil
}

// nxmInPort is the header of NXM_OF_IN_PORT, the only name by which an action can set
// the input port in Open vSwitch: OXM_OF_IN_PORT is for matches.
const nxmInPort = classNXM0<<16 | 0<<9 | 2

// Ports of 16 bits, as OpenFlow 1.0 has them: the reserved ones are the highest.
const (
	reserved16 = 0xff00
	reserved32 = 0xffffff00
)

func appendSetInPort(b []byte, a openflow.SetField) ([]byte, error) {
	p := a.Value.Uint64()
	if a.Mask != a.Field.Mask() || p >= reserved16 && p < reserved32 {
		return b, fmt.Errorf("ofp: set_field: %#x is no port that in_port can be set to", p)
	}
	b = binary.BigEndian.AppendUint32(b, nxmInPort)
	return binary.BigEndian.AppendUint16(b, uint16(p)), nil
}

func portFrom16(p uint16) uint32 {
	if p >= reserved16 {
		return reserved32 | uint32(p&0xff)
	}
	return uint32(p)
}
