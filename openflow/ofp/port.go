package ofp

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/ovloom/ovloom/openflow"
)

// This file reads ports and their changes (OpenFlow 1.5, 7.2.1 and 7.4.3).

// portLen is the length of a port before its properties.
const portLen = 40

// Bits of a port's configuration.
const (
	portDown       = 1 << 0
	portNoReceive  = 1 << 2
	portNoForward  = 1 << 5
	portNoPacketIn = 1 << 6
)

// AppendPortMod appends a message that sets a port's configuration to p's. The switch
// refuses it if no port has p's number and MAC.
func AppendPortMod(b []byte, xid uint32, p openflow.Port) []byte {
	b, start := begin(b, TypePortMod, xid)
	b = binary.BigEndian.AppendUint32(b, uint32(p.No))
	b = append(b, 0, 0, 0, 0)
	b = append(b, p.MAC[:]...)
	b = append(b, 0, 0)
	var config uint32
	for _, bit := range [...]struct {
		on   bool
		mask uint32
	}{{p.Down, portDown}, {p.NoReceive, portNoReceive}, {p.NoForward, portNoForward}, {p.NoPacketIn, portNoPacketIn}} {
		if bit.on {
			config |= bit.mask
		}
	}
	b = binary.BigEndian.AppendUint32(b, config)
	b = binary.BigEndian.AppendUint32(b, portDown|portNoReceive|portNoForward|portNoPacketIn)
	return mustEnd(b, start)
}

// AppendPortRequest appends the body of a multipart request of type
// MultipartPortDesc for every port.
func AppendPortRequest(b []byte) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(openflow.PortAny)), 0, 0, 0, 0)
}

// DecodePorts reads one part of the reply to a request of type MultipartPortDesc.
func DecodePorts(part []byte) (ports []openflow.Port, err error) {
	for len(part) > 0 {
		var p openflow.Port
		if p, part, err = decodePort(part); err != nil {
			return nil, err
		}
		ports = append(ports, p)
	}
	return ports, nil
}

// DecodePortStatus reads the body of a port-status message.
func DecodePortStatus(body []byte) (openflow.PortChange, error) {
	if len(body) < 8 {
		return openflow.PortChange{}, fmt.Errorf("ofp: port-status: %d bytes, want at least %d", len(body), 8+portLen)
	}
	p, _, err := decodePort(body[8:])
	if err != nil {
		return openflow.PortChange{}, err
	}
	return openflow.PortChange{Event: openflow.PortEvent(body[0]), Port: p}, nil
}

// decodePort takes the port at the start of b. Its properties, all about Ethernet
// speeds, are skipped.
func decodePort(b []byte) (p openflow.Port, rest []byte, err error) {
	if len(b) < portLen {
		return p, nil, fmt.Errorf("ofp: port: %d bytes, want at least %d", len(b), portLen)
	}
	n := int(binary.BigEndian.Uint16(b[4:]))
	if n < portLen || n > len(b) {
		return p, nil, fmt.Errorf("ofp: port: says %d bytes, %d are there", n, len(b))
	}
	name, _, _ := bytes.Cut(b[16:32], []byte{0})
	p = openflow.Port{
		No:       openflow.PortNo(binary.BigEndian.Uint32(b)),
		Name:     string(name),
		MAC:      [6]byte(b[8:14]),
		LinkDown: b[39]&1 != 0,
		PortConfig: openflow.PortConfig{
			Down:       b[35]&portDown != 0,
			NoReceive:  b[35]&portNoReceive != 0,
			NoForward:  b[35]&portNoForward != 0,
			NoPacketIn: b[35]&portNoPacketIn != 0,
		},
	}
	return p, b[n:], nil
}
