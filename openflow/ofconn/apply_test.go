package ofconn

import (
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/openflow/ofp"
)

// asApplyError returns err as what Apply promises.
func asApplyError(t *testing.T, err error) *ApplyError {
	t.Helper()
	var failed *ApplyError
	if !errors.As(err, &failed) {
		t.Fatalf("Apply returned %v, want an ApplyError", err)
	}
	return failed
}

// wantSteps compares what happened to bundles.
func wantSteps(t *testing.T, f *fake, want string) {
	t.Helper()
	if got := strings.Join(f.did(), ", "); got != want {
		t.Errorf("the switch saw\n%s\nwant\n%s", got, want)
	}
}

func TestApplyCommitsChunkByChunk(t *testing.T) {
	c, f := dialFake(t, Config{ChunkMods: 2}, (*fake).serve)
	if err := c.Apply(t.Context(), adds(0, 5)); err != nil {
		t.Fatal(err)
	}
	wantSteps(t, f, "open 1, add 1, add 1, close 1, "+
		"open 2, add 2, add 2, close 2, commit 1, "+
		"open 3, add 3, close 3, commit 2, commit 3")
}

func TestApplyOfNothingSendsNothing(t *testing.T) {
	c, f := dialFake(t, Config{}, (*fake).serve)
	if err := c.Apply(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	wantSteps(t, f, "")
}

func TestChunksAreBoundedInBytes(t *testing.T) {
	c, f := dialFake(t, Config{ChunkBytes: 1}, (*fake).serve)
	if err := c.Apply(t.Context(), adds(0, 2)); err != nil {
		t.Fatal(err)
	}
	wantSteps(t, f, "open 1, add 1, close 1, open 2, add 2, close 2, commit 1, commit 2")
}

func TestAChunkWithAnUnreadableMessageIsDiscarded(t *testing.T) {
	n := 0
	c, f := dialFake(t, Config{ChunkMods: 2}, func(f *fake) {
		f.handle = func(h ofp.Header, body []byte) bool {
			if h.Type == ofp.TypeBundleAdd {
				if n++; n == 4 {
					f.noteAdd(body)
					f.refuse(h.XID, 3, 2) // as Open vSwitch, which would commit all the same
					return true
				}
			}
			return false
		}
		f.serve()
	})
	mods := adds(0, 6)
	err := c.Apply(t.Context(), mods)
	failed := asApplyError(t, err)
	if failed.Committed != 5 || failed.Unsure != 0 || failed.Cause != nil ||
		len(failed.Refused) != 1 || failed.Refused[0].Mod != mods[3] {
		t.Errorf("error %+v, want 5 committed and the fourth refused", failed)
	}
	want := "openflow apply: 5 of 6 changes in force; " + mods[3].String() + ": bad instruction: invalid table (OFPBIC_BAD_TABLE_ID)"
	if err.Error() != want {
		t.Errorf("the error says\n%s\nwant\n%s", err, want)
	}
	var e *ofp.Error
	if !errors.As(err, &e) || e.Type != 3 || e.Code != 2 {
		t.Errorf("errors.As finds %+v, want the switch's error", e)
	}
	wantSteps(t, f, "open 1, add 1, add 1, close 1, "+
		"open 2, add 2, add 2, close 2, commit 1, "+
		"open 3, add 3, add 3, close 3, discard 2, commit 3, "+
		"open 4, add 4, close 4, commit 4") // what else was in the discarded one
}

func TestACommitThatFailsEndsTheWait(t *testing.T) {
	c, f := dialFake(t, Config{ChunkMods: 2}, func(f *fake) {
		f.handle = func(h ofp.Header, body []byte) bool {
			if h.Type != ofp.TypeBundleControl {
				return false
			}
			if id, step, _ := ofp.DecodeBundleControl(body); id != 2 || step != ofp.BundleCommit {
				return false
			}
			f.note(body)
			// Two errors and no reply: the second mod, which is the last of the chunk, and the commit.
			f.refuse(h.XID-xidCommit+xidMods+1, 2, 9)
			f.refuse(h.XID, 17, 13)
			return true
		}
		f.serve()
	})
	mods := adds(0, 8)
	failed := asApplyError(t, c.Apply(t.Context(), mods))
	if failed.Committed != 7 || failed.Unsure != 0 || failed.Cause != nil ||
		len(failed.Refused) != 1 || failed.Refused[0].Mod != mods[3] {
		t.Errorf("error %+v, want 7 committed and the fourth refused", failed)
	}
	if steps := f.did(); !slices.Contains(steps, "commit 3") || slices.Contains(steps, "discard 2") {
		t.Errorf("a commit that fails ends its bundle and no other: %s", strings.Join(steps, ", "))
	}
}

// At a commit the switch names only the first of those that it refuses. One that
// refuses all must not be asked for each of them.
func TestASwitchThatRefusesEveryCommit(t *testing.T) {
	c, f := dialFake(t, Config{ChunkMods: 10}, func(f *fake) {
		f.handle = func(h ofp.Header, body []byte) bool {
			if _, step, err := ofp.DecodeBundleControl(body); h.Type != ofp.TypeBundleControl || err != nil || step != ofp.BundleCommit {
				return false
			}
			f.note(body)
			f.refuse(h.XID-xidCommit+xidMods, 2, 9)
			f.refuse(h.XID, 17, 13)
			return true
		}
		f.serve()
	})
	failed := asApplyError(t, c.Apply(t.Context(), adds(0, 10)))
	if failed.Committed != 0 || len(failed.Refused) != bundleTries || failed.Cause != nil {
		t.Errorf("error %+v, want %d of 10 refused and none committed", failed, bundleTries)
	}
	if steps := f.did(); steps[len(steps)-1] != "commit 4" {
		t.Errorf("the switch saw %s, want 4 bundles", strings.Join(steps, ", "))
	}
}

func TestABundleThatCannotBeOpened(t *testing.T) {
	c, _ := dialFake(t, Config{}, func(f *fake) {
		f.handle = func(h ofp.Header, body []byte) bool {
			if _, step, err := ofp.DecodeBundleControl(body); h.Type == ofp.TypeBundleControl && err == nil && step == ofp.BundleOpen {
				f.refuse(h.XID, 17, 5)
				return true
			}
			return false
		}
		f.serve()
	})
	err := c.Apply(t.Context(), adds(0, 2))
	if want := "openflow apply: 0 of 2 changes in force: bundle failed: too many bundles (OFPBFC_OUT_OF_BUNDLES)"; err == nil || err.Error() != want {
		t.Errorf("the error says\n%v\nwant\n%s", err, want)
	}
}

// The commit of a chunk must wait for the answer to the one before, although its
// messages do not.
func TestNoCommitBeforeTheOneBeforeSucceeded(t *testing.T) {
	var early bool
	c, _ := dialFake(t, Config{ChunkMods: 1}, func(f *fake) {
		var held uint32 // xid of the first commit
		f.handle = func(h ofp.Header, body []byte) bool {
			if h.Type != ofp.TypeBundleControl {
				return false
			}
			id, step, _ := ofp.DecodeBundleControl(body)
			switch {
			case id == 1 && step == ofp.BundleCommit:
				held = h.XID
				f.note(body)
				return true
			case id == 3 && step == ofp.BundleClose && held != 0:
				// Chunks 2 and 3 are here, and the close of 2 was answered long ago. See
				// what comes while the answer to the first commit does not.
				f.good(h, body)
				f.conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
				_, _, err := f.framer.next()
				early = !errors.Is(err, os.ErrDeadlineExceeded)
				f.conn.SetReadDeadline(time.Time{})
				f.reply(ofp.TypeBundleControl, held, bundleBody(1, ofp.BundleCommitted))
				return true
			}
			return false
		}
		f.serve()
	})
	if err := c.Apply(t.Context(), adds(0, 3)); err != nil {
		t.Fatal(err)
	}
	if early {
		t.Error("a message came before the first commit was answered")
	}
}

func TestAConnectionLostWhileCommitting(t *testing.T) {
	c, _ := dialFake(t, Config{ChunkMods: 2}, func(f *fake) {
		f.handle = func(h ofp.Header, body []byte) bool {
			if id, step, err := ofp.DecodeBundleControl(body); h.Type == ofp.TypeBundleControl && err == nil && id == 2 && step == ofp.BundleCommit {
				f.conn.Close()
				return true
			}
			return false
		}
		f.serve()
	})
	failed := asApplyError(t, c.Apply(t.Context(), adds(0, 8)))
	if failed.Committed != 2 || failed.Unsure != 2 || failed.Cause == nil || len(failed.Refused) != 0 {
		t.Errorf("error %+v, want 2 committed, 2 not known, and a cause", failed)
	}
	waitDone(t, c)
	if err := c.Apply(t.Context(), adds(0, 1)); !errors.Is(err, c.Err()) {
		t.Errorf("Apply on a lost connection: %v, want %v", err, c.Err())
	}
}

func TestASilentSwitchEndsTheWait(t *testing.T) {
	const silence = 500 * time.Millisecond // the hello must come within it, too
	silent := func(f *fake) {
		f.handle = func(h ofp.Header, body []byte) bool { return h.Type != ofp.TypeEchoRequest }
		f.serve()
	}
	t.Run("by the time-out", func(t *testing.T) {
		c, _ := dialFake(t, Config{Timeout: silence}, silent)
		failed := asApplyError(t, c.Apply(t.Context(), adds(0, 1)))
		if !errors.Is(failed, os.ErrDeadlineExceeded) || !strings.Contains(failed.Error(), "the switch did not answer for "+silence.String()) {
			t.Errorf("error %v", failed)
		}
		if _, err := c.Flows(t.Context(), FlowFilter{}); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("dump: %v", err)
		}
		if err := c.Barrier(t.Context()); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("barrier: %v", err)
		}
		if c.Err() != nil {
			t.Errorf("the connection is over: %v; a late answer must do no harm", c.Err())
		}
	})
	t.Run("by the context", func(t *testing.T) {
		c, _ := dialFake(t, Config{}, silent)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if err := c.Apply(ctx, adds(0, 1)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
	})
}

