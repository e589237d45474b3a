// Package ofp turns the values of package openflow into bytes on the wire and
// back: OpenFlow 1.5 and the Nicira extensions of Open vSwitch.
//
// Encoders append to a slice and return it, so that a caller can reuse one
// buffer. Decoders check every length, keep unknown parts as opaque
// bytes, and copy what they return unless their comment says otherwise.
// The package does no I/O; package ofconn has the connection.
//
//	flow.go         flow-mods, instructions, descriptions of flows
//	group.go        groups
//	meter.go        meters
//	match.go        matches; oxm.go has their fields
//	action.go       actions to bytes; actiondecode.go the way back
//	ct.go           connection tracking and NAT
//	learn.go        the learn action
//	header.go       the frame of every message
//	hello.go        version negotiation and echo
//	errors.go       the switch's errors, in words
//	oxs.go          counters of flows
//	session.go      features, configuration, barriers
//	bundle.go       bundles
//	multipart.go    requests whose replies come in parts
//	property.go     the type-length-value lists of newer messages
//	packetin.go     packet-in, resume
//	packetout.go    packet-out
//	port.go         ports and their changes
//	flowremoved.go  removed flows
//	monitor.go      flow monitors
//	ctflush.go      cutting tracked connections
package ofp
