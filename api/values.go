// The values of requests and answers, besides objects.

package api

import (
	"net/netip"
	"path"
	"runtime/debug"
	"strings"

	"github.com/ovloom/ovloom/intent"
)

// DefaultSocket is where ovloomd listens unless told otherwise.
const DefaultSocket = "/run/ovloom/ovloomd.sock"

// Version identifies the build that answers.
type Version struct {
	Version string `json:"version"`
}

// version is set by the linker's -X; "": not set.
var version string

// BuildVersion returns the version of the running program: the linker's (-ldflags "-X
// github.com/ovloom/ovloom/api.version=v1.2.3"), or the one that the Go toolchain stamped
// from the source tree's tag or commit; "devel" without either.
func BuildVersion() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "devel"
	}
	return strings.Trim(info.Main.Version, "()")
}

// PlugRequest says where on this host a port is to appear: in exactly one of a named
// namespace, the namespace of a process, or an existing tap device.
type PlugRequest struct {
	Ref    intent.PortRef `json:"-"`               // from the path
	Netns  string         `json:"netns,omitempty"` // a name that `ip netns list` shows, or an absolute path
	PID    int            `json:"pid,omitempty"`
	Tap    string         `json:"tap,omitempty"`
	Ifname string         `json:"ifname,omitempty"` // inside the namespace; default eth0

	NoDefaultRoute bool `json:"no_default_route,omitempty"` // the namespace gets no default route through the network's gateways
	Take           bool `json:"take,omitempty"`             // from the live host that holds the port
	Force          bool `json:"force,omitempty"`            // accept a tap of another kind than tap and veth, or with addresses
}

// DefaultIfname is the default name of a plugged port's interface inside its namespace.
const DefaultIfname = "eth0"

// Validate checks that the request names one place that can exist.
func (r PlugRequest) Validate() error {
	given := 0
	for _, is := range []bool{r.Netns != "", r.PID != 0, r.Tap != ""} {
		if is {
			given++
		}
	}
	switch {
	case given != 1:
		return intent.Invalidf("give exactly one of --netns, --pid, --tap and --container to plug port %s into", r.Ref).
			WithHint("such as: ovloom port plug %s --netns NAME; by the API: netns, pid or tap", r.Ref)
	case r.PID < 0:
		return intent.Invalidf("process id %d is negative", r.PID)
	case strings.Contains(r.Netns, "/") && !path.IsAbs(r.Netns) || strings.Contains(r.Netns, "\x00") || r.Netns == "." || r.Netns == "..":
		return intent.Invalidf("namespace %q is malformed", r.Netns).WithHint("give a name that `ip netns list` shows, or an absolute path")
	case r.Tap != "" && r.NoDefaultRoute:
		return intent.Invalidf("a default route makes no sense for tap %s: ovloom sets no routes there", r.Tap).WithHint("leave no_default_route (--no-default-route) out")
	case r.Tap == "" && r.Force:
		return intent.Invalidf("force makes sense for taps only").WithHint("leave it out, or name the interface as tap")
	case r.Tap != "" && r.Ifname != "":
		return intent.Invalidf("an interface name %q is given for tap %s", r.Ifname, r.Tap).WithHint("a tap keeps its name: leave ifname out")
	case r.Tap != "":
		return validateIfname("tap", r.Tap)
	case r.Ifname != "":
		return validateIfname("interface", r.Ifname)
	}
	return nil
}

// validateIfname applies the kernel's rules (dev_valid_name): at most 15 bytes, no slash,
// colon or white space, and neither "." nor "..".
func validateIfname(what, s string) error {
	if len(s) > 15 || s == "." || s == ".." || strings.ContainsAny(s, "/: \t\n\v\f\r\x00") {
		return intent.Invalidf("%s name %q is malformed", what, s).
			WithHint("at most 15 bytes without slash, colon or white space")
	}
	return nil
}

// PlugResult is the result of plugging a port.
type PlugResult struct {
	Interface string       `json:"interface"`        // on br-int
	Ifname    string       `json:"ifname,omitempty"` // inside the namespace
	MAC       intent.MAC   `json:"mac"`
	Addrs     []netip.Addr `json:"addresses,omitempty"`
	MTU       int          `json:"mtu"` // bytes of IP packet
	Notes     []string     `json:"notes,omitempty"`
}

// FlowQuery selects flows of this host's switch; its zero value selects all.
type FlowQuery struct {
	Object string // "", or a tenant, network or port: acme, acme/web, acme/web/c1
	Table  string // "", or a table's name
}

// Flow is one flow of this host's switch, and its owner.
type Flow struct {
	Table  string `json:"table"`
	Object string `json:"object"`          // as "port acme/web/c1"; "base" for flows that no object owns
	Text   string `json:"flow"`            // as ovs-ofctl writes it
	Words  string `json:"words,omitempty"` // its effect, for people

	Packets uint64 `json:"packets"` // hits
	Bytes   uint64 `json:"bytes"`
}
