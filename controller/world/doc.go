// Package world turns facts into flows: from the store's data about a host's tenants, and
// the host's own, it makes one view for each object; package pipeline compiles a view into
// flows and groups.
//
//	facts ──Set…, Update──► world: marks the objects that depend on a fact
//	                          │ Flush: recomputes the marked objects' views
//	                          ▼
//	        kind: views of the last flush ──► delta: the mods from the old views' flows to the new views'
//
// A file for each object holds how its facts are stored, what a change of them marks
// (class), and how its view is computed (kind):
//
//	host.go sender.go tenant.go network.go port.go binding.go peer.go route.go
//	external.go address.go guard.go nat.go snat.go floating.go forward.go nataddress.go
//
// The rest is the same for all objects:
//
//	class.go  objects of the store
//	kind.go   views, and which of them changed
//	delta.go  the changes of a flush, in an order that disrupts no packet
//	target.go the wanted state, compared with a switch's contents
//	sample.go a part of it, for checks in between
//	owners.go unique values; of two objects with the same one, the later is left out
//	clash.go  flows that two objects want
//	faults.go objects whose flows cannot be compiled are left out, alone
//
// To add an object: write its file, with a class if the store has it by tenant and a kind
// if it has flows, and declare both in New. A World is for one goroutine, and does no I/O.
package world
