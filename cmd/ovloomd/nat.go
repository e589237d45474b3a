// What NAT needs of this host besides flows: the switch's connection tracker.

package main

import "github.com/ovloom/ovloom/datapath"

// conntrack returns the connection tracker of the switch.
func (d *daemon) conntrack() datapath.Conntrack {
	return d.dp.Conntrack(func() (datapath.Flusher, error) { return d.openflow.current() })
}
