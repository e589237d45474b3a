package loop

import (
	"sync"
	"time"
)

// State is how something stands that a loop keeps, such as a connection: whether it works,
// since when, and why not. Its zero value says that it is not known yet. It may be used from
// several goroutines.
type State struct {
	mu sync.Mutex
	// Guarded by mu.
	works bool
	since time.Time
	err   error
}

// Set says how it stands now.
func (s *State) Set(works bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.works != works || s.since.IsZero() {
		s.since = time.Now()
	}
	s.works, s.err = works, err
}

// Get returns how it stands. A zero since says that Set was not called yet.
func (s *State) Get() (works bool, since time.Time, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.works, s.since, s.err
}

// Err returns what Set was told last.
func (s *State) Err() error {
	_, _, err := s.Get()
	return err
}
