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
	// Root is the prefix of all of ovloom's keys.
	Root = "/ovloom/v1/"
	// NameKey identifies the store, and counts its restores. Every change is made on the
	// condition that its value is the verified one.
	NameKey = Root + "cluster"
)

// Source is the store behind a Client. It decides whether the etcd that answers is the
// store which this process follows.
type Source interface {
	// Ensure returns nil if the store that answers is the one to follow, and asks the
	// store if that is unknown. Its error names op, the operation that needed it.
	Ensure(ctx context.Context, op string) error
	// Following returns what is known of the followed store.
	Following() Following
	// Answered checks the header of an answer against the revision seen when the question
	// was sent, and records the answer's revision. It returns ErrUnverified if the answer
	// is from another store, or older.
	Answered(h *pb.ResponseHeader, seen int64) error
	// Doubt makes the next Ensure ask which store answers.
	Doubt()
	// Patience returns how long a call may take.
	Patience() time.Duration
	// Why returns the reason for which the store did not answer, where a call failed with
	// err. If it is an *intent.Error, it is the whole error for the user.
	Why(err error) error
}

// Following is what a Source knows of the followed store.
type Following struct {
	Cluster  uint64          // etcd's id of the verified cluster; 0: none
	Revision int64           // the highest seen
	Name     []byte          // the verified value of NameKey; nil: none
	Streams  context.Context // ends when another store is followed, or none
}

var (
	// ErrUnverified means that the store that answered is not, or not yet, known to be the
	// one to follow.
	ErrUnverified = errors.New("it is not verified which store answers")
	// ErrClosed means that the store was closed.
	ErrClosed = errors.New("the store was closed")
	// ErrNoQuorum is the reason for which a store does nothing although at least one
	// member answers.
	ErrNoQuorum = errors.New("too few of its members are up")
)

// Client reads and changes keys. Its methods are safe for concurrent use.
//
// Methods documented as steps of an exchange are called by functions that Call and Update
// run, which set their deadline and turn their errors into errors for users. The other
// methods are exchanges by themselves. When the store does not answer, exchanges fail with
// an intent.Error of kind Unavailable.
type Client struct {
	// Set by New.
	etcd    *clientv3.Client
	source  Source
	closed  context.Context
	timeout time.Duration
	log     *slog.Logger
	delay   time.Duration // of copies on disk
}

// Config configures a Client.
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

// Closed reports whether the client has ended.
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

// Revision asks the store for its revision, to learn whether it answers: that takes most
// of its members.
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

// leaderTries is how often an exchange is retried because the leader changed.
const leaderTries = 3

// Call runs one exchange with the store under its deadline, and turns its failure into an
// error for users that begins with op. The exchange may be repeated if another store has
// answered.
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
		// A read waited while another leader was elected, as at a start: etcd returns this
		// error for reads alone, and the next read reaches the new leader.
		for tries := 0; tries < leaderTries && rpctypes.Error(err) == rpctypes.ErrLeaderChanged && !sent(ctx); tries++ {
			err = do(limited)
		}
		return err
	})
}

// Exchange is Call with any store that answers.
func (c *Client) Exchange(ctx context.Context, op string, do func(context.Context) error) error {
	if c.Closed() {
		return c.Failure(ctx, op, ErrClosed)
	}
	limited, cancel := c.Within(ctx, c.source.Patience())
	defer cancel()
	return c.Failure(ctx, op, do(limited))
}

// sentKey is where the context of a change has an atomic.Bool, true once the change was
// sent to the store: without an answer, the change may or may not have been made.
type sentKey struct{}

// sent reports whether the change that ctx belongs to was sent.
func sent(ctx context.Context) bool {
	is, ok := ctx.Value(sentKey{}).(*atomic.Bool)
	return ok && is.Load()
}

// Failure returns the error for users for err, the failure of op with ctx.
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
	if TimedOut(why) { // which adds nothing
		return intent.Unavailablef("%s: the store does not answer in time", op).WithHint("%s", hint)
	}
	return intent.Unavailablef("%s: the store does not answer: %w", op, why).WithHint("%s", hint)
}

// TooFew reports whether etcd refused, or gave up, for want of a leader.
func TooFew(err error) bool {
	switch rpctypes.Error(err) {
	case rpctypes.ErrNoLeader, rpctypes.ErrLeaderChanged, rpctypes.ErrTimeoutDueToLeaderFail:
		return true
	}
	return false
}

// TimedOut reports whether there was no answer in time.
func TimedOut(err error) bool {
	switch rpctypes.Error(err) {
	case rpctypes.ErrTimeout, rpctypes.ErrTimeoutDueToConnectionLost:
		return true
	}
	return errors.Is(err, context.DeadlineExceeded)
}

// Refuse marks err, which the caller's own function returned, to be returned to the caller
// as it is.
// function has returned.
func Refuse(err error) error { return &refusalError{err} }

type refusalError struct{ err error }

func (e *refusalError) Error() string { return e.err.Error() }

// seen returns the highest revision seen of the store.
func (c *Client) seen() int64 { return c.source.Following().Revision }
