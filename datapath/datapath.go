// Package datapath looks after what all bridges of a switch share and OpenFlow does
// not reach: the connection tracker with its zones and limits, fragments that wait
// to be put together, the cache of flows with its counters, and tunnel neighbours.
//
// It calls ovs-vswitchd by its control socket, and asks Linux's own datapath by netlink
// for the counters. Whatever it sets there is forgotten
// when ovs-vswitchd ends, and has to be set again with each new connection.
package datapath

import (
	"context"

	"github.com/ovloom/ovloom/unixctl"
)

// Caller calls a method of ovs-vswitchd, as *unixctl.Client does.
type Caller interface {
	Call(ctx context.Context, method string, params ...string) (string, error)
}

// Datapath is the datapath of a switch.
type Datapath struct {
	vswitchd Caller
	kernel   bool
	cache    cacheReader
}

// New returns the datapath whose ovs-vswitchd has its control socket in runDir. kernel
// says that it is Linux's own.
func New(runDir string, kernel bool) *Datapath {
	return of(unixctl.New(runDir, "ovs-vswitchd"), kernel)
}

func of(vswitchd Caller, onKernel bool) *Datapath {
	if onKernel {
		return &Datapath{vswitchd, true, kernelCache{kernel{}}}
	}
	return &Datapath{vswitchd, false, userspaceCache{vswitchd}}
}

// name is that of the one datapath that all bridges of a type share (ovs-dpctl(8)).
func (d *Datapath) name() string {
	if d.kernel {
		return "system@ovs-system"
	}
	return "netdev@ovs-netdev"
}
