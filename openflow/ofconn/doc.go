// Package ofconn is one OpenFlow 1.5 connection to Open vSwitch: negotiation,
// bundles of changes, dumps, packet-ins and packet-outs, and redialling when it breaks.
//
// A Conn may be used from many goroutines. One goroutine reads, one writes; a reply
// finds its request by xid. Every call ends with its context, with the connection, or
// when the switch does not answer for Config.Timeout:
// ovs-vswitchd can hang for seconds while it waits for its database.
//
// The switch handles the messages of one connection in order. To receive
// packet-ins while many flows are installed, open two connections.
//
//	config.go    options and their defaults
//	dial.go      dialling, negotiation, set-up
//	conn.go      the connection: reader, writer, calls that wait
//	frame.go     messages out of a stream
//	apply.go     changes, in bundles
//	dump.go      flows, groups, meters and ports
//	packet.go    packet-ins, packet-outs, and other unsolicited messages
//	watch.go     other connections' changes to flows; port configuration
//	conntrack.go cutting tracked connections
//	keep.go      redialling
package ofconn
