package kv

import "strings"

// stringsBlock is how many bytes strings share, at least.
const stringsBlock = 1 << 15

// Strings makes strings that share memory: thousands of small ones would cost more than what
// is in them. Its zero value is ready. Each string keeps the memory of its neighbours.
type Strings struct{ text strings.Builder }

// Add returns a string with some text.
func (s *Strings) Add(b []byte) string {
	if s.text.Cap()-s.text.Len() < len(b) {
		s.text.Reset() // what was returned keeps the memory
		s.text.Grow(max(stringsBlock, len(b)))
	}
	at := s.text.Len()
	s.text.Write(b)
	return s.text.String()[at:]
}
