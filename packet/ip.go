package packet

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/ovloom/ovloom/intent"
)

// IP is a router's view of an IP packet.
type IP struct {
	EthSrc, EthDst intent.MAC
	Src, Dst       netip.Addr
	Proto          uint8 // of the payload behind the header and, in IPv6, its extensions
	DontFragment   bool  // IPv4 only: the flag. Routers never fragment IPv6

	later   bool   // a fragment, and not the first one
	packet  []byte // from the IP header on, without Ethernet's padding
	payload []byte // of Proto; may be truncated
}

// errNotIP is returned for frames that hold no IP packet.
var errNotIP = errors.New("no IP packet")

// ParseIP reads an Ethernet frame that holds an IP packet. The frame may be truncated
// behind the headers; it is not copied.
func ParseIP(frame []byte) (IP, error) {
	if len(frame) < ethernetSize {
		return IP{}, errNotIP
	}
	p := IP{EthDst: intent.MAC(frame[:6]), EthSrc: intent.MAC(frame[6:12])}
	var err error
	switch b := frame[ethernetSize:]; be.Uint16(frame[12:]) {
	case typeIPv4:
		err = p.parse4(b)
	case typeIPv6:
		err = p.parse6(b)
	default:
		err = errNotIP
	}
	if err != nil {
		return IP{}, err
	}
	return p, nil
}

func (p *IP) parse4(b []byte) error {
	if len(b) < ipv4Size || b[0]>>4 != 4 {
		return errNotIP
	}
	header, total := int(b[0]&0xf)*4, int(be.Uint16(b[2:]))
	if header < ipv4Size || header > len(b) || total < header {
		return fmt.Errorf("IPv4 packet of %d bytes, of which %d are its header", total, header)
	}
	p.packet = b[:min(len(b), total)]
	p.payload = p.packet[header:]
	p.Src, _ = netip.AddrFromSlice(b[12:16])
	p.Dst, _ = netip.AddrFromSlice(b[16:20])
	p.Proto = b[9]
	flags := be.Uint16(b[6:])
	p.DontFragment, p.later = flags&0x4000 != 0, flags&0x1fff != 0
	return nil
}

func (p *IP) parse6(b []byte) error {
	if len(b) < ipv6Size || b[0]>>4 != 6 {
		return errNotIP
	}
	p.packet = b[:min(len(b), ipv6Size+int(be.Uint16(b[4:])))]
	p.Src, _ = netip.AddrFromSlice(b[8:24])
	p.Dst, _ = netip.AddrFromSlice(b[24:40])
	p.Proto, p.payload = b[6], p.packet[ipv6Size:]
	for {
		size := 0
		switch p.Proto {
		case 0, 43, 60, 135: // hop-by-hop options, routing, destination options, mobility
			if len(p.payload) >= 8 {
				size = 8 * (1 + int(p.payload[1]))
			}
		case 44: // fragment
			if len(p.payload) >= 8 {
				size = 8
				p.later = p.later || be.Uint16(p.payload[2:])&0xfff8 != 0
			}
		default:
			return nil
		}
		if size == 0 || size > len(p.payload) {
			return errors.New("IPv6 packet with an extension header that is cut off")
		}
		p.Proto, p.payload = p.payload[0], p.payload[size:]
		if p.later {
			return nil // a later fragment, without the payload's header
		}
	}
}

// Fragments fragments an IPv4 packet into frames whose packets have at most mtu bytes
// (RFC 791, 3.2), all of about the same size: some receivers take small fragments for
// an attack. It fails if the packet must not be fragmented, or is truncated.
func (p IP) Fragments(mtu int) ([][]byte, error) {
	switch {
	case !p.Src.Is4():
		return nil, errors.New("routers do not fragment IPv6")
	case p.DontFragment:
		return nil, errors.New("the packet must not be fragmented")
	case len(p.packet) < int(be.Uint16(p.packet[2:])):
		return nil, errors.New("the packet is cut off")
	}
	header := p.packet[:len(p.packet)-len(p.payload)]
	later := laterHeader(header)
	was := be.Uint16(header[6:])
	offset := int(was&0x1fff) * 8
	room := (mtu - len(header)) &^ 7
	if room < 8 {
		return nil, fmt.Errorf("an MTU of %d bytes has no room for the packet's header", mtu)
	}
	if len(p.payload) <= mtu-len(header) {
		room = len(p.payload)
	} else {
		pieces := (len(p.payload) + room - 1) / room
		room = ((len(p.payload)+pieces-1)/pieces + 7) &^ 7
	}
	var frames [][]byte
	for rest := p.payload; ; {
		if offset > 0x1fff*8 {
			return nil, errors.New("the packet ends beyond what IPv4 can express")
		}
		last := len(rest) <= room
		part := rest
		flags := was & 0x2000 // more fragments, if it is a fragment itself
		if !last {
			part, flags = rest[:room], 0x2000
		}
		frame := appendEthernet(make([]byte, 0, ethernetSize+len(header)+len(part)), p.EthDst, p.EthSrc, typeIPv4)
		frame = append(append(frame, header...), part...)
		ip := frame[ethernetSize:]
		be.PutUint16(ip[2:], uint16(len(ip)))
		be.PutUint16(ip[6:], flags|uint16(offset/8))
		be.PutUint16(ip[10:], 0)
		be.PutUint16(ip[10:], Checksum(0, ip[:len(header)]))
		frames = append(frames, frame)
		if last {
			return frames, nil
		}
		rest, offset, header = rest[room:], offset+room, later
	}
}

// Opener returns a frame that a connection tracker takes for the datagram whose first
// fragment is p, but complete and empty; nil unless p is UDP over IPv4, and no later
// fragment.
func (p IP) Opener() []byte {
	const header = 8 // UDP's
	if p.later || p.Proto != protoUDP || !p.Src.Is4() || len(p.payload) < header {
		return nil
	}
	frame := appendEthernet(make([]byte, 0, ethernetSize+ipv4Size+header), p.EthDst, p.EthSrc, typeIPv4)
	frame = appendIPv4(frame, p.Src, p.Dst, protoUDP, 0, 64, header)
	frame = append(frame, p.payload[:4]...) // both ports
	return append(frame, 0, header, 0, 0)   // its length; no checksum (RFC 768)
}

// laterHeader returns an IPv4 header with the options that every fragment must have,
// padded to whole words.
func laterHeader(header []byte) []byte {
	h := append([]byte(nil), header[:ipv4Size]...)
	for options := header[ipv4Size:]; len(options) > 0; {
		size := 1
		switch kind := options[0]; {
		case kind == 0: // end of options
			size = len(options)
		case kind == 1: // no operation
		case len(options) < 2 || int(options[1]) < 2 || int(options[1]) > len(options):
			size = len(options) // malformed: treated as the end
		default:
			size = int(options[1])
			if kind&0x80 != 0 { // to be copied into fragments
				h = append(h, options[:size]...)
			}
		}
		options = options[size:]
	}
	for len(h)%4 != 0 {
		h = append(h, 0)
	}
	h[0] = 0x40 | byte(len(h)/4)
	return h
}
