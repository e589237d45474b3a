// Package controller is ovloomd's loop: intent and local interfaces in, flows
// out.
//
//	store ──SpanUpdate──►┐            ┌─► world: facts to views, and the mods between two states ──► Switch
//	ovsdb ──Interfaces──►│ Controller │
//	switch ──up, down───►┘ (one loop) └─► binder: which port is plugged here, which claims are due ──► store, ovsdb
//
// One goroutine owns all state. An input marks objects dirty (package world); when no more
// input waits, the dirty objects are compiled and compared with their previous flows, and
// the difference goes to the switch. So the cost of a change depends on what it touches,
// not on the size of the overlay.
//
// The controller keeps no copy of the switch's flows: they follow from the views of the
// last flush, because package pipeline's functions are pure. When a switch connects, its
// flows are dumped and compared with the flows of all views.
//
//	deps.go       what a Controller acts on: store, switch, database
//	inputs.go     input from the daemon; watch.go: input from the store
//	sync.go       reconciling the switch; foreign.go: repairing foreign changes to it
//	incomplete.go what the controller does while its intent is incomplete
//	binder.go     claims on ports, and interfaces in the database
//	nat.go        zones, limits and connections; addresses claimed from pools
//	task.go       calls to other processes, outside the loop
//	arrival.go    announcements of new ports, through package router
//	progress.go   this host's reports to other hosts
//	status.go     the controller's state; wait.go: waiting for a port to be up
package controller
