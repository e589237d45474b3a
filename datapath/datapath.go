// Package datapath manages what all bridges of a switch share and OpenFlow does not reach:
// the connection tracker with its zones and limits, reassembly of fragments, the flow cache
// and its counters, and tunnel neighbours.
//
// It calls ovs-vswitchd by its control socket, and reads the kernel datapath's counters by
// netlink. ovs-vswitchd forgets all settings when it ends, so they have to be set again with
// each new connection.
package datapath

import (
	"context"

	"github.com/ovloom/ovloom/unixctl"
)

// Caller calls methods of ovs-vswitchd; *unixctl.Client implements it.
type Caller interface {
	Call(ctx context.Context, method string, params ...string) (string, error)
}

// Datapath is the datapath of a switch.
type Datapath struct {
	vswitchd Caller
	kernel   bool
	cache    cacheReader
}

// New returns the datapath of the ovs-vswitchd that has its control socket in runDir.
// kernel selects the kernel datapath.
func New(runDir string, kernel bool) *Datapath {
	return of(unixctl.New(runDir, "ovs-vswitchd"), kernel)
}

func of(vswitchd Caller, onKernel bool) *Datapath {
	if onKernel {
		return &Datapath{vswitchd, true, kernelCache{kernel{}}}
	}
	return &Datapath{vswitchd, false, userspaceCache{vswitchd}}
}

// name returns the name of the datapath, which all bridges of its type share (ovs-dpctl(8)).
func (d *Datapath) name() string {
	if d.kernel {
		return "system@ovs-system"
	}
	return "netdev@ovs-netdev"
}
