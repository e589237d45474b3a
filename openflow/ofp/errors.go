package ofp

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// This file puts the switch's errors into words (OpenFlow 1.5, 7.5.4, and Open
// vSwitch's own errors).

// NiciraID is the experimenter id of Open vSwitch's extensions.
const NiciraID = 0x00002320

// errorTypeExperimenter is the type of errors that OpenFlow does not define.
const errorTypeExperimenter = 0xffff

// Error is an error message of the switch. The message's xid is the xid of the request
// that caused it.
type Error struct {
	Type, Code   uint16
	Experimenter uint32 // if Type is 0xffff; NiciraID: Code is one of Open vSwitch's own
	Data         []byte // the beginning of the refused message; Open vSwitch sends all of it
}

// Error returns the error in words, with its name in the OpenFlow specification.
func (e *Error) Error() string {
	if e.Type == errorTypeExperimenter {
		if e.Experimenter == NiciraID {
			if w, ok := niciraErrors[e.Code]; ok {
				return w.text + " (" + w.name + ")"
			}
		}
		return fmt.Sprintf("error %d of experimenter %#x", e.Code, e.Experimenter)
	}
	if int(e.Type) >= len(errorTypes) {
		return fmt.Sprintf("error of type %d, code %d", e.Type, e.Code)
	}
	t := errorTypes[e.Type]
	if int(e.Code) >= len(t.codes) || t.codes[e.Code].name == "" {
		return fmt.Sprintf("%s: error of type %d, code %d", t.text, e.Type, e.Code)
	}
	w := t.codes[e.Code]
	text := t.text + ": " + w.text + " (" + t.prefix + "_" + w.name + ")"
	if e.Type == 0 && len(e.Data) > 0 { // a failed hello explains itself
		text += ": " + strings.ToValidUTF8(strings.TrimRight(string(e.Data), "\x00"), "?")
	}
	return text
}

// DecodeError reads the body of an error message. The result does not refer to
// body.
func DecodeError(body []byte) (*Error, error) {
	if len(body) < 4 {
		return nil, fmt.Errorf("ofp: error message: %d bytes, want at least 4", len(body))
	}
	e := &Error{Type: binary.BigEndian.Uint16(body), Code: binary.BigEndian.Uint16(body[2:])}
	body = body[4:]
	if e.Type == errorTypeExperimenter {
		if len(body) < 4 {
			return nil, fmt.Errorf("ofp: error message of an experimenter: %d bytes, want at least 8", len(body)+4)
		}
		e.Experimenter = binary.BigEndian.Uint32(body)
		body = body[4:]
	}
	e.Data = append(e.Data, body...)
	return e, nil
}

// IsUnknownRequest reports whether the switch does not know the kind of request, as an
// old one may not.
func (e *Error) IsUnknownRequest() bool {
	return e.Type == 1 && (e.Code >= 1 && e.Code <= 4)
}

// errorWord is one code: its name without the prefix, and what it means.
type errorWord struct{ name, text string }

// errorType is one type of errors, its codes by number.
type errorType struct {
	text, prefix string
	codes        []errorWord
}

var notPermitted = errorWord{"EPERM", "not permitted"}

