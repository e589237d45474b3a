package ofp

import (
	"encoding/binary"
	"fmt"

	"github.com/ovloom/ovloom/openflow"
)

// This file holds bundles: messages that the switch applies together (OpenFlow
// 1.5, 7.3.9).

// BundleControl is a step in the life of a bundle.
type BundleControl uint16

// Steps of a bundle; each request is answered by the reply after it, or by an error.
const (
	BundleOpen BundleControl = iota
	BundleOpened
	BundleClose
	BundleClosed
	BundleCommit
	BundleCommitted
	BundleDiscard
	BundleDiscarded
)

// bundleFlags: all messages take effect at once, in their order. They must be the same
// in every message of a bundle.
const bundleFlags = 3

// bundleHeaderLen is the length of a bundle-add-message before the message in it.
const bundleHeaderLen = HeaderLen + 8

// AppendBundleControl appends a step of the bundle id.
func AppendBundleControl(b []byte, xid, id uint32, step BundleControl) []byte {
	b, start := begin(b, TypeBundleControl, xid)
	b = binary.BigEndian.AppendUint32(b, id)
	b = binary.BigEndian.AppendUint16(b, uint16(step))
	return mustEnd(binary.BigEndian.AppendUint16(b, bundleFlags), start)
}

// DecodeBundleControl reads the body of a bundle-control message.
func DecodeBundleControl(body []byte) (id uint32, step BundleControl, err error) {
	if len(body) < 8 {
		return 0, 0, fmt.Errorf("ofp: bundle-control: %d bytes, want 8", len(body))
	}
	return binary.BigEndian.Uint32(body), BundleControl(binary.BigEndian.Uint16(body[4:])), nil
}

// AppendBundleAdd appends a message that adds m to the bundle id. The error says that m
// cannot be encoded or is too long; b is then returned as it was.
func AppendBundleAdd(b []byte, xid, id uint32, m openflow.Mod) ([]byte, error) {
	b, start := begin(b, TypeBundleAdd, xid)
	b = binary.BigEndian.AppendUint32(b, id)
	b = append(b, 0, 0, 0, bundleFlags)
	out, err := AppendMod(b, xid, m) // the inner xid must equal the outer one
	if err != nil {
		return b[:start], err
	}
	return end(out, start)
}

// DecodeBundleAdd reads the body of a bundle-add-message: the message in it, which is
// a part of body.
func DecodeBundleAdd(body []byte) (id uint32, message []byte, err error) {
	const n = bundleHeaderLen - HeaderLen
	if len(body) < n+HeaderLen {
		return 0, nil, fmt.Errorf("ofp: bundle-add-message: %d bytes, want at least %d", len(body), n+HeaderLen)
	}
	h, err := DecodeHeader(body[n:])
	if err != nil {
		return 0, nil, err
	}
	if int(h.Length) > len(body)-n {
		return 0, nil, fmt.Errorf("ofp: bundle-add-message: message says %d bytes, %d are there", h.Length, len(body)-n)
	}
	return binary.BigEndian.Uint32(body), body[n : n+int(h.Length)], nil
}
