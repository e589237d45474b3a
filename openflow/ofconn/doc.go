// Package ofconn is one OpenFlow 1.5 connection to Open vSwitch: negotiation,
// bundles of changes, dumps, packet-ins and packet-outs, and dialling again when it
// breaks.
//
// A Conn may be used from many goroutines. One goroutine reads, one writes; a reply
// finds its request by xid. Every call ends when its context does, when the
// connection does, or when the switch says nothing for Config.Timeout:
// ovs-vswitchd can hang for seconds while it waits for its database.
//
// The switch handles the messages of one connection in order. So whoever wants
// packet-ins while many flows go in opens two connections.
//
//	config.go    what can be chosen, and the defaults
//	dial.go      dialling, negotiation, set-up
//	conn.go      the connection: reader, writer, calls that wait
//	frame.go     messages out of a stream
//	apply.go     changes, in bundles
//	dump.go      flows, groups, meters and ports
//	packet.go    packet-ins, packet-outs, and what else comes unasked
//	watch.go     changes that others make to flows; settings of ports
//	conntrack.go cutting tracked connections
//	keep.go      dialling again
package ofconn
