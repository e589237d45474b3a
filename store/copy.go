package store

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ovloom/ovloom/intent"
)

// Copies on disk of what a host follows, so that it can start while the store is
// down. A copy is a text file:
//
//	ovloom copy 1 REVISION
//	KEY VALUE            as in the store, ordered by key
//	...
//	end CRC32C           of everything before this line, hexadecimal
//
// and is replaced as a whole, so that a crash leaves the old one or the new one.

const (
	copyHead = "ovloom copy 1 "
	copyEnd  = "end "
	copyTemp = ".copy-" // starts the name of one that is being written

	copyDelay    = time.Second
	copyDelayMax = 10 * time.Second
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func spanDir(stateDir string) string { return filepath.Join(stateDir, "span") }
func spanCopy(stateDir, tenant string) string {
	return filepath.Join(spanDir(stateDir), tenant+".copy")
}
func hostsCopy(stateDir string) string     { return filepath.Join(stateDir, "hosts.copy") }
func externalsCopy(stateDir string) string { return filepath.Join(stateDir, "externals.copy") }

// Copy returns the copy on disk of a tenant that was watched. A copy that is
// damaged counts as absent.
func (s *Store) Copy(tenant string) (intent.Snapshot, bool) {
	if _, err := intent.ParseTenant(tenant); err != nil {
		return intent.Snapshot{}, false
	}
	all, revision, ok := s.readCopy(spanCopy(s.cfg.StateDir, tenant))
	if !ok {
		return intent.Snapshot{}, false
	}
	snap, bad := snapshotOf(all, revision)
	s.complain(bad)
	return snap, snap.Tenant.Name == tenant
}

// CopiedTenants returns the names of the tenants of which there are copies on disk.
func (s *Store) CopiedTenants() []string {
	entries, err := os.ReadDir(spanDir(s.cfg.StateDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Warn("copies of tenants cannot be listed", "err", err)
	}
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".copy"); ok {
			names = append(names, name)
		}
	}
	return names
}

// CopiedHosts returns the copy on disk of the list of hosts.
func (s *Store) CopiedHosts() (intent.HostsUpdate, bool) {
	hosts, revision, ok := copiedList[intent.Host](s, hostsCopy(s.cfg.StateDir))
	return intent.HostsUpdate{Revision: revision, Hosts: hosts}, ok
}

// CopiedExternals returns the copy on disk of the list of externals.
func (s *Store) CopiedExternals() (intent.ExternalsUpdate, bool) {
	externals, revision, ok := copiedList[intent.External](s, externalsCopy(s.cfg.StateDir))
	return intent.ExternalsUpdate{Revision: revision, Externals: externals}, ok
}

// copiedList reads what watchList has kept.
func copiedList[T any](s *Store, path string) (list []T, revision int64, ok bool) {
	all, revision, ok := s.readCopy(path)
	for _, it := range all {
		o, err := objectOf[T](it)
		if err != nil {
			s.complain([]error{err})
			continue
		}
		list = append(list, o)
	}
	return list, revision, ok
}

// DropCopy deletes the copy of a tenant that the host has nothing of any more.
// Its WatchTenant must have returned.
func (s *Store) DropCopy(tenant string) error {
	if _, err := intent.ParseTenant(tenant); err != nil {
		return err
	}
	return removeFile(spanCopy(s.cfg.StateDir, tenant))
}

// sweepCopies removes what a crash has left half written.
func sweepCopies(stateDir string) error {
	for _, path := range []string{hostsCopy(stateDir), spanCopy(stateDir, "x")} {
		left, err := filepath.Glob(filepath.Join(filepath.Dir(path), copyTemp+"*"))
		if err != nil {
			return fmt.Errorf("sweep copies: %w", err)
		}
		for _, f := range left {
			if err := removeFile(f); err != nil {
				return err
			}
		}
	}
	return nil
}

func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete copy: %w", err)
	}
	return nil
}

func (s *Store) readCopy(path string) ([]item, int64, bool) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, false
	}
	if err == nil {
		all, revision, err := parseCopy(text)
		if err == nil {
			return all, revision, true
		}
		s.log.Warn("copy on disk ignored: it is damaged", "path", path, "err", err)
		return nil, 0, false
	}
	s.log.Warn("copy on disk ignored: it cannot be read", "path", path, "err", err)
	return nil, 0, false
}

