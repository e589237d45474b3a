// Package world turns facts into flows: what the store says of a host's tenants, and what
// the host says of itself, becomes one view for each object, and package pipeline makes
// flows and groups of a view.
//
//	facts ──Set…, Update──► world: marks the objects that a fact concerns
//	                          │ Flush: makes the marked objects' views anew
//	                          ▼
//	        kind: views of the last flush ──► delta: what leads from the old views' flows to the new ones'
//
// A file for each object says how its facts are kept, what a change of them marks (class),
// and what its view is made of (kind):
//
//	host.go sender.go tenant.go network.go port.go binding.go peer.go route.go
//	external.go address.go guard.go nat.go snat.go floating.go forward.go nataddress.go
//
// The rest is the same for all objects:
//
//	class.go  taking in objects of the store
//	kind.go   views, and which of them changed
//	delta.go  the changes of a flush, in an order that no packet suffers from
//	target.go all that is wanted, compared with what a switch holds
//	sample.go a part of that, for looks in between
//	owners.go what one object may have alone; the later one is left out
//	clash.go  flows that two objects want
//	faults.go objects whose flows cannot be made are left out by themselves
//
// To add an object: write its file, with a class if the store has it by tenant and a kind
// if it has flows, and declare both in New. A World is for one goroutine, and does no I/O.
package world
