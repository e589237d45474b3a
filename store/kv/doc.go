// Package kv reads, changes and watches keys of etcd. It knows no object: to it, a value is
// JSON with a schema version.
//
// # Transactions
//
// A Txn is a list of conditions and of writes. Client.Update rebuilds it until nothing that
// it was built on changed before the commit. Besides its own conditions, each transaction
// demands that the store is the verified one (NameKey).
//
// # Watches
//
// Client.Watch loads all watched keys and then delivers every change, in the order of
// revisions. Watches continue from their revision when the store comes back, and load all
// keys again when the revision was compacted away, or when the store was restored.
//
// # Copies on disk
//
// A Keeper keeps a copy on disk of what a watch delivers, so that a process can start while
// the store is down (Client.ReadCopy), and ask the store only for the changes since
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
// cluster implements one.
package kv
