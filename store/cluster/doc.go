// Package cluster runs what the store is in: a member of an etcd cluster in this process,
// or a client of members elsewhere. It knows neither objects nor the keys that they have;
// package kv reads and writes those, by Node.KV.
//
// # Members
//
// A member founds a store, goes on from its data, or joins others that expect it
// (Node.AddMember). One whose disk or data fails ends, and not the process with it: with
// Config.WithoutMember that goes on without store, and Node.AwaitRepair says when a process
// that starts now would have the member again.
//
// # Which store is followed
//
// The store has a name and an epoch, at kv.NameKey, and a host keeps in its state directory
// which one it follows, and the highest revision that it has seen. Another store, or an
// older state of the same, is refused (Node.Refusal), until a user says that it is wanted
// (Init). Restore begins a new epoch, which hosts follow.
//
// # Files
//
//	lock                 held by the one process that uses the state directory
//	instance             what tells this process from others of the same host name
//	identity             which store this host follows, as JSON
//	etcd/data            the data of the member; ovloom.json in it says of which store
//	etcd/data-before-…   data that was set aside
//	etcd/etcd.sock       where the member serves this machine
//	etcd/crash           what the runtime said when the member took the process along
//
// # Failure
//
// Calls have a deadline (Config.Timeout), and fail with an intent.Error of kind Unavailable
// when the store does not answer.
package cluster
