package kv

import "strings"

// stringsBlock is the least number of bytes that strings share.
const stringsBlock = 1 << 15

// Strings makes strings that share memory: thousands of small strings would cost more than
// their contents. Its zero value is ready to use. Each string keeps its neighbours' memory
// alive.
type Strings struct{ text strings.Builder }

// Add returns text as a string.
func (s *Strings) Add(b []byte) string {
	if s.text.Cap()-s.text.Len() < len(b) {
		s.text.Reset() // strings returned earlier keep the memory
		s.text.Grow(max(stringsBlock, len(b)))
	}
	at := s.text.Len()
	s.text.Write(b)
	return s.text.String()[at:]
}
