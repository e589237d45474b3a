package world

import (
	"cmp"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"slices"
	"sync"

	"github.com/ovloom/ovloom/pipeline"
)

// The store's values are checked when they are read, but a valid value may still make
// the code that compiles flows panic. Such an object is left out alone: its flows in
// the switch stay as they are, and all other objects work.

// LeftOut is an object without flows, or without new ones, on this host.
type LeftOut struct {
	Object string // "port acme/web/c1"
	Why    string
	Do     string
}

// faults are the objects whose views or flows panicked. It may be used by several
// goroutines, because flows are compiled in parallel.
type faults struct {
	log *slog.Logger // nil: no logging

	mu     sync.Mutex
	facts  map[string]fault  // facts that could not be applied, by object
	views  map[string]fault  // views that could not be computed
	flows  map[string]fault  // flows, groups or meters that could not be compiled
	logged map[string]string // why, by object: each is logged once
	news   bool              // the switch's contents are uncertain: compare everything
}

// fault is why an object is left out.
type fault struct {
	why    string
	cookie pipeline.Cookie // of the flows that stay as they are; 0: none
}

func newFaults(log *slog.Logger) *faults {
	return &faults{log: log, facts: map[string]fault{}, views: map[string]fault{}, flows: map[string]fault{}, logged: map[string]string{}}
}

// note adds a fault to one of the lists; recovered is the value from recover.
func (f *faults) note(list map[string]fault, object string, cookie pipeline.Cookie, recovered any) {
	now := fault{fmt.Sprint(recovered), cookie}
	stack := debug.Stack()
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, known := list[object]; !known && cookie != 0 {
		f.news = true
	}
	list[object] = now
	if f.logged[object] == now.why {
		return
	}
	f.logged[object] = now.why
	if f.log != nil {
		f.log.Error("object left out: its flows cannot be made", "object", object, "error", now.why, "stack", string(stack))
	}
}

// forget takes an object off a list.
func (f *faults) forget(list map[string]fault, object string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(list, object)
}

// broken reports whether compiling an object's view fails.
func (f *faults) broken(o object) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.flows) == 0 {
		return false
	}
	_, is := f.flows[o.name()]
	return is
}

// changed says that the view of an object has been replaced. What the switch has of an
// object that was left out is known only after a comparison.
func (f *faults) changed(object string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, list := range []map[string]fault{f.views, f.flows} {
		if was, ok := list[object]; ok {
			delete(list, object)
			f.news = f.news || was.cookie != 0
		}
	}
}

// any reports whether anything is left out.
func (f *faults) any() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.facts)+len(f.views)+len(f.flows) > 0
}

// startOver forgets which views failed to compile: everything is compiled anew.
func (f *faults) startOver() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.flows)
}

// settled says that everything wanted has been compiled for a comparison.
func (f *faults) settled() { f.takeNews() }

// takeNews reports, once, whether everything has to be compared.
func (f *faults) takeNews() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	news := f.news
	f.news = false
	return news
}

// stay returns the cookies of flows that stay as they are; nil: none.
func (f *faults) stay() map[pipeline.Cookie]bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	var stay map[pipeline.Cookie]bool
	for _, list := range []map[string]fault{f.views, f.flows} {
		for _, one := range list {
			if one.cookie != 0 {
				if stay == nil {
					stay = map[pipeline.Cookie]bool{}
				}
				stay[one.cookie] = true
			}
		}
	}
	return stay
}

// list returns all that is left out, by name.
func (f *faults) list() []LeftOut {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := map[string]fault{}
	for _, list := range []map[string]fault{f.facts, f.views, f.flows} {
		maps.Copy(all, list)
	}
	var left []LeftOut
	for object, one := range all {
		left = append(left, LeftOut{Object: object, Why: "ovloomd cannot make flows of it: " + one.why,
			Do: "delete it or write it anew, and report this with the log of ovloomd; its flows stay as they are"})
	}
	slices.SortFunc(left, func(a, b LeftOut) int { return cmp.Compare(a.Object, b.Object) })
	return left
}

// LeftOut returns the objects without flows, or without new ones, on this host.
func (w *World) LeftOut() []LeftOut { return append(w.faults.list(), w.conflicting()...) }
