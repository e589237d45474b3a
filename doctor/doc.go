// Package doctor examines the paths between hosts: every host probes the others through its
// tunnels and looks at itself, and what they all report together says what is wrong.
//
//	examiner.go    one host's part: asking for an examination, and answering
//	host.go        what is wrong on this host alone
//	prober.go      send probes, answer those of others, measure
//	frame.go       a probe as bytes
//	judge.go       what all reports together say, and what to change
//	neighbours.go  what the next hops of tunnels say
package doctor
