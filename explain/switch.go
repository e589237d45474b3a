package explain

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/pipeline"
	"github.com/ovloom/ovloom/unixctl"
)

// rawMax bounds how much of Open vSwitch's own output a hop keeps, in bytes: it passes
// through the store.
const rawMax = 256 << 10

// resumptionsMax bounds how often a trace is resumed.
const resumptionsMax = 8

// Request asks a host what its switch would do with a packet that comes in by one of Port,
// Tunnel and External.
type Request struct {
	Port     *intent.PortRef `json:"port,omitempty"`     // sent by a port
	Tunnel   *Tunnel         `json:"tunnel,omitempty"`   // through the tunnel
	External string          `json:"external,omitempty"` // from outside, by the uplink of an external

	// Packet holds the headers in ofproto/trace's syntax.
	Packet string `json:"packet"`
	Size   int    `json:"size,omitempty"` // bytes of IP packet; 0: it fits everywhere
}

// Tunnel describes a packet's arrival through the tunnel.
type Tunnel struct {
	Src     netip.Addr `json:"src"` // the sender's VTEP
	VNI     uint32     `json:"vni"`
	SrcHost string     `json:"host"` // for people
}

// Attached is what is behind an OpenFlow port of the switch.
type Attached struct {
	Port string // acme/web/c1

	// Uplinks, which several externals may share.
	Uplink string // in words, such as "bridge br-ex"
	Bridge string // where it leads; "": to the host's own routing
}

// Switch is the local switch. Make one for each request: what it knows may change.
type Switch struct {
	Host   string
	VTEP   netip.Addr
	Bridge string    // the integration bridge
	Tunnel of.PortNo // the tunnel port
	Ports  map[of.PortNo]Attached
	// Externals are by their numbers in packets.
	Externals map[uint32]intent.External

	// Call calls ovs-vswitchd; *unixctl.Client implements it.
	Call func(ctx context.Context, method string, params ...string) (string, error)
	// Object names the object behind a flow's cookie: "port acme/web/c1"; "" if unknown.
	Object func(pipeline.Cookie) string
	// Room reports whether a MAC address is among those that flows of a cookie have
	// learned, or there is room for one more of at most limit.
	Room func(cookie uint64, limit uint32, mac intent.MAC) bool
	// Note says what a flow is for; "" if unknown.
	Note func(of.Flow) string
	// Forward returns where the host's packet filter sends a packet from a NAT address to
	// a port of the host's own addresses, and the source address that it substitutes;
	// false if it does not. nil: no port is forwarded.
	Forward func(p intent.Protocol, from netip.Addr, to netip.AddrPort) (target netip.AddrPort, source netip.Addr, ok bool)
}

// Trace returns what the switch would do with a packet. The error is of kind Unavailable
// if the switch does not answer.
func (s *Switch) Trace(ctx context.Context, r Request) (intent.TraceHop, error) {
	match, err := of.ParseMatch(r.Packet)
	if err != nil {
		return intent.TraceHop{}, intent.Invalidf("packet %q is not understood: %w", r.Packet, err)
	}
	hop := intent.TraceHop{Host: s.Host, Packet: exact(match), Steps: []intent.TraceStep{}, Ends: []intent.TraceEnd{}}
	var in string
	if in, hop.Via, err = s.entry(r); err != nil {
		return hop, err
	}
	w := walk{sw: s, size: r.Size}
	text, err := s.call(ctx, in+","+hop.Packet)
	if err == nil && hashed(text) {
		// Open vSwitch stops a trace where the datapath would compute a hash to choose one
		// of several next hops. Give it a hash, and so one of them.
		text, err = s.call(ctx, in+",dp_hash=1,"+hop.Packet)
	}
	if err != nil {
		return hop, err
	}
	if hop.Raw, err = s.readAll(ctx, &w, text); err != nil {
		return hop, err
	}
	if at, again := w.turnedRound(); again != "" {
		if text, err = s.call(ctx, fmt.Sprintf("in_port=%d,%s", at, again)); err == nil {
			text, err = s.readAll(ctx, &w, text)
		}
		if err != nil {
			return hop, err
		}
		hop.Raw += "\n" + text
	}
	hop.Raw = hop.Raw[:min(len(hop.Raw), rawMax)]
	hop.Steps = append(hop.Steps, w.steps...)
	hop.Ends = append(hop.Ends, w.ends...)
	return hop, nil
}

