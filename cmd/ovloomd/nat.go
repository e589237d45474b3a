// What NAT needs of this host besides flows: zones kept with the bridge, and the
// switch's connection tracker.

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/ovsdb"
	"github.com/ovloom/ovloom/unixctl"
)

// zonesNote is the note on the bridge that holds the zones: tracked connections live
// as long as the bridge's datapath, and so must the numbers of their zones.
const zonesNote = "zones"

// zones implements controller.Zones.
type zones struct{ *daemon }

func (z zones) LoadZones(context.Context) (map[string]uint16, error) {
	text, err := z.db.BridgeNote(z.cfg.Bridge, zonesNote)
	if err != nil || text == "" {
		return map[string]uint16{}, err
	}
	kept := map[string]uint16{}
	if err := json.Unmarshal([]byte(text), &kept); err != nil {
		// Somebody wrote into our note. Whoever needs a zone gets one, emptied first.
		z.log.Warn("the note on the bridge that holds the zones is damaged: starting without", "note", text, "error", err)
		return map[string]uint16{}, nil
	}
	return kept, nil
}

func (z zones) SaveZones(ctx context.Context, kept map[string]uint16) error {
	text, err := json.Marshal(kept)
	if err != nil {
		return err
	}
	if len(kept) == 0 {
		text = nil
	}
	return z.db.SetBridgeNote(ctx, z.cfg.Bridge, zonesNote, string(text))
}

// conntrack implements controller.Conntrack.
type conntrack struct {
	*daemon
	vswitchd *unixctl.Client
}

func newConntrack(d *daemon) conntrack {
	return conntrack{d, unixctl.New(d.cfg.OVSRunDir, "ovs-vswitchd")}
}

// datapathName is that of the one datapath that all bridges of a type share
// (ovs-dpctl(8)).
func (d *daemon) datapathName() string {
	if d.datapath == ovsdb.DatapathSystem {
		return "system@ovs-system"
	}
	return "netdev@ovs-netdev"
}

func (c conntrack) Connections(ctx context.Context, zone uint16) ([]of.Connections, error) {
	if _, err := c.vswitchd.Call(ctx, "revalidator/wait"); err != nil {
		return nil, err
	}
	out, err := c.vswitchd.Call(ctx, "dpctl/dump-conntrack", c.datapathName(), fmt.Sprintf("zone=%d", zone))
	if err != nil {
		return nil, err
	}
	var all []of.Connections
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		one, err := of.ParseConnection(line)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

func (c conntrack) Cut(ctx context.Context, which ...of.Connections) error {
	conn, err := c.openflow.current()
	if err != nil {
		return err
	}
	return conn.CTFlush(ctx, which...)
}

func (c conntrack) Limit(ctx context.Context, zone uint16, most uint32) error {
	var err error
	if most == 0 {
		_, err = c.vswitchd.Call(ctx, "dpctl/ct-del-limits", c.datapathName(), "zone="+strconv.Itoa(int(zone)))
	} else {
		_, err = c.vswitchd.Call(ctx, "dpctl/ct-set-limits", c.datapathName(), fmt.Sprintf("zone=%d,limit=%d", zone, most))
	}
	return err
}

// leastFragment is the least that Open vSwitch 3.1 can be told to take for a fragment of
// IPv4, in bytes of its frame (ovs-vswitchd(8), dpctl/ipf-set-min-frag).
const leastFragment = "400"

// takeFragments lets the connection tracker of the userspace datapath put together what
// a router has cut: by itself it loses fragments of less than 1200 bytes, and keeps
// no word about it beyond the end of ovs-vswitchd. Linux takes fragments of any size.
func (c conntrack) takeFragments(ctx context.Context) error {
	if c.datapath == ovsdb.DatapathSystem {
		return nil
	}
	_, err := c.vswitchd.Call(ctx, "dpctl/ipf-set-min-frag", c.datapathName(), "v4", leastFragment)
	return err
}
