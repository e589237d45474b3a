// Package repair records what ovloomd put back: changes to ovloom's own things by
// another program or a person. The repairing code records each repair here, once; the
// log and `ovloom status` show it.
package repair

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// Kept is how many entries a Log keeps.
const Kept = 100

// Entry is a repair, made once or several times.
type Entry struct {
	At     time.Time // the last time
	First  time.Time
	What   string // constant for one kind of repair: "flows changed by another program"
	Count  int    // how many things, the last time; 0: not counted
	Times  int    // how often it was made
	Detail string // exactly what, the last time
}

// Log keeps the newest repairs in memory. Its zero value works; so does a nil Log,
// which discards them. It may be used from several goroutines.
type Log struct {
	// Logger logs each repair; nil: no logging. Set before first use.
	Logger *slog.Logger

	mu sync.Mutex
	// Guarded by mu: the newest last.
	entries []Entry
}

// Put records a repair: what kind of thing, how many (0: not counted) and what exactly.
// A repair of the same kind and detail as an earlier one increments it instead of
// filling the list.
func (l *Log) Put(what string, count int, detail string) {
	if l == nil {
		return
	}
	if l.Logger != nil {
		attrs := []slog.Attr{slog.String("what", what)}
		if count > 0 {
			attrs = append(attrs, slog.Int("count", count))
		}
		if detail != "" {
			attrs = append(attrs, slog.String("detail", detail))
		}
		l.Logger.LogAttrs(context.Background(), slog.LevelWarn, "put back", attrs...)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	e := Entry{At: time.Now(), What: what, Count: count, Times: 1, Detail: detail}
	e.First = e.At
	same := func(o Entry) bool { return o.What == what && o.Detail == detail }
	if i := slices.IndexFunc(l.entries, same); i >= 0 {
		e.First, e.Times = l.entries[i].First, l.entries[i].Times+1
		l.entries = slices.Delete(l.entries, i, i+1)
	}
	l.entries = append(l.entries, e)
	if n := len(l.entries) - Kept; n > 0 {
		l.entries = slices.Delete(l.entries, 0, n)
	}
}

// Entries returns the recorded repairs, newest first.
func (l *Log) Entries() []Entry {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	list := slices.Clone(l.entries)
	slices.Reverse(list)
	return list
}
