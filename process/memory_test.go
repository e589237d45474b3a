package process

import (
	"runtime"
	"testing"
	"time"
)

func TestMemoryLimit(t *testing.T) {
	for _, test := range []struct {
		live, beside uint64
		want         int64
	}{
		{0, 0, memorySoft},
		{20 << 20, 5 << 20, memorySoft},
		{300 << 20, 10 << 20, 410 << 20}, // a third of what is alive beside it
		{3 << 30, 100 << 20, 4<<30 + 100<<20},
	} {
		if got := memoryLimit(test.live, test.beside); got != test.want {
			t.Errorf("with %d bytes alive and %d beside the limit is %d, want %d", test.live, test.beside, got, test.want)
		}
	}
}

// The limit must follow what is alive, or the collector would run all the time.
func TestMemoryLimitFollows(t *testing.T) {
	told := make(chan int64, 1000)
	h := &heldMemory{set: func(limit int64) { told <- limit }}
	h.adapt()
	if first := <-told; first < memorySoft {
		t.Fatalf("the limit is %d at first", first)
	}
	big := make([]byte, 4*memorySoft)
	deadline := time.After(30 * time.Second)
	for higher := false; !higher; {
		runtime.GC()
		select {
		case limit := <-told:
			higher = limit > int64(len(big))
		case <-deadline:
			t.Fatal("the limit stays below what is alive")
		}
	}
	runtime.KeepAlive(big)
}