// parseCopy reads a copy and checks that it is whole. The values are parts of it.
func parseCopy(text []byte) (all []item, revision int64, err error) {
	begun, rest := 0, text // the current line, and what is after it
	var keys quick
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
			all = make([]item, 0, bytes.Count(rest, []byte("\n")))
			continue
		}
		k, value, ok := bytes.Cut(line, []byte(" "))
		if !ok {
			return nil, 0, fmt.Errorf("line %d: no value", n+1)
		}
		all = append(all, item{key: keys.string(k), value: value})
	}
}

// copyLines reads a copy line by line, and ends with an error if it is not whole. An item
// is valid until the next one is asked for.
func copyLines(r io.Reader) iter.Seq2[item, error] {
	return func(yield func(item, error) bool) {
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
					yield(item{}, fmt.Errorf("line %d: cut short: %w", n+1, io.ErrUnexpectedEOF))
					return
				}
			}
			text := line[:len(line)-1]
			if end, ok := bytes.CutPrefix(text, []byte(copyEnd)); ok && n > 0 {
				if want := fmt.Sprintf("%08x", sum.Sum32()); string(end) != want {
					yield(item{}, fmt.Errorf("checksum is %s, want %s", want, end))
				}
				return
			}
			_, _ = sum.Write(line) // a hash never fails
			if n == 0 {
				num, ok := strings.CutPrefix(string(text), copyHead)
				if _, err := strconv.ParseInt(num, 10, 64); !ok || err != nil {
					yield(item{}, fmt.Errorf("line 1: %q is not the head of a copy", text))
					return
				}
				continue
			}
			k, value, ok := bytes.Cut(text, []byte(" "))
			if !ok {
				yield(item{}, fmt.Errorf("line %d: no value", n+1))
				return
			}
			if !yield(item{key: string(k), value: value}, nil) {
				return
			}
		}
	}
}

// changeCopy brings the file at path up to date without reading it as a whole. It returns
// false if the file is damaged or absent; then nothing is changed.
func (s *Store) changeCopy(path string, changes map[string]event, revision int64) (bool, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read copy: %w", err)
	}
	defer f.Close()
	var damaged error
	err = writeCopy(path, merged(func(yield func(item) bool) {
		for it, err := range copyLines(f) {
			if damaged = err; err != nil || !yield(it) {
				return
			}
		}
	}, changes), revision, func() error { return damaged })
	if damaged != nil {
		s.log.Warn("copy on disk ignored: it cannot be read", "path", path, "err", damaged)
		return false, nil
	}
	return err == nil, err
}

