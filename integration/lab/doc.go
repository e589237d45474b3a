// Package lab builds hosts that run a real Open vSwitch, joins them by a
// management network and an underlay, and takes everything away again.
//
// The same Lab is built by two back ends: one network namespace per host
// (Namespaces, the default), or one OVS container per host (Containers). Tests
// cannot tell them apart except by their speed.
//
//	lab.go         Config, New and Start, Check and Close
//	host.go        a host: its paths and addresses, commands that run in it
//	switch.go      its ovsdb-server and ovs-vswitchd
//	daemon.go      its ovloomd, and the CLI
//	process.go     something that runs in a host until it is stopped or killed
//	workload.go    a namespace that stands for a VM or container, and its veth
//	ping.go, transfer.go, echo.go   traffic between workloads
//	packet.go, frame.go             frames taken apart, frames put together
//	capture.go     what passes an interface
//	fault.go       what can go wrong with the underlay
//	logs.go        warnings in the daemons' logs
//	backend.go, namespaces.go, containers.go, engine.go, image.go   the back ends
//	owner.go, reaper.go, remove.go  ownership, and the removal of everything
//	netns.go, poll.go               code in a namespace, and waiting for conditions
//	main.go                         what TestMain calls
//
// # Nothing stays behind
//
// All that a process makes (namespaces, containers, processes, directories)
// carries that process's mark, "ovl-PID-START". Close removes what belongs to
// one lab. A reaper, a child in a session of its own, removes the rest as soon
// as the process is gone, whether it ended, panicked, was interrupted or killed.
// Should the reaper be killed too, the next process that starts a lab sweeps
// what dead ones left.
//
// With LAB_KEEP=1 in the environment a lab that failed stays, and the test says
// how to enter its hosts and how to remove it.
package lab
