package kv

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ovloom/ovloom/durable"
)

const (
	copyHead = "ovloom copy 1 "
	copyEnd  = "end "
	copyTemp = ".copy-" // prefix of the name of a copy being written

	copyDelay    = time.Second
	copyDelayMax = 10 * time.Second
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// RemoveCopy deletes the copy at path, if there is one.
func RemoveCopy(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete copy: %w", err)
	}
	return nil
}

// SweepCopies removes files from folders of copies that a crash has left half written.
func SweepCopies(dirs ...string) error {
	for _, dir := range dirs {
		left, err := filepath.Glob(filepath.Join(dir, copyTemp+"*"))
		if err != nil {
			return fmt.Errorf("sweep copies: %w", err)
		}
		for _, f := range left {
			if err := RemoveCopy(f); err != nil {
				return err
			}
		}
	}
	return nil
}

// CopiedRevision returns the revision of the copy at path; 0: there is none. It does not
// check whether the copy is intact.
func CopiedRevision(path string) int64 {
	f, err := os.Open(path)
	if err != nil {
		return 0
	}
	defer f.Close()
	var revision int64
	if _, err := fmt.Fscanf(f, copyHead+"%d", &revision); err != nil {
		return 0
	}
	return revision
}

// ReadCopy reads the copy at path. False: there is none. A damaged copy is logged and
// counts as absent. The values share memory.
func (c *Client) ReadCopy(path string) ([]Item, int64, bool) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, false
	}
	if err == nil {
		all, revision, err := parseCopy(text)
		if err == nil {
			return all, revision, true
		}
		c.log.Warn("cached copy ignored: it is damaged", "path", path, "error", err)
		return nil, 0, false
	}
	c.log.Warn("cached copy ignored: it cannot be read", "path", path, "error", err)
	return nil, 0, false
}

// parseCopy parses a copy and checks that it is intact. The values are parts of it.
func parseCopy(text []byte) (all []Item, revision int64, err error) {
	begun, rest := 0, text // the current line, and what is after it
	var keys Strings
	for n := 0; ; n++ {
		length := bytes.IndexByte(rest, '\n')
		if length < 0 {
			return nil, 0, fmt.Errorf("line %d: cut short: %w", n+1, io.ErrUnexpectedEOF)
		}
		line := rest[:length:length]
		rest = rest[length+1:]
		if end, ok := bytes.CutPrefix(line, []byte(copyEnd)); ok && n > 0 {
			if want := fmt.Sprintf("%08x", crc32.Checksum(text[:begun], castagnoli)); string(end) != want {
				return nil, 0, fmt.Errorf("checksum is %s, want %s", want, end)
			}
			return all, revision, nil
		}
		begun += length + 1
		if n == 0 {
			num, ok := strings.CutPrefix(string(line), copyHead)
			if revision, err = strconv.ParseInt(num, 10, 64); !ok || err != nil {
				return nil, 0, fmt.Errorf("line 1: %q is not the head of a copy", line)
			}
			all = make([]Item, 0, bytes.Count(rest, []byte("\n")))
			continue
		}
		k, value, ok := bytes.Cut(line, []byte(" "))
		if !ok {
			return nil, 0, fmt.Errorf("line %d: no value", n+1)
		}
		all = append(all, Item{Key: keys.Add(k), Value: value})
	}
}

// copyLines reads a copy line by line, and ends with an error if the copy is not intact.
// An item is valid until the next one is requested.
func copyLines(r io.Reader) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		in := bufio.NewReaderSize(r, 1<<16)
		sum := crc32.New(castagnoli)
		var line []byte
		for n := 0; ; n++ {
			line = line[:0]
			for {
				part, err := in.ReadSlice('\n')
				line = append(line, part...)
				if err == nil {
					break
				}
				if !errors.Is(err, bufio.ErrBufferFull) {
					yield(Item{}, fmt.Errorf("line %d: cut short: %w", n+1, io.ErrUnexpectedEOF))
					return
				}
			}
			text := line[:len(line)-1]
			if end, ok := bytes.CutPrefix(text, []byte(copyEnd)); ok && n > 0 {
				if want := fmt.Sprintf("%08x", sum.Sum32()); string(end) != want {
					yield(Item{}, fmt.Errorf("checksum is %s, want %s", want, end))
				}
				return
			}
			_, _ = sum.Write(line) // a hash never fails
			if n == 0 {
				num, ok := strings.CutPrefix(string(text), copyHead)
				if _, err := strconv.ParseInt(num, 10, 64); !ok || err != nil {
					yield(Item{}, fmt.Errorf("line 1: %q is not the head of a copy", text))
					return
				}
				continue
			}
			k, value, ok := bytes.Cut(text, []byte(" "))
			if !ok {
				yield(Item{}, fmt.Errorf("line %d: no value", n+1))
				return
			}
			if !yield(Item{Key: string(k), Value: value}, nil) {
				return
			}
		}
	}
}

// changeCopy updates the file at path without holding all of it in memory. It returns
// false if the file is damaged or absent, and then changes nothing.
func (c *Client) changeCopy(path string, changes map[string]Event, revision int64) (bool, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read copy: %w", err)
	}
	defer f.Close()
	var damaged error
	err = replaceCopy(path, merged(func(yield func(Item) bool) {
		for it, err := range copyLines(f) {
			if damaged = err; err != nil || !yield(it) {
				return
			}
		}
	}, changes), revision, func() error { return damaged })
	if damaged != nil {
		c.log.Warn("cached copy ignored: it cannot be read", "path", path, "error", damaged)
		return false, nil
	}
	return err == nil, err
}

// replaceCopy replaces the file at path by a copy of all, ordered by key, unless whole,
// which is called after the last item, returns an error.
func replaceCopy(path string, all iter.Seq[Item], revision int64, whole func() error) (err error) {
	if err := durable.PrivateDir(filepath.Dir(path)); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), copyTemp+"*")
	if err != nil {
		return fmt.Errorf("write copy: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("write copy: %w", err), f.Close(), RemoveCopy(f.Name()))
		}
	}()
	sum := crc32.New(castagnoli)
	out := bufio.NewWriterSize(io.MultiWriter(f, sum), 1<<16)
	fmt.Fprintf(out, "%s%d\n", copyHead, revision)
	for it := range all {
		// An error is remembered until Flush returns it.
		_, _ = out.WriteString(it.Key)
		_ = out.WriteByte(' ')
		_, _ = out.Write(it.Value)
		_ = out.WriteByte('\n')
	}
	if err := whole(); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(f, "%s%08x\n", copyEnd, sum.Sum32()); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// WriteCopy replaces the file at path by a copy of all, ordered by key, at a revision.
func WriteCopy(path string, all []Item, revision int64) error {
	return replaceCopy(path, slices.Values(all), revision, func() error { return nil })
}
