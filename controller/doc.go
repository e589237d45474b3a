// Package controller is ovloomd's loop: intent and local interfaces in, flows
// out.
//
//	store ──SpanUpdate──►┐            ┌─► world: what is wanted, object by object
//	ovsdb ──Interfaces──►│ Controller │   └─ delta: the mods between two states ──► Switch
//	switch ──up, down───►┘ (one loop) └─► binder: which port is plugged here, which claim is due ──► store, ovsdb
//
// One goroutine owns all state. An input marks objects dirty; when no more input
// waits, the dirty objects are compiled, compared with what was compiled for them
// before, and the difference goes to the switch. So a change costs what it
// touches, not what exists.
//
// What the switch holds is never remembered as flows: it is what the views of the
// last compilation give, and package pipeline's functions are pure. When a switch
// connects, its flows are dumped and compared with all views' flows.
package controller
