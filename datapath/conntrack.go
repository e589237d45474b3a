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

// Flusher ends tracked connections; *ofconn.Conn is one.
type Flusher interface {
	CTFlush(ctx context.Context, which ...openflow.Connections) error
}

// Conntrack is the connection tracker of a datapath.
type Conntrack struct {
	*Datapath
	flusher func() (Flusher, error)
}

// Conntrack returns the connection tracker. flusher returns the current connection to the
// switch.
func (d *Datapath) Conntrack(flusher func() (Flusher, error)) Conntrack {
	return Conntrack{d, flusher}
}

// Connections returns the tracked connections of a zone. First it waits until all packets
// follow the switch's current flows.
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

// Cut ends connections. An element without tuples stands for all connections of its zone.
func (c Conntrack) Cut(ctx context.Context, which ...openflow.Connections) error {
	flusher, err := c.flusher()
	if err != nil {
		return err
	}
	return flusher.CTFlush(ctx, which...)
}

// Limit limits the number of connections of a zone; 0 removes the limit.
func (c Conntrack) Limit(ctx context.Context, zone uint16, most uint32) error {
	var err error
	if most == 0 {
		_, err = c.vswitchd.Call(ctx, "dpctl/ct-del-limits", c.name(), "zone="+strconv.Itoa(int(zone)))
	} else {
		_, err = c.vswitchd.Call(ctx, "dpctl/ct-set-limits", c.name(), fmt.Sprintf("zone=%d,limit=%d", zone, most))
	}
	return err
}

// Limits returns the limits of all zones that have one.
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
	// leastFragment is the lowest minimum size of IPv4 fragments that Open vSwitch 3.1
	// accepts, in bytes of the frame (ovs-vswitchd(8), dpctl/ipf-set-min-frag).
	leastFragment = "400"
	// mostFragments is how many fragments may wait for the rest of their packets: the most
	// that Open vSwitch 3.1 accepts. Fragments of a packet that is never completed wait for
	// 15 seconds, so 70 of them a second would use up the default of 1,000.
	mostFragments = "5000"
)

// TakeFragments makes the connection tracker of the userspace datapath reassemble small IPv4
// fragments: by default it drops fragments of less than 1200 bytes. Linux accepts fragments
// of any size, and limits them by net.ipv4.ipfrag_high_thresh.
func (d *Datapath) TakeFragments(ctx context.Context) error {
	if d.kernel {
		return nil
	}
	_, err := d.vswitchd.Call(ctx, "dpctl/ipf-set-min-frag", d.name(), "v4", leastFragment)
	_, err2 := d.vswitchd.Call(ctx, "dpctl/ipf-set-max-nfrags", d.name(), mostFragments)
	return errors.Join(err, err2)
}

// fragmentsEvery is how often KeepFragments checks the settings.
const fragmentsEvery = 2 * time.Second

// KeepFragments restores the settings of TakeFragments, until ctx ends, whenever another
// program has changed them, and calls repaired with the changed settings. If it cannot read
// or set them, it calls failed, once per outage.
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

// fragments returns the current settings of TakeFragments, in words.
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
