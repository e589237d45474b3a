package explain

import (
	"fmt"
	"strings"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/pipeline"
)

// portsShown bounds how many ports a verdict lists.
const portsShown = 8

// judge says what becomes of a packet whose hops are all there.
func judge(p *intent.TracePacket) {
	var delivered, answered, left, dropped, handed, silent []string
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
				if e.Reason == pipeline.ReasonNextHop.String() {
					continue // only until ovloomd has asked: it sends the packet on
				}
				dropped = append(dropped, describeDrop(h.Host, e))
			case intent.TraceHanded:
				handed = append(handed, fmt.Sprintf("ovloomd of %s: %s", h.Host, e.Words))
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
		parts = append(parts, dropped...)
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

func describeDrop(host string, e intent.TraceEnd) string {
	where := "dropped on " + host
	if e.Table != "" {
		where += " in table " + e.Table
	}
	if e.Reason != "" {
		return fmt.Sprintf("%s: %s, %s", where, e.Reason, e.Words)
	}
	return where + ": " + e.Words
}
