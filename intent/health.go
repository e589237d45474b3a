package intent

import "time"

// VNIProbe is the VNI of the packets by which hosts examine the paths between them.
// No network can have it.
const VNIProbe = 0xfffff0

// Health is how the overlay's underlay is: whether tunnels between all hosts carry
// packets of full size, and what is wrong.
type Health struct {
	Hosts    []string  `json:"hosts"` // all registered ones, by name
	Paths    []Path    `json:"paths"` // between hosts that are up, by From and To
	Findings []Finding `json:"findings"`
}

// Path is what one host's tunnel to another carries.
type Path struct {
	From   string    `json:"from"`
	To     string    `json:"to"`
	State  PathState `json:"state"`
	Passes int       `json:"passes"`    // the largest packet known to pass, in bytes of the underlay's IP packet; 0: none
	Wanted int       `json:"wanted"`    // what must pass
	RTT    int64     `json:"rtt_us"`    // of a small packet and its answer, in µs; 0: not measured
	Skew   int64     `json:"clocks_ms"` // by how much To's clock is ahead, in ms
}

// PathState is how a path is.
type PathState string

// States of paths.
const (
	PathOK      PathState = "ok"
	PathMTU     PathState = "mtu"     // small packets pass, those of full size do not
	PathDead    PathState = "none"    // nothing passes
	PathUnknown PathState = "unknown" // no answer comes back, so nothing can be said
)

// Finding is something wrong, and what to change.
type Finding struct {
	Hosts []string `json:"hosts"` // whom it concerns
	What  string   `json:"what"`
	Do    string   `json:"do"`
}

// HealthReport is what one host found out for an examination.
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
	Skew     time.Duration `json:"skew"`   // by how much the other's clock is ahead
	HeardOf  bool          `json:"heard"`  // the other's probes came in
	SendFail string        `json:"send_fail,omitempty"`
}
