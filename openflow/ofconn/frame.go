package ofconn

import (
	"fmt"
	"io"

	"github.com/ovloom/ovloom/openflow/ofp"
)

// This file cuts a stream into messages.

// readSize is how much is read at once; a dump comes in messages of almost 64 kB.
const readSize = 256 << 10

// framer reads messages from a stream. After a timeout of the reader, next can be
// called again.
type framer struct {
	r   io.Reader
	buf []byte
	// Unread is buf[from:to].
	from, to int
}

func newFramer(r io.Reader) *framer {
	return &framer{r: r, buf: make([]byte, readSize)}
}

// next returns the next message. Its body is valid until next is called again.
func (f *framer) next() (h ofp.Header, body []byte, err error) {
	for {
		if unread := f.buf[f.from:f.to]; len(unread) >= ofp.HeaderLen {
			if h, err = ofp.DecodeHeader(unread); err != nil {
				return h, nil, err
			}
			if int(h.Length) <= len(unread) {
				f.from += int(h.Length)
				return h, unread[ofp.HeaderLen:h.Length], nil
			}
		}
		if err := f.fill(); err != nil {
			return ofp.Header{}, nil, err
		}
	}
}

// fill reads at least one byte more.
func (f *framer) fill() error {
	if len(f.buf)-f.from <= ofp.MaxLen || f.from == f.to {
		f.to = copy(f.buf, f.buf[f.from:f.to])
		f.from = 0
	}
	n, err := f.r.Read(f.buf[f.to:])
	f.to += n
	if n > 0 {
		return nil // an error comes again with the next read
	}
	if err == io.EOF && f.to > f.from {
		return fmt.Errorf("the stream ends within a message: %w", io.ErrUnexpectedEOF)
	}
	if err == nil {
		return io.ErrNoProgress
	}
	return err
}
