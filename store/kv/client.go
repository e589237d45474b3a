package kv

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ovloom/ovloom/intent"
)

const (
	// Root begins every key of ovloom.
	Root = "/ovloom/v1/"
	// NameKey says which store this is, and how often it was restored. Every change is made
	// under the condition that its value is the one that was verified.
	NameKey = Root + "cluster"
)

// Source is what a Client gets its answers from. It decides whether the etcd that answers
// is the store which this process follows.
type Source interface {
	// Ensure returns nil if the store that answers is the one to follow, and asks it if that
	// is not known. An error names op, what it was needed for.
	Ensure(ctx context.Context, op string) error
	// Following returns what is known of the store that is followed.
	Following() Following
	// Answered checks the header of an answer against what had been seen of the store when it
	// was asked, and takes notice of the revision. It returns ErrUnverified if the answer is
	// another store's, or older.
	Answered(h *pb.ResponseHeader, seen int64) error
	// Doubt has the next Ensure ask which store answers.
	Doubt()
	// Patience returns how long a call may take.
	Patience() time.Duration
	// Why returns what has kept the store from answering, where a call failed with err. What
	// is an *intent.Error is all that there is to tell the user.
	Why(err error) error
}

// Following is what a Source knows of the store that is followed.
type Following struct {
	Cluster  uint64          // etcd's id of the cluster that was verified; 0: none is
	Revision int64           // the highest seen
	Name     []byte          // the value of NameKey that was verified; nil: none was
	Streams  context.Context // ends when another store is followed, or none
}

var (
	// ErrUnverified says that what answered is not, or not yet, known to be the store that is
	// followed.
	ErrUnverified = errors.New("it is not verified which store answers")
	// ErrClosed says that the store was closed.
	ErrClosed = errors.New("the store was closed")
	// ErrNoQuorum is why a store does nothing of which members, or one at least, answer.
	ErrNoQuorum = errors.New("too few of its members are up")
)

// Client reads and changes keys. Its methods may be called from several goroutines.
//
// Those that say so are steps of an exchange: they are called by what Call and Update run,
// which give them their deadline, and whose errors are fit for users. The others are
// exchanges by themselves. When the store does not answer, exchanges fail with an
// intent.Error of kind Unavailable.
type Client struct {
	// Set by New.
	etcd    *clientv3.Client
	source  Source
	closed  context.Context
	timeout time.Duration
	log     *slog.Logger
	delay   time.Duration // of copies on disk
}

// Config is what a Client is made of.
type Config struct {
	Source  Source
	Etcd    *clientv3.Client // nil: there is no store to talk to, only copies on disk, and Source.Ensure always fails
	Timeout time.Duration    // of a page of a list
	Logger  *slog.Logger

	// CopyDelay is how long a Keeper waits for more changes before it writes. Zero: 1 s.
	CopyDelay time.Duration
}

// New returns a client that works until closed ends.
func New(closed context.Context, c Config) *Client {
	if c.CopyDelay == 0 {
		c.CopyDelay = copyDelay
	}
	return &Client{etcd: c.Etcd, source: c.Source, closed: closed, timeout: c.Timeout, log: c.Logger, delay: c.CopyDelay}
}

// Closed says whether the client has ended.
func (c *Client) Closed() bool { return c.closed.Err() != nil }

