package ofp

import (
	"encoding/binary"
	"fmt"
)

// This file negotiates the version and keeps the connection alive (OpenFlow 1.5,
// 6.3.1 and 7.5).

// helloVersionBitmap is the type of the only element of a hello.
const helloVersionBitmap = 1

// AppendHello appends a hello that offers OpenFlow 1.5 and nothing else.
func AppendHello(b []byte, xid uint32) []byte {
	b, start := begin(b, TypeHello, xid)
	b = append(b, 0, helloVersionBitmap, 0, 8)
	b = binary.BigEndian.AppendUint32(b, 1<<Version)
	binary.BigEndian.PutUint16(b[start+2:], uint16(len(b)-start))
	return b
}

// Offers reports whether a hello with header h and this body offers OpenFlow 1.5. A
// hello without a bitmap of versions offers its header's version and all before it.
// Elements of other types are skipped.
func Offers(h Header, body []byte) (bool, error) {
	for len(body) > 0 {
		if len(body) < 4 {
			return false, fmt.Errorf("ofp: hello: element of %d bytes, want at least 4", len(body))
		}
		t, n := binary.BigEndian.Uint16(body), int(binary.BigEndian.Uint16(body[2:]))
		if n < 4 || n > len(body) {
			return false, fmt.Errorf("ofp: hello: element says %d bytes, %d are there", n, len(body))
		}
		if t == helloVersionBitmap {
			return n >= 8 && body[7]&(1<<Version) != 0, nil
		}
		body = body[min((n+7)&^7, len(body)):]
	}
	return h.Version >= Version, nil
}

// AppendEchoRequest appends an echo request without data.
func AppendEchoRequest(b []byte, xid uint32) []byte { return empty(b, TypeEchoRequest, xid) }

// AppendEchoReply appends the reply to an echo request, whose data it returns.
func AppendEchoReply(b []byte, xid uint32, data []byte) ([]byte, error) {
	b, start := begin(b, TypeEchoReply, xid)
	return end(append(b, data...), start)
}
