// Package packet reads and makes the packets that a router handles itself: those
// by which it asks for neighbours and answers, and the ICMP errors that it sends.
// It does no I/O.
//
//	ip.go        what a router must know of an IP packet; fragments of IPv4
//	icmperror.go ICMP errors, and when none may be sent
//	neighbour.go ARP and neighbour discovery
//	bytes.go     headers and checksums
package packet
