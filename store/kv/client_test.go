package kv

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/ovloom/ovloom/intent"
)

// Each condition of a transaction can prevent its commit; a key that should be vacant yields
// the error that names its holder.
func TestConditions(t *testing.T) {
	c, _ := client(t)
	one := put(t, c, "/a/1", "one")
	put(t, c, "/a/2", "two")
	taken := errors.New("taken")
	for _, test := range []struct {
		name string
		must func(*Txn)
		want error
	}{
		{"none", func(*Txn) {}, nil},
		{"unchanged", func(tx *Txn) { tx.Unchanged("/a/1", one) }, nil},
		{"changed", func(tx *Txn) { tx.Unchanged("/a/2", one) }, ErrStale},
		{"still absent", func(tx *Txn) { tx.Unchanged("/a/3", 0) }, nil},
		{"no longer absent", func(tx *Txn) { tx.Unchanged("/a/1", 0) }, ErrStale},
		{"vacant", func(tx *Txn) { tx.Vacant("/a/3", nil) }, nil},
		{"held", func(tx *Txn) {
			tx.Vacant("/a/2", func(holder string) error { return fmt.Errorf("%w by %s", taken, holder) })
		}, taken},
		{"quiet below", func(tx *Txn) { tx.QuietBelow("/a/", one+1) }, nil},
		{"written below", func(tx *Txn) { tx.QuietBelow("/a/", one) }, ErrStale},
		{"empty below", func(tx *Txn) { tx.EmptyBelow("/b/") }, nil},
		{"not empty below", func(tx *Txn) { tx.EmptyBelow("/a/") }, ErrStale},
		{"empty between", func(tx *Txn) { tx.EmptyBetween("/a/3", "/a/9") }, nil},
		{"not empty between", func(tx *Txn) { tx.EmptyBetween("/a/2", "/a/9") }, ErrStale},
		{"one of two transactions", func(tx *Txn) {
			var other Txn
			other.Unchanged("/a/2", one)
			tx.Add(other)
		}, ErrStale},
	} {
		t.Run(test.name, func(t *testing.T) {
			var tx Txn
			tx.Put("/out", test.name)
			test.must(&tx)
			_, err := c.Commit(t.Context(), &tx)
			if !errors.Is(err, test.want) || err != nil && test.want == nil {
				t.Errorf("%v, want %v", err, test.want)
			}
			if test.want == taken && !strings.HasSuffix(err.Error(), "by two") {
				t.Errorf("%v does not name the holder", err)
			}
			it, err := c.Get(t.Context(), "/out")
			if wrote := string(it.Value) == test.name; err != nil || wrote != (test.want == nil) {
				t.Errorf("found %s, %v", it.Value, err)
			}
		})
	}
}

// Writing the same value is no change; fields that a type does not have are kept.
func TestReplace(t *testing.T) {
	c, _ := client(t)
	type value struct {
		Name string `json:"name"`
	}
	put(t, c, "/a", `{"v":1,"name":"x","more":[1,2]}`)
	it, err := c.Get(t.Context(), "/a")
	if err != nil {
		t.Fatal(err)
	}
	var tx Txn
	if changed, err := tx.Replace(it, value{"x"}); changed || err != nil || !tx.Empty() || tx.Size() != 0 {
		t.Errorf("the same: %v, %v, %+v", changed, err, tx)
	}
	if changed, err := tx.Replace(it, value{"y"}); !changed || err != nil || tx.Empty() {
		t.Errorf("another: %v, %v", changed, err)
	}
	revision, err := c.Commit(t.Context(), &tx)
	if err != nil {
		t.Fatal(err)
	}
	if it, err = c.Get(t.Context(), "/a"); err != nil || it.Revision != revision || string(it.Value) != `{"v":1,"name":"y","more":[1,2]}` {
		t.Errorf("%s at %d, %v", it.Value, it.Revision, err)
	}
}

// Update rebuilds a transaction after a conflicting one, and the numbers of a counter are used
// once, however many clients there are.
func TestUpdateAndCounters(t *testing.T) {
	c, _ := client(t)
	const writers, each = 8, 20
	var mu sync.Mutex
	numbers := map[uint64]bool{}
	var writing sync.WaitGroup
	for range writers {
		counter := NewCounter(c, "/counter", 4) // one each, as in separate processes
		writing.Go(func() {
			for range each {
				var n uint64
				err := c.Update(t.Context(), "count", func(ctx context.Context) (err error) {
					n, err = counter.Take(ctx)
					return err
				})
				mu.Lock()
				if err != nil || numbers[n] {
					t.Errorf("%d is used again (%v)", n, err)
				}
				numbers[n] = true
				mu.Unlock()
			}
		})
	}
	writing.Wait()
	it, err := c.Get(t.Context(), "/counter")
	if err != nil {
		t.Fatal(err)
	}
	v, err := Decode[CounterValue](it.Value)
	if last := slices.Max(slices.Collect(maps.Keys(numbers))); err != nil || v.Next <= last || v.Next != writers*each {
		t.Errorf("the counter is at %d (%v), the last number was %d", v.Next, err, last)
	}
}

