package loop

import (
	"sync"
	"time"
)

// State is the state of something that a loop keeps, such as a connection: whether it works,
// since when, and if not, why. Its zero value means unknown. Its methods may be called from
// several goroutines.
type State struct {
	mu sync.Mutex
	// Guarded by mu.
	works bool
	since time.Time
	err   error
}

// Set sets the state.
func (s *State) Set(works bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.works != works || s.since.IsZero() {
		s.since = time.Now()
	}
	s.works, s.err = works, err
}

// Get returns the state. since is zero before the first Set.
func (s *State) Get() (works bool, since time.Time, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.works, s.since, s.err
}

// Err returns the error of the last Set.
func (s *State) Err() error {
	_, _, err := s.Get()
	return err
}
