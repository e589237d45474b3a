// Package doctor examines the paths between hosts: it knows the packets by which
// they probe each other through their tunnels, and what is wrong when those do not
// come through. It does no I/O.
//
//	frame.go   a probe as bytes
//	prober.go  one host's part: send probes, answer those of others, measure
//	judge.go   what all reports together say, and what to change
package doctor
