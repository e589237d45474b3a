// Package doctor examines the paths between hosts: every host probes the others through its
// tunnels and checks itself, and a diagnosis is made from all reports together.
//
//	examiner.go    Examiner: request an examination, and take part in one
//	host.go        faults of this host alone
//	prober.go      Prober: send and answer probes, and measure
//	frame.go       a probe as bytes
//	judge.go       Judge: the diagnosis from all reports, with remedies
//	neighbours.go  faults of the tunnels' next hops
package doctor
