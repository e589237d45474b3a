// Package packet reads and makes the packets that a router handles itself: ARP,
// neighbour discovery and ICMP errors. It does no I/O.
//
//	ip.go        a router's view of an IP packet; IPv4 fragmentation
//	icmperror.go ICMP errors, and when none may be sent
//	neighbour.go ARP and neighbour discovery
//	bytes.go     headers and checksums
package packet
