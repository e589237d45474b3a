package ofp

import (
	"encoding/binary"
	"fmt"
)

// This file frames requests whose replies may come in several messages (OpenFlow
// 1.5, 7.3.5).

// MultipartType says what is asked for.
type MultipartType uint16

// Types of multipart requests.
const (
	MultipartFlowDesc      MultipartType = 1
	MultipartGroupDesc     MultipartType = 7
	MultipartMeterStats    MultipartType = 9
	MultipartMeterConfig   MultipartType = 10
	MultipartMeterFeatures MultipartType = 11
	MultipartPortDesc      MultipartType = 13
	MultipartFlowMonitor   MultipartType = 16
)

// multipartMore says that another part follows.
const multipartMore = 1

// AppendMultipartRequest appends a request with this body.
func AppendMultipartRequest(b []byte, xid uint32, t MultipartType, body []byte) ([]byte, error) {
	b, start := begin(b, TypeMultipartRequest, xid)
	b = binary.BigEndian.AppendUint16(b, uint16(t))
	b = append(b, 0, 0, 0, 0, 0, 0)
	return end(append(b, body...), start)
}

// DecodeMultipart reads the body of a multipart reply: one part, which is a part of
// body, and whether more parts follow with the same xid.
func DecodeMultipart(body []byte) (t MultipartType, part []byte, more bool, err error) {
	if len(body) < 8 {
		return 0, nil, false, fmt.Errorf("ofp: multipart reply: %d bytes, want at least 8", len(body))
	}
	more = binary.BigEndian.Uint16(body[2:])&multipartMore != 0
	return MultipartType(binary.BigEndian.Uint16(body)), body[8:], more, nil
}