// errorTypes lists the types of OpenFlow 1.5 by number.
var errorTypes = [...]errorType{
	0: {"hello failed", "OFPHFC", []errorWord{
		{"INCOMPATIBLE", "no version in common"}, notPermitted,
	}},
	1: {"bad request", "OFPBRC", []errorWord{
		{"BAD_VERSION", "version not supported"}, {"BAD_TYPE", "message type not supported"},
		{"BAD_STAT", "multipart type not supported"}, {"BAD_VENDOR", "experimenter not supported"},
		{"BAD_SUBTYPE", "experimenter message not supported"}, notPermitted,
		{"BAD_LEN", "wrong length"}, {"BUFFER_EMPTY", "buffer already used"},
		{"BUFFER_UNKNOWN", "no such buffer"}, {"BAD_TABLE_ID", "no such table"},
		{"IS_SECONDARY", "denied to a controller in the secondary role"}, {"BAD_PORT", "invalid or missing port"},
		{"BAD_PACKET", "invalid packet"}, {"MULTIPART_BUFFER_OVERFLOW", "multipart request too large"},
		{"MULTIPART_REQUEST_TIMEOUT", "multipart request took too long"},
		{"MULTIPART_REPLY_TIMEOUT", "multipart reply took too long"},
		{"MULTIPART_BAD_SCHED", "scheduling tolerance not updated"},
		{"PIPELINE_FIELDS_ONLY", "only pipeline fields may be matched"}, {"UNKNOWN", "unspecified"},
	}},
	2: {"bad action", "OFPBAC", []errorWord{
		{"BAD_TYPE", "action not supported"}, {"BAD_LEN", "wrong length"},
		{"BAD_EXPERIMENTER", "experimenter not supported"}, {"BAD_EXP_TYPE", "experimenter action not supported"},
		{"BAD_OUT_PORT", "invalid output port"}, {"BAD_ARGUMENT", "bad argument"}, notPermitted,
		{"TOO_MANY", "too many actions"}, {"BAD_QUEUE", "invalid queue"}, {"BAD_OUT_GROUP", "no such group"},
		{"MATCH_INCONSISTENT", "the match lacks what the action needs"}, {"UNSUPPORTED_ORDER", "order not supported"},
		{"BAD_TAG", "unsupported tag or encapsulation"}, {"BAD_SET_TYPE", "field unknown or not supported"},
		{"BAD_SET_LEN", "past the end of the field, or of no length"},
		{"BAD_SET_ARGUMENT", "value not supported, or field read-only"},
		{"BAD_SET_MASK", "field must not be masked"}, {"BAD_METER", "invalid meter"},
	}},
	3: {"bad instruction", "OFPBIC", []errorWord{
		{"UNKNOWN_INST", "unknown"}, {"UNSUP_INST", "not supported"}, {"BAD_TABLE_ID", "invalid table"},
		{"UNSUP_METADATA", "metadata value not supported"}, {"UNSUP_METADATA_MASK", "metadata mask not supported"},
		{"BAD_EXPERIMENTER", "experimenter not supported"}, {"BAD_EXP_TYPE", "experimenter instruction not supported"},
		{"BAD_LEN", "wrong length"}, notPermitted, {"DUP_INST", "given twice"},
	}},
	4: {"bad match", "OFPBMC", []errorWord{
		{"BAD_TYPE", "type not supported"}, {"BAD_LEN", "wrong length"}, {"BAD_TAG", "unsupported tag or encapsulation"},
		{"BAD_DL_ADDR_MASK", "Ethernet mask not supported"}, {"BAD_NW_ADDR_MASK", "network mask not supported"},
		{"BAD_WILDCARDS", "wildcard not supported"}, {"BAD_FIELD", "field not supported"},
		{"BAD_VALUE", "value not supported"}, {"BAD_MASK", "mask not supported"},
		{"BAD_PREREQ", "a field that this one needs is not matched"}, {"DUP_FIELD", "field given twice"}, notPermitted,
	}},
	5: {"flow-mod failed", "OFPFMFC", []errorWord{
		{"UNKNOWN", "unspecified"}, {"TABLE_FULL", "table full"}, {"BAD_TABLE_ID", "no such table"},
		{"OVERLAP", "overlaps another flow"}, notPermitted, {"BAD_TIMEOUT", "timeout not supported"},
		{"BAD_COMMAND", "unknown command"}, {"BAD_FLAGS", "unknown flags"}, {"CANT_SYNC", "table synchronisation failed"},
		{"BAD_PRIORITY", "priority not supported"}, {"IS_SYNC", "flow is synchronised and read-only"},
	}},
	6: {"group-mod failed", "OFPGMFC", []errorWord{
		{"GROUP_EXISTS", "the group exists"}, {"INVALID_GROUP", "invalid group"},
		{"WEIGHT_UNSUPPORTED", "unequal weights not supported"}, {"OUT_OF_GROUPS", "group table full"},
		{"OUT_OF_BUCKETS", "too many buckets"}, {"CHAINING_UNSUPPORTED", "groups to groups not supported"},
		{"WATCH_UNSUPPORTED", "cannot watch that port or group"}, {"LOOP", "would make a loop"},
		{"UNKNOWN_GROUP", "no such group"}, {"CHAINED_GROUP", "another group forwards to it"},
		{"BAD_TYPE", "unknown group type"}, {"BAD_COMMAND", "unknown command"}, {"BAD_BUCKET", "error in a bucket"},
		{"BAD_WATCH", "error in watched port or group"}, notPermitted,
		{"UNKNOWN_BUCKET", "no such bucket"}, {"BUCKET_EXISTS", "the bucket exists"},
	}},
	7: {"port-mod failed", "OFPPMFC", []errorWord{
		{"BAD_PORT", "no such port"}, {"BAD_HW_ADDR", "hardware address is another's"}, {"BAD_CONFIG", "invalid configuration"},
		{"BAD_ADVERTISE", "invalid features to advertise"}, notPermitted,
	}},
	8: {"table-mod failed", "OFPTMFC", []errorWord{
		{"BAD_TABLE", "no such table"}, {"BAD_CONFIG", "invalid configuration"}, notPermitted,
	}},
	9: {"queue operation failed", "OFPQOFC", []errorWord{
		{"BAD_PORT", "no such port"}, {"BAD_QUEUE", "no such queue"}, notPermitted,
	}},
	10: {"set-config failed", "OFPSCFC", []errorWord{
		{"BAD_FLAGS", "invalid flags"}, {"BAD_LEN", "invalid miss_send_len"}, notPermitted,
	}},
	11: {"role request failed", "OFPRRFC", []errorWord{
		{"STALE", "old generation id"}, {"UNSUP", "role change not supported"}, {"BAD_ROLE", "invalid role"},
		{"ID_UNSUP", "id cannot be changed"}, {"ID_IN_USE", "id in use"},
	}},
	12: {"meter-mod failed", "OFPMMFC", []errorWord{
		{"UNKNOWN", "unspecified"}, {"METER_EXISTS", "the meter exists"}, {"INVALID_METER", "invalid meter"},
		{"UNKNOWN_METER", "no such meter"}, {"BAD_COMMAND", "unknown command"}, {"BAD_FLAGS", "flags not supported"},
		{"BAD_RATE", "rate not supported"}, {"BAD_BURST", "burst not supported"}, {"BAD_BAND", "band not supported"},
		{"BAD_BAND_VALUE", "band value not supported"}, {"OUT_OF_METERS", "too many meters"},
		{"OUT_OF_BANDS", "too many bands"},
	}},
	13: {"table features failed", "OFPTFFC", []errorWord{
		{"BAD_TABLE", "no such table"}, {"BAD_METADATA", "invalid metadata mask"}, {}, {}, {}, notPermitted,
		{"BAD_CAPA", "invalid capabilities"}, {"BAD_MAX_ENT", "invalid size"}, {"BAD_FEATURES", "invalid features"},
		{"BAD_COMMAND", "invalid command"}, {"TOO_MANY", "too many tables"},
	}},
	14: {"bad property", "OFPBPC", []errorWord{
		{"BAD_TYPE", "unknown type"}, {"BAD_LEN", "wrong length"}, {"BAD_VALUE", "value not supported"},
		{"TOO_MANY", "too many"}, {"DUP_TYPE", "given twice"}, {"BAD_EXPERIMENTER", "experimenter not supported"},
		{"BAD_EXP_TYPE", "experimenter property not supported"}, {"BAD_EXP_VALUE", "experimenter value not supported"},
		notPermitted,
	}},
	15: {"set-async failed", "OFPACFC", []errorWord{
		{"INVALID", "invalid mask"}, {"UNSUPPORTED", "not supported"}, notPermitted,
	}},
	16: {"flow monitor failed", "OFPMOFC", []errorWord{
		{"UNKNOWN", "unspecified"}, {"MONITOR_EXISTS", "the monitor exists"}, {"INVALID_MONITOR", "invalid monitor"},
		{"UNKNOWN_MONITOR", "no such monitor"}, {"BAD_COMMAND", "unknown command"}, {"BAD_FLAGS", "flags not supported"},
		{"BAD_TABLE_ID", "no such table"}, {"BAD_OUT", "invalid port or group"},
	}},
	17: {"bundle failed", "OFPBFC", []errorWord{
		{"UNKNOWN", "unspecified"}, notPermitted, {"BAD_ID", "no such bundle, or its id is in use"},
		{"BUNDLE_EXIST", "the bundle exists"}, {"BUNDLE_CLOSED", "the bundle is closed"},
		{"OUT_OF_BUNDLES", "too many bundles"}, {"BAD_TYPE", "unknown bundle message"}, {"BAD_FLAGS", "flags differ or are unknown"},
		{"MSG_BAD_LEN", "wrong length of a message in it"}, {"MSG_BAD_XID", "xid of a message in it differs"},
		{"MSG_UNSUP", "this message cannot be in a bundle"}, {"MSG_CONFLICT", "these messages cannot be in one bundle"},
		{"MSG_TOO_MANY", "too many messages"}, {"MSG_FAILED", "a message in it failed"}, {"TIMEOUT", "took too long"},
		{"BUNDLE_IN_PROGRESS", "another bundle is in progress"}, {"SCHED_NOT_SUPPORTED", "scheduling not supported"},
		{"SCHED_FUTURE", "scheduled too late"}, {"SCHED_PAST", "scheduled too early"},
	}},
}