// writeCopy replaces the file at path by a copy of all, which is ordered by key, unless
// whole, which is asked after the last item, returns an error.
func writeCopy(path string, all iter.Seq[item], revision int64, whole func() error) (err error) {
	if err := privateDir(filepath.Dir(path)); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), copyTemp+"*")
	if err != nil {
		return fmt.Errorf("write copy: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("write copy: %w", err), f.Close(), removeFile(f.Name()))
		}
	}()
	sum := crc32.New(castagnoli)
	out := bufio.NewWriterSize(io.MultiWriter(f, sum), 1<<16)
	fmt.Fprintf(out, "%s%d\n", copyHead, revision)
	for it := range all {
		// A failure is remembered and shows with Flush.
		_, _ = out.WriteString(it.key)
		_ = out.WriteByte(' ')
		_, _ = out.Write(it.value)
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

// writeAll is writeCopy for a list.
func writeAll(path string, all []item, revision int64) error {
	return writeCopy(path, slices.Values(all), revision, func() error { return nil })
}

// keeper keeps one copy up to date, behind the back of the watch that feeds it.
// Between two writes it holds only what changed, not the whole.
type keeper struct {
	// Set by keeper.
	s      *Store
	path   string
	prefix string // what it is a copy of
	wake   chan struct{}
	done   chan struct{}

	mu sync.Mutex
	// Guarded by mu.
	closed   bool
	gone     bool             // the copy is to be deleted
	whole    []item           // the copy is to be this, with changes
	loaded   bool             // whole is set
	changes  map[string]event // by key, since the last write
	revision int64
}

func (s *Store) keeper(path, prefix string) *keeper {
	k := &keeper{s: s, path: path, prefix: prefix, wake: make(chan struct{}, 1), done: make(chan struct{}), changes: map[string]event{}}
	go k.run()
	return k
}

// replace says what there is now.
func (k *keeper) replace(all []item, revision int64) {
	k.update(func() {
		k.whole, k.loaded, k.gone, k.revision = all, true, false, revision
		clear(k.changes)
	})
}

// change says what has changed since.
func (k *keeper) change(events []event, revision int64) {
	k.update(func() {
		for _, e := range events {
			k.changes[e.key] = e
		}
		k.revision = revision
	})
}

// drop says that there is nothing any more.
func (k *keeper) drop() {
	k.update(func() {
		k.whole, k.loaded, k.gone = nil, false, true
		clear(k.changes)
	})
}

// close writes what is not written yet.
func (k *keeper) close() {
	k.update(func() { k.closed = true })
	<-k.done
}

func (k *keeper) update(set func()) {
	k.mu.Lock()
	set()
	k.mu.Unlock()
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// run writes the copy after changes: at once when all of it is new, else with a
// delay, so that many changes are one write. A large copy, which takes long to
// write, is written less often: for at most a twentieth of the time.
func (k *keeper) run() {
	defer close(k.done)
	delay := k.s.delay
	for range k.wake {
		if !k.urgent() {
			k.wait(delay)
		}
		began := time.Now()
		end, err := k.write()
		if err != nil {
			k.s.log.Warn("copy on disk not written", "path", k.path, "err", err)
		}
		if end {
			return
		}
		delay = min(max(k.s.delay, 20*time.Since(began)), copyDelayMax)
	}
}

// urgent says whether the next write cannot wait.
func (k *keeper) urgent() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.closed || k.loaded || k.gone
}

// wait waits until the delay is over or a write is urgent.
func (k *keeper) wait(delay time.Duration) {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return
		case <-k.wake:
			if k.urgent() {
				return
			}
		}
	}
}

// write brings the file up to date, and says whether it was the last time.
func (k *keeper) write() (end bool, err error) {
	k.mu.Lock()
	whole, loaded, gone, changes, revision := k.whole, k.loaded, k.gone, k.changes, k.revision
	k.whole, k.loaded, k.gone, k.changes = nil, false, false, map[string]event{}
	end = k.closed
	k.mu.Unlock()
	switch {
	case gone:
		return end, removeFile(k.path)
	case !loaded && len(changes) == 0:
		return end, nil
	}
	if !loaded {
		ok, err := k.s.changeCopy(k.path, changes, revision)
		if ok || err != nil {
			return end, err
		}
		// Somebody has damaged or deleted it: make it anew.
		if whole, revision, err = k.s.list(k.s.closed, "copy to disk", k.prefix); err != nil {
			return end, err
		}
		changes = nil
	}
	return end, writeAll(k.path, merge(whole, changes), revision)
}

// merge applies changes to items that are ordered by key.
func merge(whole []item, changes map[string]event) []item {
	if len(changes) == 0 {
		return whole
	}
	out := make([]item, 0, len(whole)+len(changes))
	return slices.AppendSeq(out, merged(slices.Values(whole), changes))
}

// merged is merge for items one after the other.
func merged(whole iter.Seq[item], changes map[string]event) iter.Seq[item] {
	return func(yield func(item) bool) {
		keys := slices.Sorted(maps.Keys(changes))
		put := func(e event) bool { return e.deleted || yield(e.item) }
		for it := range whole {
			replaced := false
			for len(keys) > 0 && keys[0] <= it.key {
				replaced = keys[0] == it.key
				if !put(changes[keys[0]]) {
					return
				}
				keys = keys[1:]
			}
			if !replaced && !yield(it) {
				return
			}
		}
		for _, k := range keys {
			if !put(changes[k]) {
				return
			}
		}
	}
}