// Failures are reported with their kinds.
func TestFailures(t *testing.T) {
	c, source := client(t)
	ctx := t.Context()
	own := errors.New("the caller's own")
	fail := func(err error) error {
		return c.Call(ctx, "op", func(context.Context) error { return err })
	}
	if err := fail(Refuse(own)); err != own {
		t.Errorf("the caller's error: %v", err)
	}
	if err := fail(intent.Conflictf("told")); intent.KindOf(err) != intent.Conflict || err.Error() != "told" {
		t.Errorf("an error with a kind: %v", err)
	}
	if err := fail(fmt.Errorf("%w x", ErrUnreadable)); intent.KindOf(err) == intent.Unavailable || err.Error() != "op: unreadable x" {
		t.Errorf("a value that cannot be read: %v", err)
	}
	if err := fail(context.DeadlineExceeded); intent.KindOf(err) != intent.Unavailable || !strings.Contains(err.Error(), "does not answer in time; forwarding goes on") {
		t.Errorf("no answer: %v", err)
	}
	for sent, want := range map[bool]string{false: "nothing was changed", true: "may have been stored all the same"} {
		err := c.Update(ctx, "op", func(ctx context.Context) error {
			if sent {
				if _, err := c.Commit(ctx, &Txn{}); err != nil {
					t.Error(err)
				}
			}
			return rpctypes.ErrTimeout
		})
		if intent.KindOf(err) != intent.Unavailable || !strings.Contains(err.Error(), want) {
			t.Errorf("a change without an answer, sent %v: %v", sent, err)
		}
	}
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if err := c.Call(canceled, "op", func(ctx context.Context) error { return ctx.Err() }); !errors.Is(err, context.Canceled) || intent.KindOf(err) == intent.Unavailable {
		t.Errorf("a caller that has gone: %v", err)
	}

	asked := 0
	if err := c.Call(ctx, "op", func(context.Context) error {
		if asked++; asked == 1 {
			return ErrUnverified
		}
		return nil
	}); err != nil || asked != 2 {
		t.Errorf("after the store was verified again: %v, %d attempts", err, asked)
	}
	source.refusal = intent.Unavailablef("another store")
	if err := fail(nil); intent.KindOf(err) != intent.Unavailable || err.Error() != "another store" {
		t.Errorf("another store: %v", err)
	}
}

// A change is made only to the store that was verified.
func TestNameIsACondition(t *testing.T) {
	c, source := client(t)
	put(t, c, NameKey, "mine")
	source.following.Name = []byte("mine")
	var tx Txn
	tx.Put("/a", "x")
	if _, err := c.Commit(t.Context(), &tx); err != nil {
		t.Errorf("to the store that was verified: %v", err)
	}
	put(t, c, NameKey, "another")
	if _, err := c.Commit(t.Context(), &tx); !errors.Is(err, ErrUnverified) {
		t.Errorf("to another: %v", err)
	}
}

// An answer older than one already seen is refused.
func TestOlderAnswers(t *testing.T) {
	c, source := client(t)
	put(t, c, "/a", "x")
	source.following.Revision = 1000
	if _, err := c.Get(t.Context(), "/a"); !errors.Is(err, ErrUnverified) {
		t.Errorf("one key: %v", err)
	}
	if _, err := c.Read(t.Context(), Key("/a")); !errors.Is(err, ErrUnverified) {
		t.Errorf("several: %v", err)
	}
	if _, _, err := c.List(t.Context(), "list", "/"); !errors.Is(err, ErrUnverified) && intent.KindOf(err) != intent.Unavailable {
		t.Errorf("a list: %v", err)
	}
}