// Within returns a context that ends after a limit, with ctx, or with the client.
func (c *Client) Within(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	stop := context.AfterFunc(c.closed, cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}

// Revision asks the store for its revision, to learn whether it answers: most of its
// members must.
func (c *Client) Revision(ctx context.Context) (revision int64, err error) {
	err = c.Call(ctx, "read the revision", func(ctx context.Context) error {
		seen := c.seen()
		r, err := c.etcd.Get(clientv3.WithRequireLeader(ctx), NameKey, clientv3.WithCountOnly(), clientv3.WithLimit(1))
		if err == nil {
			revision = r.Header.Revision
			err = c.source.Answered(r.Header, seen)
		}
		return err
	})
	return revision, err
}

// leaderTries is how often an exchange is tried again because the leader changed.
const leaderTries = 3

// Call runs one exchange with the store under its deadline, and makes its failure one
// that a user can be told; op begins it. The exchange may be run a second time if another
// store has answered.
func (c *Client) Call(ctx context.Context, op string, do func(context.Context) error) error {
	return c.Exchange(ctx, op, func(limited context.Context) error {
		err := c.source.Ensure(limited, op)
		if err == nil {
			err = do(limited)
		}
		if errors.Is(err, ErrUnverified) {
			if err = c.source.Ensure(limited, op); err == nil {
				err = do(limited)
			}
		}
		// A read that waited while another leader was elected, as at a start: etcd gives that
		// error for reads alone, and the next one reaches the new leader.
		for tries := 0; tries < leaderTries && rpctypes.Error(err) == rpctypes.ErrLeaderChanged && !sent(ctx); tries++ {
			err = do(limited)
		}
		return err
	})
}

// Exchange is Call with whatever store answers.
func (c *Client) Exchange(ctx context.Context, op string, do func(context.Context) error) error {
	if c.Closed() {
		return c.Failure(ctx, op, ErrClosed)
	}
	limited, cancel := c.Within(ctx, c.source.Patience())
	defer cancel()
	return c.Failure(ctx, op, do(limited))
}

// sentKey is where the context of a change has an atomic.Bool, true as soon as the
// change was sent to the store: without an answer it is not known whether it was made.
type sentKey struct{}

// sent says whether the change that ctx belongs to was sent.
func sent(ctx context.Context) bool {
	is, ok := ctx.Value(sentKey{}).(*atomic.Bool)
	return ok && is.Load()
}

// Failure is what the caller of op, which called with ctx, is told of err.
func (c *Client) Failure(ctx context.Context, op string, err error) error {
	var told *intent.Error
	var refusal *refusalError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refusal):
		return refusal.err
	case errors.As(err, &told):
		return err
	case errors.Is(err, ErrUnreadable):
		return fmt.Errorf("%s: %w", op, err)
	case c.Closed():
		return intent.Unavailablef("%s: %w", op, ErrClosed)
	case errors.Is(ctx.Err(), context.Canceled):
		return fmt.Errorf("%s: %w", op, ctx.Err())
	}
	why := c.source.Why(err)
	if errors.As(why, &told) {
		return intent.Unavailablef("%s: %w", op, why)
	}
	hint := "nothing was changed; forwarding goes on as it was"
	if ctx.Value(sentKey{}) == nil {
		hint = "forwarding goes on as it was"
	} else if sent(ctx) {
		hint = "a change may have been stored all the same; forwarding goes on as it was"
	}
	if TimedOut(why) { // which says no more than this does
		return intent.Unavailablef("%s: the store does not answer in time", op).WithHint("%s", hint)
	}
	return intent.Unavailablef("%s: the store does not answer: %w", op, why).WithHint("%s", hint)
}

// TooFew says whether etcd refused, or gave up, for want of a leader.
func TooFew(err error) bool {
	switch rpctypes.Error(err) {
	case rpctypes.ErrNoLeader, rpctypes.ErrLeaderChanged, rpctypes.ErrTimeoutDueToLeaderFail:
		return true
	}
	return false
}

// TimedOut says whether there was no answer in time.
func TimedOut(err error) bool {
	switch rpctypes.Error(err) {
	case rpctypes.ErrTimeout, rpctypes.ErrTimeoutDueToConnectionLost:
		return true
	}
	return errors.Is(err, context.DeadlineExceeded)
}

// Refuse makes err one that goes back to the caller as it is: it is what the caller's own
// function has returned.
func Refuse(err error) error { return &refusalError{err} }

type refusalError struct{ err error }

func (e *refusalError) Error() string { return e.err.Error() }

// seen returns the highest revision of the store that was seen.
func (c *Client) seen() int64 { return c.source.Following().Revision }
