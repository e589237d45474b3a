// Package cluster runs the store: a member of an etcd cluster in this process, or a client
// of members elsewhere. It knows neither objects nor their keys; package kv reads and
// writes keys, by Node.KV.
//
// # Members
//
// A member founds a store, continues from its data, or joins others that expect it
// (Node.AddMember). A member whose disk or data fails ends without ending the process:
// with Config.WithoutMember the process goes on without a store, and Node.AwaitRepair says
// when a process that starts now would have the member again.
//
// # Which store is followed
//
// The store has a name and an epoch, at kv.NameKey. A host keeps in its state directory
// the name and epoch that it follows, and the highest revision that it has seen. It
// refuses another store, or an older state of the same store (Node.Refusal), until a user
// accepts it (Init). Restore begins a new epoch, which hosts follow.
//
// # Files
//
//	lock                 held by the one process that uses the state directory
//	instance             identifies this process among others with the same host name
//	identity             which store this host follows, as JSON
//	etcd/data            the member's data; ovloom.json in it identifies the store
//	etcd/data-before-…   data that was set aside
//	etcd/etcd.sock       where the member serves this machine
//	etcd/crash           the runtime's trace when the member ended the process
//
// # Failure
//
// Calls have a deadline (Config.Timeout), and fail with an intent.Error of kind Unavailable
// when the store does not answer.
package cluster
