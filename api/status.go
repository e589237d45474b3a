// The answer to "how is this host?".

package api

import (
	"net/netip"
	"time"
)

// Status is the state of one host, as reported by its ovloomd.
type Status struct {
	Version    string     `json:"version"` // of ovloomd
	Host       string     `json:"host"`
	VTEP       netip.Addr `json:"vtep"`
	Datapath   string     `json:"datapath"` // "system" or "netdev"
	Bridge     string     `json:"bridge"`
	Underlay   Underlay   `json:"underlay"`
	OVSVersion string     `json:"ovs_version"`
	Started    time.Time  `json:"started"` // ovloomd
	Uptime     int64      `json:"uptime"`  // seconds since then

	Connections []Connection `json:"connections"` // to the store, OVSDB and OpenFlow
	Revision    int64        `json:"revision"`    // store revision that the switch has reached
	Resync      Resync       `json:"resync"`      // the last one

	Tenants   []string    `json:"tenants"` // in this host's span
	Ports     []BoundPort `json:"ports"`   // plugged here
	Flows     int         `json:"flows"`   // installed
	Groups    int         `json:"groups"`
	Cache     *Cache      `json:"cache,omitempty"` // of the datapath; absent: it has never answered
	Uplinks   []Uplink    `json:"uplinks"`         // of this host, to externals
	Conflicts []Conflict  `json:"conflicts"`
	Drops     []Drop      `json:"drops"`
	Warnings  []Warning   `json:"warnings"`

	LeftOut []LeftOut `json:"left_out"` // objects of the store that cannot be used
	// Repairs are what ovloomd put back since it started, after another program or a
	// person changed things of ovloom's. The newest comes first; the oldest are forgotten.
	Repairs []Repair `json:"repairs"`

	// Stale are the parts that did not answer in time, and so are shown as of an earlier
	// time.
	Stale []Stale `json:"stale,omitempty"`
}

// Stale is a part of a Status that is out of date.
type Stale struct {
	Part string    `json:"part"` // "controller" (ports, flows, tenants, conflicts), "cache", "drops" or "ovs_version"
	At   time.Time `json:"at"`   // when the part was read; zero: it has never answered
}

// Repair is something that ovloomd put back.
type Repair struct {
	At     time.Time `json:"at"`              // the last time
	First  time.Time `json:"first"`           // the first time
	Times  int       `json:"times"`           // how often the same thing was put back
	What   string    `json:"what"`            // such as "flows changed by another program"
	Count  int       `json:"count,omitempty"` // number of things, the last time
	Detail string    `json:"detail,omitempty"`
}

// LeftOut is an object of the store that this host follows and cannot use. If the object
// is not valid, its last valid state stays in force.
type LeftOut struct {
	Key    string `json:"key"`    // of the store; empty: the object is valid, but this host can make no flows from it
	Object string `json:"object"` // as "port acme/web/c1"
	Reason string `json:"reason"`
	Newer  bool   `json:"newer"` // a newer build wrote it: upgrade ovloom on this host
}

// Underlay is the interface by which the tunnels leave, as it is now.
type Underlay struct {
	Interface string `json:"interface,omitempty"` // the interface with the VTEP address
	MTU       int    `json:"mtu,omitempty"`       // bytes of IP packet
	Fault     string `json:"fault,omitempty"`     // why no tunnel works
}

// Connection is the state of ovloomd's connection to one other process.
type Connection struct {
	Name      string    `json:"name"`            // "store", "ovsdb" or "openflow"
	Target    string    `json:"target"`          // where that process is
	Connected bool      `json:"connected"`       //
	Since     time.Time `json:"since"`           // when State took its value
	Error     string    `json:"error,omitempty"` // the last one, if it is the reason

	// RetryAt is when ovloomd next tries whether this host's member of the store, which
	// has failed, would start, and RetryError why it would not have at the last try.
	RetryAt    time.Time `json:"retry_at,omitzero"`
	RetryError string    `json:"retry_error,omitempty"`
}

// BoundPort is a port plugged on this host.
type BoundPort struct {
	Port      string `json:"port"`            // as acme/web/c1
	Interface string `json:"interface"`       // on the bridge
	OFPort    uint32 `json:"ofport"`          // its OpenFlow port; 0: the switch has assigned none
	Up        bool   `json:"up"`              // its flows are installed
	Fault     string `json:"fault,omitempty"` // what is wrong with the interface
}

// Cache tells how well the datapath's cache of flows (megaflows) has served since the
// datapath was created. All bridges of the host's Open vSwitch share the cache.
type Cache struct {
	Hits   uint64 `json:"hits"`   // packets that a cached flow served
	Misses uint64 `json:"misses"` // packets that ovs-vswitchd had to pass through the tables
	Lost   uint64 `json:"lost"`   // misses dropped because the queue to ovs-vswitchd was full
	Flows  uint64 `json:"flows"`  // in the cache now

	// Only with the datapath "system".
	Masks    uint64 `json:"masks,omitempty"`     // number of masks now
	MaskHits uint64 `json:"mask_hits,omitempty"` // masks tried, for all packets
}

// Uplink is how this host reaches an external.
type Uplink struct {
	External  string `json:"external"`
	Via       string `json:"via"`                 // "host", or the bridge that leads outside
	Interface string `json:"interface,omitempty"` // on the integration bridge
	OFPort    uint32 `json:"ofport"`              // its OpenFlow port; 0: the switch has assigned none
	Fault     string `json:"fault,omitempty"`     // why packets do not leave by it
	Probe     string `json:"probe,omitempty"`     // through the host: "passed" or "dropped", the fate of the probe packet; "": not tried
}

// Fixed is what was set on this host.
type Fixed struct {
	Done []string `json:"done"`
}

// Conflict is a port that several hosts claim, or several interfaces of this host.
type Conflict struct {
	Port       string   `json:"port"`                 // as acme/web/c1
	Claims     []Claim  `json:"claims"`               // newest first; the newest is in force
	Interfaces []string `json:"interfaces,omitempty"` // on this host, if several
}

// Drop counts what the switch has dropped for one reason.
type Drop struct {
	Reason  string `json:"reason"`  // such as "spoof-mac"
	Meaning string `json:"meaning"` // in a sentence
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
}

// Warning is a problem, and what to do about it.
type Warning struct {
	What string `json:"what"`
	Do   string `json:"do,omitempty"`
}

// Resync is one comparison of the switch's flows with those it should have.
type Resync struct {
	At       time.Time `json:"at"`       // zero: none yet
	Messages int       `json:"messages"` // sent to correct the difference
}