// A switch that hangs does not even read.
func TestASwitchThatDoesNotRead(t *testing.T) {
	hang := make(chan struct{})
	c, _ := dialFake(t, Config{}, func(*fake) { <-hang })
	t.Cleanup(func() { close(hang) })
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	failed := asApplyError(t, c.Apply(ctx, adds(0, 50_000))) // much more than fits in the socket
	if !errors.Is(failed, context.DeadlineExceeded) || failed.Committed != 0 {
		t.Errorf("error %+v", failed)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("Apply returned after %v", took)
	}
}

func TestACallWaitsForTheOneBefore(t *testing.T) {
	release := make(chan struct{})
	c, f := dialFake(t, Config{}, func(f *fake) {
		f.handle = func(h ofp.Header, body []byte) bool {
			if _, step, err := ofp.DecodeBundleControl(body); h.Type == ofp.TypeBundleControl && err == nil && step == ofp.BundleCommit {
				<-release
			}
			return false
		}
		f.serve()
	})
	first := make(chan error, 1)
	go func() { first <- c.Apply(t.Context(), adds(0, 1)) }()
	eventually(t, "the first bundle is closed", func() bool { return slices.Contains(f.did(), "close 1") })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := c.Apply(ctx, adds(1, 2)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a second Apply did not wait: %v", err)
	}
	close(release)
	if err := receive(t, first); err != nil {
		t.Error(err)
	}
	wantSteps(t, f, "open 1, add 1, close 1, commit 1")
}

