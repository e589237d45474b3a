package explain

import (
	"fmt"
	"strings"

	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/pipeline"
)

// portsShown bounds how many ports or hosts a verdict lists.
const portsShown = 8

// judge decides what becomes of a packet from its hops.
func judge(p *intent.TracePacket) {
	var delivered, answered, left, handed, told, silent []string
	var dropped drops
	for _, h := range p.Hops {
		if h.Error != "" {
			silent = append(silent, fmt.Sprintf("what %s does is not known: %s", h.Host, h.Error))
		}
		for _, e := range h.Ends {
			switch e.Kind {
			case intent.TraceDelivered:
				delivered = append(delivered, e.Port+" on "+h.Host)
			case intent.TraceAnswered:
				if e.Answer == "" {
					answered = append(answered, fmt.Sprintf("answered by the switch of %s", h.Host))
				} else {
					answered = append(answered, fmt.Sprintf("answered by the switch of %s with %s", h.Host, e.Answer))
				}
			case intent.TraceLeft:
				left = append(left, fmt.Sprintf("leaves on %s: %s", h.Host, e.Words))
			case intent.TraceDropped:
				if sentOn(e) {
					continue
				}
				dropped.add(h.Host, e)
			case intent.TraceHanded:
				handed = append(handed, fmt.Sprintf("ovloomd of %s: %s", h.Host, e.Words))
				told = append(told, fmt.Sprintf("ovloomd of %s tells the sender", h.Host))
			case intent.TraceUnknown:
				silent = append(silent, fmt.Sprintf("%s on %s", e.Words, h.Host))
			}
		}
	}
	var parts []string
	switch {
	case len(delivered) == 1:
		parts = append(parts, "delivered to "+delivered[0])
	case len(delivered) > portsShown:
		parts = append(parts, fmt.Sprintf("delivered to %d ports: %s and more", len(delivered), strings.Join(delivered[:portsShown], ", ")))
	case len(delivered) > 1:
		parts = append(parts, fmt.Sprintf("delivered to %d ports: %s", len(delivered), strings.Join(delivered, ", ")))
	}
	parts = append(append(parts, answered...), left...)
	switch {
	case len(delivered) > 0:
		p.Verdict = intent.TraceDelivered
	case len(left) > 0:
		p.Verdict = intent.TraceLeft
	case len(answered) > 0:
		p.Verdict = intent.TraceAnswered
	case len(silent) > 0:
		p.Verdict = intent.TraceUnknown
	case len(dropped) > 0:
		p.Verdict = intent.TraceDropped
		parts = append(parts, dropped.strings()...)
		handed = told // dropped packets are handed to ovloomd for that alone
	default:
		p.Verdict = intent.TraceUnknown
	}
	if len(delivered) == 0 {
		parts = append(parts, handed...)
	}
	if len(silent) > 0 {
		parts = append(parts, silent...)
	}
	p.Summary = strings.Join(parts, "; ")
}

// sentOn reports whether ovloomd sends on a packet that the switch drops: ovloomd resolves
// the next hop first, or fragments a packet that is too large, unless the sender forbids
// fragmentation. IPv6 has no such fragments.
// such fragments.
func sentOn(e intent.TraceEnd) bool {
	switch e.Reason {
	case pipeline.ReasonNextHop.String():
		return true
	case pipeline.ReasonOversize.String():
		return parseFields(e.Packet).number(of.FieldEthType) == 0x0800
	}
	return false
}

// drops collects where a packet is dropped; hosts that drop it for the same reason are
// reported together.
type drops []struct {
	hosts []string
	end   intent.TraceEnd
}

func (d *drops) add(host string, e intent.TraceEnd) {
	for i := range *d {
		known := &(*d)[i]
		if known.end.Table == e.Table && known.end.Reason == e.Reason && known.end.Words == e.Words {
			known.hosts = append(known.hosts, host)
			return
		}
	}
	*d = append(*d, struct {
		hosts []string
		end   intent.TraceEnd
	}{[]string{host}, e})
}

func (d drops) strings() []string {
	var all []string
	for _, x := range d {
		where := "dropped on " + strings.Join(x.hosts, ", ")
		if len(x.hosts) > portsShown {
			where = fmt.Sprintf("dropped on %s and %d more", strings.Join(x.hosts[:portsShown], ", "), len(x.hosts)-portsShown)
		}
		if x.end.Table != "" {
			where += " in table " + x.end.Table
		}
		if x.end.Reason != "" {
			where += ": " + x.end.Reason + ", " + x.end.Words
		} else {
			where += ": " + x.end.Words
		}
		all = append(all, where)
	}
	return all
}
