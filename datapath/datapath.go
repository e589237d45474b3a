// Package datapath looks after what all bridges of a switch share and OpenFlow does
// not reach: the connection tracker with its zones and limits, fragments that wait
// to be put together, the number of cached flows, and tunnel neighbours.
//
// It calls ovs-vswitchd by its control socket. Whatever it sets there is forgotten
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
}

// New returns the datapath whose ovs-vswitchd has its control socket in runDir. kernel
// says that it is Linux's own.
func New(runDir string, kernel bool) *Datapath {
	return of(unixctl.New(runDir, "ovs-vswitchd"), kernel)
}

func of(vswitchd Caller, kernel bool) *Datapath { return &Datapath{vswitchd, kernel} }

// name is that of the one datapath that all bridges of a type share (ovs-dpctl(8)).
func (d *Datapath) name() string {
	if d.kernel {
		return "system@ovs-system"
	}
	return "netdev@ovs-netdev"
}
