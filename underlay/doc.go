// Package underlay moves the host's underlay NIC into Open vSwitch, and gives it back.
//
// With the userspace datapath, tunnel packets are routed inside ovs-vswitchd and can
// leave only by a port of a userspace bridge. So the NIC becomes a port of a bridge
// of its own, br-phy, and the bridge's interface takes over the NIC's addresses and routes.
//
//	underlay.go  Take, Keep, Return, Recover: what they promise
//	steps.go     the steps of taking and of giving back, each repeatable
//	journal.go   the journal, written before the first step: how to undo all of them
//	check.go     Check: whether tunnels can work, and what to do if not
//
// Before anything changes, everything needed to undo it is on disk. Every step can be
// repeated, so an undo need not know how far the steps had come.
//
// Things to know: the bridge has a MAC of its own, because the kernel still sees
// every frame that the NIC receives and must not take it for its own; networks that
// let a machine use one MAC only (many clouds) drop its packets. The bridge's
// interface survives a crash of ovs-vswitchd, with addresses and routes, but not its
// clean end (ovs-appctl exit --cleanup), nor a start of the host; Keep puts them back
// when it runs again.
package underlay
