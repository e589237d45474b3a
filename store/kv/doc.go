// Package kv reads, changes and watches keys of etcd. It knows no object: to it, a value is
// JSON with a schema version.
//
// # Transactions
//
// A Txn says what must hold and what is then written. Client.Update builds it anew until
// nothing that it was built on changed before it was committed. Besides its own conditions
// each has that the store is the one which was verified (NameKey).
//
// # Watches
//
// Client.Watch loads all of what it watches and then tells every change, in the order of
// revisions. Watches go on from their revision when the store comes back, and start again
// with the whole when the revision was compacted away, or when the store was restored.
//
// # Copies on disk
//
// A Keeper keeps a copy on disk of what a watch tells, so that a process can begin while
// the store is down (Client.ReadCopy), and ask it only for what has changed since
// (Client.CatchUp). A copy is a text file:
//
//	ovloom copy 1 REVISION
//	KEY VALUE            as in the store, ordered by key
//	...
//	end CRC32C           of everything before this line, hexadecimal
//
// It is replaced as a whole, so that a crash leaves the old one or the new one.
//
// # Which store answers
//
// A Client asks its Source whether the etcd that answers is the store to follow. Package
// cluster is one.
package kv
