// Package process manages ovloomd as a process: it bounds its memory, notifies systemd when
// it is ready, and replaces the process by a new ovloomd.
package process

import (
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// A host of a large network needs the most memory while it compares everything with its
// switch, for a second or two. The garbage collector would by itself let as much garbage
// come together as is alive at that time. Up to memorySoft it may, for a small host pays
// nothing for that; beyond, garbage is held to a part of what is alive.
const (
	memorySoft    = 144 << 20 // bytes of all that Go has taken
	memoryGarbage = 3         // what is alive may have a third of that in garbage beside it
)

// heldMemory is what the collector is told with each collection.
type heldMemory struct{ set func(limit int64) }

// HoldMemory adapts the garbage collector's limit to the live heap after each collection. It
// does nothing if GOMEMLIMIT is set.
func HoldMemory() {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	h := &heldMemory{set: func(limit int64) { debug.SetMemoryLimit(limit) }}
	h.adapt()
}

// adapt sets the limit, and comes again after the next collection. A limit that does not
// grow with what is alive would have the collector run all the time.
func (h *heldMemory) adapt() {
	h.set(memoryLimit(memoryNow()))
	mark := new([64]byte) // is not used, so it goes with the next collection
	runtime.AddCleanup(mark, func(h *heldMemory) { h.adapt() }, h)
}

// memoryNow returns how many bytes were alive after the last collection, and how many Go
// has taken for all but the heap.
func memoryNow() (live, beside uint64) {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/unused:bytes"}, {Name: "/memory/classes/heap/free:bytes"}}
	metrics.Read(s)
	n := func(i int) uint64 { return s[i].Value.Uint64() }
	return n(0), n(1) - min(n(1), n(2)+n(3)+n(4)+n(5))
}

// memoryLimit returns the limit for what is alive.
func memoryLimit(live, beside uint64) int64 {
	return int64(min(max(memorySoft, live+live/memoryGarbage+beside), math.MaxInt64))
}
