// Package router is the part of a gateway that flows cannot do: it answers, holds,
// fragments and forwards the packets that the switch hands to ovloomd.
//
//	icmperror.go    a packet that cannot be forwarded: tell its sender why
//	toolarge.go     a packet larger than the next network's MTU: fragment it, or tell its sender
//	neighbour.go    a packet whose next hop is not known: hold it and ask; the answers
//	solicitation.go a neighbour solicitation for a gateway that the switch cannot answer
//	fragment.go     a fragment of a first packet from the outside: begin its connection
//	announce.go     announcements: new ports, gateways and addresses
//	questions.go    the addresses asked for, and the packets that wait, within limits
//	table.go        networks, set by the controller; uplink.go: uplinks of externals
//
// Another kind of packet (a DHCP or DNS request, say) needs a cause in package pipeline,
// with the flow that hands it up; a file here with the function that returns the packets
// to send; and a line in handlers. Package packet reads and makes the frames.
//
// A Router runs beside the controller, so that packets never wait while the controller
// compares flows. Its view of the overlay is its Table.
package router
