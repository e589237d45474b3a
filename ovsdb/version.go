package ovsdb

// Versions, and the datapath types of ovs-vswitchd.

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/ovloom/ovloom/intent"
)

// The datapath types that ovloom uses.
const (
	DatapathSystem = "system" // the kernel's openvswitch module
	DatapathNetdev = "netdev" // userspace, in ovs-vswitchd
)

// Version says what runs on this host.
type Version struct {
	OVS    string // such as 3.1.0; "" when the start script did not write it
	Schema string // of the database, such as 8.3.1; always known
}

// minOVS and minSchema are the oldest Open vSwitch that ovloom works with.
const (
	minOVS    = "3.1.0"
	minSchema = "8.3.1"
)

// Version returns the versions once connected; it fails with an intent.Unavailable.
func (db *DB) Version(ctx context.Context) (Version, error) {
	ctx, cancel := context.WithTimeout(ctx, db.timeout)
	defer cancel()
	if _, err := db.live(ctx); err != nil {
		return Version{}, fmt.Errorf("read the version of Open vSwitch: %w", err)
	}
	v := db.view()
	root, _ := v.root()
	return Version{OVS: value(root.OVSVersion), Schema: v.schema}, nil
}

// Check refuses an Open vSwitch that is too old.
func (v Version) Check() error {
	if v.OVS != "" && olderThan(v.OVS, minOVS) || v.OVS == "" && olderThan(v.Schema, minSchema) {
		return intent.Invalidf("this is Open vSwitch %s", v).WithHint("ovloom needs 3.1 or newer")
	}
	return nil
}

// String returns the version for people to read.
func (v Version) String() string {
	if v.OVS == "" {
		return "with schema " + v.Schema
	}
	return v.OVS
}

// olderThan compares versions number by number; what follows the digits of a
// number, as in 3.1.0-rc1, is ignored.
func olderThan(a, b string) bool {
	return slices.Compare(numbers(a), numbers(b)) < 0
}

func numbers(version string) []int {
	var n []int
	for _, part := range strings.Split(version, ".") {
		digits := part
		if i := strings.IndexFunc(part, func(r rune) bool { return r < '0' || r > '9' }); i >= 0 {
			digits = part[:i]
		}
		v, _ := strconv.Atoi(digits)
		n = append(n, v)
	}
	return n
}
