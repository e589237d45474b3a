// Package controller is ovloomd's loop: intent and local interfaces in, flows
// out.
//
//	store ──SpanUpdate──►┐            ┌─► world: facts to views, and the mods between two states ──► Switch
//	ovsdb ──Interfaces──►│ Controller │
//	switch ──up, down───►┘ (one loop) └─► binder: which port is plugged here, which claim is due ──► store, ovsdb
//
// One goroutine owns all state. An input marks objects dirty (package world); when no more
// input waits, the dirty objects are compiled, compared with what was compiled for them
// before, and the difference goes to the switch. So a change costs what it
// touches, not what exists.
//
// What the switch holds is never remembered as flows: it is what the views of the
// last compilation give, and package pipeline's functions are pure. When a switch
// connects, its flows are dumped and compared with all views' flows.
//
//	deps.go       what a Controller acts on: store, switch, database
//	inputs.go     what the daemon tells of its host; watch.go: what the store sends
//	sync.go       bringing the switch to what is wanted; foreign.go: repairing what others changed in it
//	incomplete.go what is done while the store has not sent everything
//	binder.go     claims on ports, and what the database says of interfaces
//	nat.go        zones, limits and connections; addresses taken from pools
//	task.go       calls to others, which the loop does not wait for
//	arrival.go    ports that came up, for package router to announce
//	progress.go   what this host reports to the others
//	status.go     what the controller knows; wait.go: waiting for a port to be up
package controller
