// Package router is the part of a gateway that flows cannot be: it answers, holds,
// fragments and sends on the packets that the switch hands to ovloomd.
//
//	icmperror.go    a packet that cannot be sent on: tell its sender why
//	toolarge.go     a packet larger than the next network's MTU: fragment it, or tell its sender
//	neighbour.go    a packet whose next hop is not known: hold it and ask; the answers
//	solicitation.go a neighbour solicitation for a gateway that the switch cannot answer
//	fragment.go     a fragment of a first packet from the outside: begin its connection
//	announce.go     what is said without being asked: new ports, gateways and addresses
//	questions.go    the addresses asked for, and the packets that wait, within limits
//	table.go        what the controller tells: networks; uplink.go: uplinks of externals
//
// Another kind of packet (a DHCP or DNS request, say) needs a cause in package pipeline,
// with the flow that hands it up; a file here with the function that returns what is sent
// because of it; and a line in handlers. Package packet reads and makes the frames.
//
// A Router runs beside the controller, so that packets never wait while the controller
// compares flows. All that it knows of the overlay is in its Table.
package router
