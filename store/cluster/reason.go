package cluster

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"

	"github.com/ovloom/ovloom/store/kv"
)

// leaderless reports whether the store is known to lack the quorum of members.
func (n *Node) leaderless() bool {
	if n.server != nil {
		return n.server.Server.Leader() == 0
	}
	return errors.Is(n.reason.last(), kv.ErrNoQuorum)
}

// reason remembers why the last attempt to reach the store failed. etcd's client retries,
// and finally reports only a timeout, when a user should learn of an untrusted
// certificate.
type reason struct {
	mu  sync.Mutex
	err error // guarded by mu; nil: the last attempt reached the store
}

// observe is a grpc.UnaryClientInterceptor. It runs inside the interceptor by which etcd's
// client retries, and so sees each attempt.
func (r *reason) observe(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoker grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	err := invoker(ctx, method, req, reply, cc, opts...)
	why, ok := connectionError(status.Convert(err).Message())
	switch {
	case err == nil:
		r.set(nil)
	case errors.Is(rpctypes.Error(err), rpctypes.ErrNoLeader):
		r.set(kv.ErrNoQuorum)
	case ok:
		r.set(errors.New(why))
	}
	return err
}

func (r *reason) set(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
}

// last returns why the last attempt did not reach the store; nil: it did.
func (r *reason) last() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// of replaces an err that only reports a timeout by the reason.
func (r *reason) of(err error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil && errors.Is(err, context.DeadlineExceeded) {
		return r.err
	}
	return err
}

// connectionError extracts the reason for a missing connection from gRPC's error, as in
//
//	latest balancer error: connection error: desc = "transport: Error while dialing: dial tcp …"
func connectionError(message string) (why string, ok bool) {
	_, quoted, ok := strings.Cut(message, "connection error: desc = ")
	if !ok {
		return "", false
	}
	why, err := strconv.Unquote(quoted)
	if err != nil {
		return quoted, true
	}
	for _, wrapping := range []string{"transport: ", "Error while dialing: ", "authentication handshake failed: "} {
		why = strings.TrimPrefix(why, wrapping)
	}
	return why, true
}

// brokenPatience is how long a call waits for a connection known to be broken to come
// back.
const brokenPatience = time.Second

// leaderPatience is how long a call waits for members known to be too few: they may be
// about to elect another leader, which takes a second or two.
const leaderPatience = 2 * time.Second

// patience is how long a call may take.
func (n *Node) patience() time.Duration {
	if n.client == nil {
		return n.cfg.Timeout
	}
	if n.leaderless() {
		return min(n.cfg.Timeout, leaderPatience)
	}
	if conn := n.client.ActiveConnection(); conn != nil && conn.GetState() != connectivity.Ready && n.reason.last() != nil {
		return min(n.cfg.Timeout, brokenPatience)
	}
	return n.cfg.Timeout
}
