package intent

import "time"

// VNIProbe is the VNI of the packets with which hosts probe the paths between them. No
// network can have it.
const VNIProbe = 0xfffff0

// Health is the state of the overlay's underlay: whether tunnels between all hosts
// carry packets of full size, and what is wrong.
type Health struct {
	Hosts    []string  `json:"hosts"` // all registered hosts, by name
	Paths    []Path    `json:"paths"` // between hosts that are up, by From and To
	Findings []Finding `json:"findings"`
}

// Path is what one host's tunnel to another carries.
type Path struct {
	From   string    `json:"from"`
	To     string    `json:"to"`
	State  PathState `json:"state"`
	Passes int       `json:"passes"`    // the largest size known to pass, in bytes of the underlay's IP packet; 0: none
	Wanted int       `json:"wanted"`    // the size that must pass
	RTT    int64     `json:"rtt_us"`    // of a small packet and its answer, in µs; 0: not measured
	Skew   int64     `json:"clocks_ms"` // how far To's clock is ahead, in ms
}

// PathState is the state of a path.
type PathState string

// States of paths.
const (
	PathOK      PathState = "ok"
	PathMTU     PathState = "mtu"     // small packets pass, packets of full size do not
	PathDead    PathState = "none"    // nothing passes
	PathUnknown PathState = "unknown" // no answer comes back, so the state is unknown
)

// Finding is a problem, and what to change.
type Finding struct {
	Hosts []string `json:"hosts"` // the hosts that it concerns
	What  string   `json:"what"`
	Do    string   `json:"do"`
}

// HealthReport is what one host found out in an examination.
type HealthReport struct {
	Host      string        `json:"host"`
	VXLANPort int           `json:"vxlan_port"` // UDP
	Paths     []PathReport  `json:"paths"`
	Findings  []Finding     `json:"findings"` // about the host alone
	Took      time.Duration `json:"took"`
}

// PathReport is what a host found out about the path to another.
type PathReport struct {
	To       string        `json:"to"`
	Wanted   int           `json:"wanted"` // bytes of the underlay's IP packet
	Passes   int           `json:"passes"` // the largest size that was answered; 0: none
	RTT      time.Duration `json:"rtt"`    // of the fastest answer
	Skew     time.Duration `json:"skew"`   // how far the other's clock is ahead
	HeardOf  bool          `json:"heard"`  // the other's probes arrive
	SendFail string        `json:"send_fail,omitempty"`
}