func TestXIDsStartAgainAtTheEnd(t *testing.T) {
	c, f := dialFake(t, Config{ChunkMods: 2}, (*fake).serve)
	c.mu.Lock()
	c.nextXID = 1<<32 - 9
	c.mu.Unlock()
	if err := c.Apply(t.Context(), adds(0, 6)); err != nil {
		t.Fatal(err)
	}
	if n := len(f.did()); n != 3*5 {
		t.Errorf("%d steps, want 15", n)
	}
}

func TestACloseEndsACall(t *testing.T) {
	c, _ := dialFake(t, Config{}, func(f *fake) {
		f.handle = func(ofp.Header, []byte) bool { return true }
		f.serve()
	})
	result := make(chan error, 1)
	go func() { result <- c.Apply(t.Context(), adds(0, 1)) }()
	eventually(t, "the call waits", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.calls) == 1
	})
	c.Close()
	if err := receive(t, result); !errors.Is(err, net.ErrClosed) {
		t.Errorf("error %v, want net.ErrClosed", err)
	}
	if err := c.Err(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Err is %v, want net.ErrClosed", err)
	}
}

func TestApplyErrorNamesAFew(t *testing.T) {
	e := &ApplyError{Mods: 9, Cause: errors.New("cause")}
	for i := range 5 {
		e.Refused = append(e.Refused, &ModError{&openflow.FlowMod{Flow: openflow.Flow{Cookie: uint64(i)}}, errors.New("no")})
	}
	if text := e.Error(); strings.Count(text, ": no") != 3 || !strings.HasSuffix(text, "; and 2 more: cause") {
		t.Errorf("the error says %s", text)
	}
}

func TestEncodingAllocatesNothingForEachFlow(t *testing.T) {
	c := &Conn{cfg: Config{}.withDefaults(), nextXID: 1}
	mods := adds(0, DefaultChunkMods)
	allocs := testing.AllocsPerRun(100, func() {
		ch, b, _, bad := c.encodeChunk(mods)
		if bad != nil {
			t.Fatal(bad)
		}
		c.forget(ch.call)
		c.buffers.Put(&b)
	})
	if allocs > 50 { // some for the bundle, and now and then for a buffer that was collected
		t.Errorf("%.0f allocations for a bundle of %d flows", allocs, len(mods))
	}
}
