package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sys/unix"

	"github.com/ovloom/ovloom/intent"
)

// A member whose disk fails or whose data is damaged must not end the process that drives
// a switch. etcd would end the process; here only the member ends, and the process goes on
// from its copies.

// faults reports the end of the member.
type faults struct {
	once   sync.Once
	failed chan struct{} // closed at the first failure
	err    error         // why; set before failed is closed
}

func newFaults() *faults { return &faults{failed: make(chan struct{})} }

func (f *faults) fail(err error) {
	f.once.Do(func() {
		f.err = err
		close(f.failed)
	})
}

// OnWrite implements zapcore.CheckWriteHook: it replaces the end of the process after an
// entry that etcd logs as fatal. Only the goroutine that logged it ends.
func (f *faults) OnWrite(ce *zapcore.CheckedEntry, fields []zapcore.Field) {
	err := errors.New(ce.Message)
	for _, field := range fields {
		if cause, ok := field.Interface.(error); ok && field.Type == zapcore.ErrorType {
			err = fmt.Errorf("%s: %w", ce.Message, cause)
		}
	}
	f.fail(err)
	runtime.Goexit()
}

// logger returns etcd's logger, whose fatal entries end the member by f.
func (f *faults) logger(l *zap.Logger) *zap.Logger {
	return l.WithOptions(zap.WithFatalHook(f), zap.WithPanicHook(f))
}

// guarded runs do, which may panic or end its goroutine by f.
func guarded[T any](ctx context.Context, f *faults, do func() (T, error)) (T, error) {
	type result struct {
		v   T
		err error
	}
	done := make(chan result, 1)
	go func() {
		r := result{err: errors.New("it ended while it started")}
		defer func() {
			if p := recover(); p != nil {
				r.err = fmt.Errorf("panic: %v", p)
			}
			select {
			case <-f.failed:
				r.err = f.err
			default:
			}
			done <- r
		}()
		debug.SetPanicOnFault(true) // a mapped file may be truncated
		r.v, r.err = do()
	}()
	var none T
	select {
	case r := <-done:
		return r.v, r.err
	case <-f.failed: // in another goroutine; this one may wait for it for ever
		return none, f.err
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

// dataLockPatience is how long to wait for the member's database while a process that is
// ending has it locked.
const dataLockPatience = 10 * time.Second

// readableData reads the member's database from end to end: damage that etcd found only
// later would end the process then.
func readableData(ctx context.Context, stateDir string) error {
	file := filepath.Join(dataDir(stateDir), "member", "snap", "db")
	if _, err := os.Stat(file); err != nil {
		return nil // there is no database yet
	}
	_, err := guarded(ctx, newFaults(), func() (any, error) {
		db, err := bbolt.Open(file, 0o600, &bbolt.Options{ReadOnly: true, Timeout: dataLockPatience})
		if err != nil {
			return nil, err
		}
		defer db.Close()
		return nil, db.View(func(tx *bbolt.Tx) error {
			return tx.ForEach(func(_ []byte, b *bbolt.Bucket) error {
				sum := 0
				return b.ForEach(func(k, v []byte) error {
					for _, c := range v { // touch all pages
						sum += int(c)
					}
					sum += len(k)
					return nil
				})
			})
		})
	})
	if err != nil {
		return fmt.Errorf("read %s: %w", file, err)
	}
	return nil
}

// crashFile holds the trace of a panic in the member that could not be recovered.
func crashFile(stateDir string) string { return filepath.Join(stateDir, "etcd", "crash") }

// errCrashed means that a member ended the whole process.
var errCrashed = errors.New("it ended the process before this one")

// crashed returns why the member ended the last process, if it did. The next start tries
// again: the cause may have been repaired.
func crashed(stateDir string) error {
	b, err := os.ReadFile(crashFile(stateDir))
	if err != nil || len(b) == 0 {
		return nil
	}
	if err := os.Remove(crashFile(stateDir)); err != nil {
		return fmt.Errorf("remove the trace of a crash: %w", err)
	}
	if text := culprit(string(b)); strings.Contains(text, "go.etcd.io/") {
		first, _, _ := strings.Cut(text, "\n")
		return fmt.Errorf("%w: %s", errCrashed, first)
	}
	return nil
}

// culprit returns the part of a crash's trace about the crash itself and its goroutine:
// some traces continue with all other goroutines. Signals from outside, which request a
// dump of the goroutines or by which a supervisor ends a process, have no culprit.
func culprit(trace string) string {
	if strings.HasPrefix(trace, "SIGQUIT") || strings.HasPrefix(trace, "SIGABRT") {
		return ""
	}
	const next = "\n\ngoroutine "
	head, rest, _ := strings.Cut(trace, next)
	if stack, _, ok := strings.Cut(rest, next); ok {
		rest = stack
	}
	return head + next + rest
}

// traceCrashes has the runtime write a trace when this process crashes.
func traceCrashes(stateDir string) error {
	f, err := os.OpenFile(crashFile(stateDir), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(debug.SetCrashOutput(f, debug.CrashOptions{}), f.Close())
}

// fault returns why this process has no store, with the remedy; nil: it has one.
func (n *Node) faulty(op string) error {
	f := n.fault.Load()
	if f == nil {
		return nil
	}
	e := intent.Unavailablef("%s: %s", op, f.What)
	e.Hint, e.Err = f.Hint, f
	return e
}

// memberFailed lets the process go on without its member.
func (n *Node) memberFailed(err error) {
	f := intent.Unavailablef("this host's member of the store has failed: %w", err)
	if errors.Is(err, unix.ENOSPC) || strings.Contains(err.Error(), unix.ENOSPC.Error()) {
		f = f.WithHint("free space on the disk of %s, %d MB at least: ovloomd takes the store up again by itself; packets keep flowing", n.cfg.StateDir, wal.SegmentSizeBytes/1e6+1)
	} else {
		f = f.WithHint("see whether the disk of %s is in order: ovloomd takes the store up again by itself; if its data is damaged: ovloom store restore FILE; packets keep flowing", n.cfg.StateDir)
	}
	n.withoutStore(f)
}

// withoutStore records that this process has no store, and why.
func (n *Node) withoutStore(f *intent.Error) {
	if n.fault.CompareAndSwap(nil, f) {
		close(n.faulted)
		n.log.Error("store unavailable; running from the cached copies", "error", f.What, "hint", f.Hint)
	}
}

// watchMember stops the member's service when the member fails, so that other hosts
// notice.
func (n *Node) watchMember(f *faults) {
	select {
	case <-f.failed:
		n.memberFailed(f.err)
		n.stopServer() // as far as it can
	case <-n.closed.Done():
	}
}
