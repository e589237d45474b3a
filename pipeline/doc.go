// Package pipeline turns intent into flows. Its functions are pure: a view of an
// object in, the object's flows out, so that an incremental change and a full
// recompute give the same tables.
//
// The tables, in packet order:
//
//	(generated)
//
// A table is a struct that declares what its flows may read, write and lead to,
// and a few functions that add the flows of one object. To change what happens
// to a packet, find the table above; to see which flows an object has, start at
// compile.go.
package pipeline