func TestReads(t *testing.T) {
	c, _ := client(t)
	for i := range pageKeys + 5 {
		if i%100 == 0 {
			var tx Txn
			for n := i; n < min(i+100, pageKeys+5); n++ {
				tx.Put(fmt.Sprintf("/p/%05d", n), "v")
			}
			if _, err := c.Commit(t.Context(), &tx); err != nil {
				t.Fatal(err)
			}
		}
	}
	all, revision, err := c.List(t.Context(), "list", "/p/")
	if err != nil || len(all) != pageKeys+5 || revision == 0 || !slices.IsSortedFunc(all, func(a, b Item) int { return strings.Compare(a.Key, b.Key) }) {
		t.Errorf("%d keys at %d, %v", len(all), revision, err)
	}
	put(t, c, "/p/00000", "later")
	v, err := c.Read(t.Context(), Key("/p/00000"), Key("/p/00000", At(revision)), Key("/none"), Between("/p/00001", "/p/00003"), Below("/p/", Limit(3), KeysOnly()))
	if err != nil {
		t.Fatal(err)
	}
	if string(v.One(0).Value) != "later" || string(v.One(1).Value) != "v" || v.One(2).Value != nil || len(v.Found[3]) != 2 || len(v.Found[4]) != 3 || len(v.One(4).Value) != 0 || v.Revision != revision+1 {
		t.Errorf("%+v", v)
	}
	keys, more, err := c.Page(t.Context(), "/p/00010", "/p/00020", 4)
	if err != nil || !more || !slices.Equal(keys, []string{"/p/00010", "/p/00011", "/p/00012", "/p/00013"}) {
		t.Errorf("%v, more %v, %v", keys, more, err)
	}
}

func TestLeases(t *testing.T) {
	c, _ := client(t)
	ctx := t.Context()
	lease, err := c.Grant(ctx, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Put(ctx, "/alive", "x", Leased(lease)); err != nil {
		t.Fatal(err)
	}
	if _, l, err := c.GetLeased(ctx, "/alive"); err != nil || l != lease {
		t.Errorf("the key has lease %d, %v; want %d", l, err, lease)
	}
	if err := c.Keep(ctx, lease); err != nil {
		t.Error(err)
	}
	for range 2 { // the second time it has ended
		if err := c.Revoke(ctx, lease); err != nil {
			t.Error(err)
		}
	}
	if it, err := c.Get(ctx, "/alive"); err != nil || it.Value != nil {
		t.Errorf("the key outlives its lease: %+v, %v", it, err)
	}
	if err := c.Keep(ctx, lease); !errors.Is(err, ErrLeaseGone) {
		t.Errorf("keeping one that has ended: %v", err)
	}
}

// A watch loads, delivers the changes of each revision together, and loads again on request.
func TestWatch(t *testing.T) {
	c, _ := client(t)
	put(t, c, "/w/0", "x")
	var mu sync.Mutex
	var told []string
	note := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, fmt.Sprintf(format, args...))
	}
	heard := func() string { mu.Lock(); defer mu.Unlock(); return strings.Join(told, " | ") }
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- c.Watch(ctx, "watch", Watcher{
			Key: "/w/", Opts: []Option{Prefix()},
			Load: func(ctx context.Context) (int64, error) {
				all, revision, err := c.List(ctx, "list", "/w/")
				note("load %d", len(all))
				return revision, err
			},
			Changed: func(revision int64, events []Event) bool {
				var keys []string
				for _, e := range events {
					keys = append(keys, fmt.Sprintf("%s:%v", e.Key, e.Deleted))
				}
				note("%s", strings.Join(keys, ","))
				return slices.ContainsFunc(events, func(e Event) bool { return string(e.Value) == "reload" })
			},
		})
	}()
	eventually(t, "the watch has begun", func() bool { return heard() == "load 1" })
	var tx Txn
	tx.Put("/w/1", "x")
	tx.Put("/w/2", "x")
	tx.Delete("/w/0")
	if _, err := c.Commit(t.Context(), &tx); err != nil {
		t.Fatal(err)
	}
	put(t, c, "/other", "x")
	put(t, c, "/w/1", "reload")
	want := "load 1 | /w/1:false,/w/2:false,/w/0:true | /w/1:false | load 2"
	eventually(t, "all changes are delivered", func() bool { return heard() == want })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := heard(); got != want {
		t.Errorf("delivered %s\nwant %s", got, want)
	}
}

// What cannot be read ends a watch; a revision that does not exist yet is waited for.
func TestWatchThatCannotLoad(t *testing.T) {
	c, _ := client(t)
	tries := 0
	err := c.Watch(t.Context(), "watch", Watcher{Key: "/w", Load: func(context.Context) (int64, error) {
		if tries++; tries < 3 {
			return 0, intent.Unavailablef("not yet")
		}
		return 0, intent.NotFoundf("gone")
	}})
	if intent.KindOf(err) != intent.NotFound || tries != 3 {
		t.Errorf("%v after %d", err, tries)
	}
}

