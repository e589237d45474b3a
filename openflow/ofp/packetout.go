package ofp

import (
	"encoding/binary"
	"fmt"

	"github.com/ovloom/ovloom/openflow"
)

// This file sends packets into the pipeline (OpenFlow 1.5, 7.3.6).

// noBuffer says that the packet is in the message.
const noBuffer = 0xffffffff

// AppendPacketOut appends a packet-out. There is no reply. The error says that p
// cannot be encoded or is too long; b is then returned as it was.
func AppendPacketOut(b []byte, xid uint32, p openflow.PacketOut) ([]byte, error) {
	port := p.InPort
	if port == 0 {
		port = openflow.PortController
	}
	for _, t := range p.Metadata.Terms {
		if t.Field == openflow.FieldInPort {
			return b, fmt.Errorf("ofp: packet-out: in_port belongs in InPort, not in Metadata")
		}
	}
	m := p.Metadata
	m.Terms = append([]openflow.Term{openflow.InPort(port)}, m.Terms...) // in_port is the first of all fields

	b, start := begin(b, TypePacketOut, xid)
	b = binary.BigEndian.AppendUint32(b, noBuffer)
	lengthAt := len(b)
	b = append(b, 0, 0, 0, 0)
	b, err := AppendMatch(b, &m)
	if err != nil {
		return b[:start], fmt.Errorf("packet-out: %w", err)
	}
	actionsAt := len(b)
	b, err = AppendActions(b, p.Actions)
	if err != nil {
		return b[:start], fmt.Errorf("packet-out: %w", err)
	}
	if len(b)-actionsAt > MaxLen {
		return b[:start], fmt.Errorf("ofp: packet-out: %d bytes of actions", len(b)-actionsAt)
	}
	binary.BigEndian.PutUint16(b[lengthAt:], uint16(len(b)-actionsAt))
	return end(append(b, p.Packet...), start)
}