// readAll reads the output of ofproto/trace, and resumes the trace where Open vSwitch
// stopped. It returns all output of Open vSwitch.
func (s *Switch) readAll(ctx context.Context, w *walk, text string) (raw string, err error) {
	raw = text
	w.read(text)
	for range resumptionsMax {
		if w.resume == nil {
			break
		}
		at := w.resume
		w.resume = nil
		if text, err = s.call(ctx, at.state.all(), fmt.Sprintf("resubmit(,%d)", at.table)); err != nil {
			return raw, err
		}
		raw += "\n" + text
		w.read(text)
	}
	return raw, nil
}

// call has Open vSwitch trace a packet, or some actions on it.
func (s *Switch) call(ctx context.Context, packet string, actions ...string) (string, error) {
	method := "ofproto/trace"
	if len(actions) > 0 {
		method = "ofproto/trace-packet-out"
	}
	text, err := s.Call(ctx, method, append([]string{s.Bridge, packet}, actions...)...)
	var refused *unixctl.CommandError
	switch {
	case errors.As(err, &refused):
		return "", fmt.Errorf("trace %s on %s: %w", packet, s.Host, err)
	case err != nil:
		return "", intent.Unavailablef("ovs-vswitchd on %s does not answer: %w", s.Host, err)
	}
	return text, nil
}

// hashed reports whether a trace ends where the datapath would compute a hash.
func hashed(text string) bool {
	for _, r := range parseOutput(text).rounds {
		if strings.Contains(r.datapath, "hash(") && strings.Contains(r.datapath, "recirc(") {
			return true
		}
	}
	return false
}

// read reads the output of ofproto/trace.
func (w *walk) read(text string) {
	for _, r := range parseOutput(text).rounds {
		if w.resume == nil && !w.tooLarge {
			w.round(r)
		}
	}
}

// entry describes a packet's arrival: in ofproto/trace's syntax, and in words.
func (s *Switch) entry(r Request) (flow, words string, err error) {
	port := func(is func(Attached) bool) (of.PortNo, bool) {
		var found of.PortNo
		for no, a := range s.Ports {
			if is(a) && (found == 0 || no < found) {
				found = no
			}
		}
		return found, found != 0
	}
	switch {
	case r.Port != nil:
		name := r.Port.String()
		no, ok := port(func(a Attached) bool { return a.Port == name })
		if !ok {
			return "", "", intent.NotFoundf("port %s is not plugged on %s", name, s.Host)
		}
		return fmt.Sprintf("in_port=%d", no), "sent by port " + name, nil
	case r.Tunnel != nil:
		if s.Tunnel == 0 {
			return "", "", intent.Unavailablef("the tunnel port of %s is not there", s.Host)
		}
		return fmt.Sprintf("in_port=%d,tun_src=%s,tun_dst=%s,tun_id=%d", s.Tunnel, r.Tunnel.Src, s.VTEP, r.Tunnel.VNI),
			fmt.Sprintf("through the tunnel from %s, VNI %d", r.Tunnel.SrcHost, r.Tunnel.VNI), nil
	case r.External != "":
		for _, e := range s.Externals {
			if e.Name != r.External {
				continue
			}
			no, ok := port(func(a Attached) bool { return a.Uplink != "" && a.Bridge == e.Bridge })
			if !ok {
				break
			}
			flow = fmt.Sprintf("in_port=%d", no)
			if e.VLAN != 0 {
				flow += fmt.Sprintf(",dl_vlan=%d", e.VLAN)
			}
			return flow, "from outside, by external " + r.External, nil
		}
		return "", "", intent.NotFoundf("external %s has no uplink on %s", r.External, s.Host)
	}
	return "", "", intent.Invalidf("nothing says how the packet comes in")
}