func TestMoved(t *testing.T) {
	c, _ := client(t)
	from := put(t, c, "/other", "x")
	moved := make(chan int64, 1)
	go func() { moved <- c.Moved(t.Context(), "/m/", EndOf("/m/"), from) }()
	put(t, c, "/other", "y")
	at := put(t, c, "/m/1", "x")
	if got := <-moved; got != at {
		t.Errorf("moved at %d, want %d", got, at)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := c.Moved(ctx, "/m/", EndOf("/m/"), at); got != at {
		t.Errorf("without a change: %d, want %d", got, at)
	}
}

// A copy is brought up to date, unless it is another store's or the store has compacted too
// much.
func TestCatchUp(t *testing.T) {
	c, _ := client(t)
	for i := range 20 {
		put(t, c, fmt.Sprintf("/c/%02d", i), fmt.Sprint("value of ", i))
	}
	copied, since, err := c.List(t.Context(), "list", "/c/")
	if err != nil {
		t.Fatal(err)
	}
	if changes, at, err := c.CatchUp(t.Context(), "/c/", copied, since); err != nil || len(changes) != 0 || at != since {
		t.Errorf("without a change: %v at %d, %v", changes, at, err)
	}
	var tx Txn
	tx.Delete("/c/07")
	tx.Put("/c/99", "new")
	if _, err := c.Commit(t.Context(), &tx); err != nil {
		t.Fatal(err)
	}
	now := put(t, c, "/c/00", "changed")
	changes, at, err := c.CatchUp(t.Context(), "/c/", copied, since)
	if err != nil || at != now || len(changes) != 3 || !changes["/c/07"].Deleted || string(changes["/c/00"].Value) != "changed" {
		t.Errorf("%v at %d, %v", changes, at, err)
	}
	want, _, err := c.List(t.Context(), "list", "/c/")
	if got := Merge(copied, changes); err != nil || !slices.EqualFunc(got, want, func(a, b Item) bool { return a.Key == b.Key && string(a.Value) == string(b.Value) }) {
		t.Errorf("merged to %v, want %v (%v)", got, want, err)
	}
	other := slices.Clone(copied)
	for i := range other {
		other[i].Value = []byte("of another store")
	}
	if _, _, err := c.CatchUp(t.Context(), "/c/", other, since); !errors.Is(err, errOtherStore) {
		t.Errorf("a copy of another store: %v", err)
	}
	if _, _, err := c.CatchUp(t.Context(), "/c/", copied, now+100); !errors.Is(err, errOtherStore) {
		t.Errorf("a copy of a later state: %v", err)
	}
	if _, err := c.etcd.Compact(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.CatchUp(t.Context(), "/c/", copied, since); !errors.Is(err, errCompacted) {
		t.Errorf("after the changes were compacted away: %v", err)
	}
}

// A stopped client reports that it has stopped.
func TestClosedClient(t *testing.T) {
	base, source := client(t)
	closed, end := context.WithCancel(t.Context())
	c := New(closed, Config{Source: source, Etcd: base.etcd, Timeout: time.Second, Logger: base.log})
	waits := make(chan error, 1)
	go func() {
		waits <- c.Watch(t.Context(), "watch", Watcher{Key: "/w", Load: func(ctx context.Context) (int64, error) { return c.Revision(ctx) }})
	}()
	end()
	if err := <-waits; !errors.Is(err, ErrClosed) || intent.KindOf(err) != intent.Unavailable {
		t.Errorf("a watch: %v", err)
	}
	if _, err := c.Revision(t.Context()); !errors.Is(err, ErrClosed) || !c.Closed() {
		t.Errorf("a read: %v", err)
	}
}

// A read that meets an election is repeated; a change that may have been stored is not.
func TestElectionsAreNoFailure(t *testing.T) {
	c, _ := client(t)
	for failures, want := range map[int]bool{0: true, 1: true, leaderTries: true, leaderTries + 1: false} {
		left := failures
		err := c.Call(t.Context(), "read", func(context.Context) error {
			if left--; left >= 0 {
				return rpctypes.ErrLeaderChanged
			}
			return nil
		})
		if (err == nil) != want {
			t.Errorf("%d elections: %v", failures, err)
		}
	}
	tries := 0
	err := c.Update(t.Context(), "write", func(ctx context.Context) error {
		tries++
		ctx.Value(sentKey{}).(*atomic.Bool).Store(true)
		return rpctypes.ErrLeaderChanged
	})
	if err == nil || tries != 1 {
		t.Errorf("a change was sent %d times: %v", tries, err)
	}
}
