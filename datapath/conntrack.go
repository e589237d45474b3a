package datapath

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ovloom/ovloom/loop"
	"github.com/ovloom/ovloom/openflow"
)

// Flusher ends tracked connections: an OpenFlow connection does.
type Flusher interface {
	CTFlush(ctx context.Context, which ...openflow.Connections) error
}

// Conntrack is the connection tracker of a datapath.
type Conntrack struct {
	*Datapath
	flusher func() (Flusher, error)
}

// Conntrack returns the connection tracker. flusher returns the connection to the switch
// that there is at the moment.
func (d *Datapath) Conntrack(flusher func() (Flusher, error)) Conntrack {
	return Conntrack{d, flusher}
}

// Connections returns the tracked connections of a zone. Before it looks it waits until
// all packets follow the flows that the switch has by now.
func (c Conntrack) Connections(ctx context.Context, zone uint16) ([]openflow.Connections, error) {
	if _, err := c.vswitchd.Call(ctx, "revalidator/wait"); err != nil {
		return nil, err
	}
	lines, err := c.Lines(ctx, zone)
	if err != nil {
		return nil, err
	}
	var all []openflow.Connections
	for _, line := range lines {
		one, err := openflow.ParseConnection(line)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

// Lines returns the tracked connections of a zone as ovs-dpctl dump-conntrack prints them.
func (c Conntrack) Lines(ctx context.Context, zone uint16) ([]string, error) {
	out, err := c.vswitchd.Call(ctx, "dpctl/dump-conntrack", c.name(), fmt.Sprintf("zone=%d", zone))
	if err != nil {
		return nil, err
	}
	var lines []string
	for line := range strings.Lines(out) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return lines, nil
}

// Cut ends connections. One without tuples stands for all of its zone.
func (c Conntrack) Cut(ctx context.Context, which ...openflow.Connections) error {
	flusher, err := c.flusher()
	if err != nil {
		return err
	}
	return flusher.CTFlush(ctx, which...)
}

// Limit bounds the connections of a zone; 0: no bound.
func (c Conntrack) Limit(ctx context.Context, zone uint16, most uint32) error {
	var err error
	if most == 0 {
		_, err = c.vswitchd.Call(ctx, "dpctl/ct-del-limits", c.name(), "zone="+strconv.Itoa(int(zone)))
	} else {
		_, err = c.vswitchd.Call(ctx, "dpctl/ct-set-limits", c.name(), fmt.Sprintf("zone=%d,limit=%d", zone, most))
	}
	return err
}

// Limits returns the bounds on the connections of zones, of those that have one.
func (c Conntrack) Limits(ctx context.Context) (map[uint16]uint32, error) {
	out, err := c.vswitchd.Call(ctx, "dpctl/ct-get-limits", c.name())
	if err != nil {
		return nil, err
	}
	limits := map[uint16]uint32{}
	for line := range strings.Lines(out) {
		var zone uint16
		var most uint32
		if _, err := fmt.Sscanf(line, "zone=%d,limit=%d,", &zone, &most); err == nil {
			limits[zone] = most
		}
	}
	return limits, nil
}

const (
	// leastFragment is the least that Open vSwitch 3.1 can be told to take for a fragment of
	// IPv4, in bytes of its frame (ovs-vswitchd(8), dpctl/ipf-set-min-frag).
	leastFragment = "400"
	// mostFragments is how many fragments may wait for the rest of their packets, and the
	// most that Open vSwitch 3.1 can be told. Those of a packet that never becomes whole
	// wait for 15 seconds; by itself Open vSwitch holds 1,000, which 70 a second use up.
	mostFragments = "5000"
)

// TakeFragments lets the connection tracker of the userspace datapath put together what
// a router has cut: by itself it loses fragments of less than 1200 bytes. Linux takes
// fragments of any size, and bounds them by net.ipv4.ipfrag_high_thresh.
func (d *Datapath) TakeFragments(ctx context.Context) error {
	if d.kernel {
		return nil
	}
	_, err := d.vswitchd.Call(ctx, "dpctl/ipf-set-min-frag", d.name(), "v4", leastFragment)
	_, err2 := d.vswitchd.Call(ctx, "dpctl/ipf-set-max-nfrags", d.name(), mostFragments)
	return errors.Join(err, err2)
}

// fragmentsEvery is how often KeepFragments looks.
const fragmentsEvery = 2 * time.Second

// KeepFragments looks, until ctx ends, whether another program has changed what
// TakeFragments set, and sets it again. repaired is told what it was, and failed why it
// could not be looked at or set, once until it can.
func (d *Datapath) KeepFragments(ctx context.Context, repaired func(was string), failed func(error)) {
	if d.kernel {
		return
	}
	told := false
	for loop.Pause(ctx, fragmentsEvery) {
		was, err := d.fragments(ctx)
		if err == nil && was != fragmentsText(leastFragment, mostFragments) {
			if err = d.TakeFragments(ctx); err == nil {
				repaired(was)
			}
		}
		if err != nil && !told && ctx.Err() == nil {
			failed(err)
		}
		told = err != nil
	}
}

// fragments says what is set of what TakeFragments sets.
func (d *Datapath) fragments(ctx context.Context) (string, error) {
	answer, err := d.vswitchd.Call(ctx, "dpctl/ipf-get-status", d.name())
	if err != nil {
		return "", err
	}
	field := func(name string) string {
		_, rest, _ := strings.Cut(answer, name+":")
		value, _, _ := strings.Cut(rest, "\n")
		return strings.TrimSpace(value)
	}
	least, most := field("min v4 frag size"), field("max num frags (v4/v6)")
	if least == "" || most == "" {
		return "", fmt.Errorf("dpctl/ipf-get-status answers %q", answer)
	}
	return fragmentsText(least, most), nil
}

func fragmentsText(least, most string) string {
	return "fragments of at least " + least + " bytes, at most " + most
}
