// Package explain traces a packet and describes its path in words: it has Open vSwitch trace
// the packet (ofproto/trace) on every host that it would pass, and explains each step by the
// flow's purpose and the object that it belongs to.
//
//	follow.go        Tracer: the question for the MAC address, the packet, from host to host
//	outside.go       the same for packets that come in by an external
//	destination.go   what the user wants reached, as addresses
//	packet.go        the packets that are traced
//	hops.go          Hops: each host does its part, this one for itself, others when asked
//	here.go          Here: this host's part, with what it knows of its switch
//	switch.go        Switch: one host's part
//	walk.go          the path through the tables of one host, and its ends
//	connection.go    what traces leave out of connection tracking
//	sending.go       where a packet leaves the switch
//	text.go          parser of ofproto/trace's output
//	fields.go        the packet's fields as actions change them
//	words.go         actions in words
//	verdict.go       ends in a sentence
//	advice.go        what would change a drop
//
// A trace changes nothing: no packet is sent, nothing is learned. It assumes a new
// connection, and that connection tracking says so at each step (Open vSwitch translates
// to the first address of a range).
package explain
