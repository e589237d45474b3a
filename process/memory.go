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
// switch, for a second or two. By default the garbage collector lets as much garbage
// accumulate as there is live data at that time. Up to memorySoft it may, because a small
// host pays nothing for that; above, garbage is limited to a fraction of the live data.
const (
	memorySoft    = 144 << 20 // bytes of all memory that Go has taken
	memoryGarbage = 3         // the limit leaves a third of the live bytes for garbage
)

// heldMemory sets the collector's limit after each collection.
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

// adapt sets the limit, and runs again after the next collection. A limit that does not
// grow with the live data would keep the collector running all the time.
func (h *heldMemory) adapt() {
	h.set(memoryLimit(memoryNow()))
	mark := new([64]byte) // unused, so the next collection frees it
	runtime.AddCleanup(mark, func(h *heldMemory) { h.adapt() }, h)
}

// memoryNow returns how many bytes were live after the last collection, and how many Go
// has taken for everything but the heap.
func memoryNow() (live, beside uint64) {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/unused:bytes"}, {Name: "/memory/classes/heap/free:bytes"}}
	metrics.Read(s)
	n := func(i int) uint64 { return s[i].Value.Uint64() }
	return n(0), n(1) - min(n(1), n(2)+n(3)+n(4)+n(5))
}

// memoryLimit returns the limit for the live bytes.
func memoryLimit(live, beside uint64) int64 {
	return int64(min(max(memorySoft, live+live/memoryGarbage+beside), math.MaxInt64))
}