// niciraErrors are the errors that Open vSwitch adds.
var niciraErrors = map[uint16]errorWord{
	2:  {"NXBRC_NXM_INVALID", "bad match: malformed"},
	3:  {"NXBRC_NXM_BAD_TYPE", "bad match: field unknown or of the wrong length"},
	4:  {"NXBRC_MUST_BE_ZERO", "bad request: a field that must be zero is not"},
	5:  {"NXBRC_BAD_REASON", "bad request: invalid reason"},
	10: {"NXBRC_UNENCODABLE_ERROR", "an error that OpenFlow 1.5 has no number for"},
	11: {"NXBAC_MUST_BE_ZERO", "bad action: a field that must be zero is not"},
	12: {"NXFMFC_HARDWARE", "flow-mod failed: hardware error"},
	13: {"NXFMFC_BAD_TABLE_ID", "flow-mod failed: no such table"},
	15: {"NXBAC_BAD_CONJUNCTION", "bad action: conjunction must stand alone and be clause k of n, 2 <= n <= 64"},
	22: {"OFPBFC_BAD_VERSION", "bundle failed: a message in it is of another OpenFlow version"},
	34: {"NXR_NOT_SUPPORTED", "resume: the datapath cannot"},
	35: {"NXR_STALE", "resume: the switch no longer holds this packet"},
	36: {"NXST_NOT_CONFIGURED", "protocol not configured"},
	37: {"NXFMFC_INVALID_TLV_FIELD", "flow-mod failed: tunnel option not mapped"},
	39: {"NXBAC_BAD_HEADER_TYPE", "bad action: packet type of encap or decap not supported"},
	40: {"NXBAC_UNKNOWN_ED_PROP", "bad action: unknown property of encap or decap"},
	41: {"NXBAC_BAD_ED_PROP", "bad action: error in a property of encap or decap"},
	42: {"NXBAC_CT_DATAPATH_SUPPORT", "bad action: the datapath cannot track connections this way"},
	43: {"NXBMC_CT_DATAPATH_SUPPORT", "bad match: the datapath cannot track connections this way"},
}
