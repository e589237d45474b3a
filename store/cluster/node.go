package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"golang.org/x/sys/unix"

	"github.com/ovloom/ovloom/durable"
	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/kv"
)

// Node is this process's part in a store: it runs a member, or is a client of members
// elsewhere. Its methods are safe for concurrent use.
type Node struct {
	// Set by Open.
	cfg      Config
	log      *slog.Logger
	client   *clientv3.Client // nil: this process has no store
	kv       *kv.Client
	server   *embed.Etcd // nil: the store is elsewhere
	lock     *os.File
	instance string
	closed   context.Context // ends with Close
	close    context.CancelFunc
	once     sync.Once   // Close
	stopping sync.Once   // the embedded member
	removed  atomic.Bool // the embedded member was removed from the store
	tending  sync.WaitGroup

	fault   atomic.Pointer[intent.Error] // why this process has no store; nil: it has one
	faulted chan struct{}                // closed when fault is set
	trial   atomic.Pointer[Trial]        // the next one; nil: none is planned
	opened  time.Time                    // when Open began
	trust   trust
	reason  reason // stays empty while the store is in this process
}

// Open runs a member in this process, or connects to the members at Config.Endpoints,
// without waiting for their answer. It fails with kind Conflict if another process uses
// the state directory, and with the error of Config.Validate.
func Open(ctx context.Context, c Config) (*Node, error) {
	c = c.withDefaults()
	if err := c.Validate(); err != nil {
		return nil, err
	}
	n := &Node{cfg: c, log: c.Logger, faulted: make(chan struct{}), opened: time.Now()}
	n.closed, n.close = context.WithCancel(context.Background())
	n.trust.ready(n.closed)
	if err := n.open(ctx); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

// KV returns the client of the store's keys. It works until Close.
func (n *Node) KV() *kv.Client { return n.kv }

// Instance distinguishes this process from others with the same host name. It stays the
// same across restarts.
func (n *Node) Instance() string { return n.instance }

// use sets the node's client; nil: there is no store.
func (n *Node) use(client *clientv3.Client) {
	n.client = client
	n.kv = kv.New(n.closed, kv.Config{Source: source{n}, Etcd: client, Timeout: n.cfg.Timeout, Logger: n.log})
}

func (n *Node) open(ctx context.Context) (err error) {
	if err := durable.PrivateDir(n.cfg.StateDir); err != nil {
		if _, there := os.Stat(n.cfg.StateDir); there != nil || !n.cfg.WithoutMember {
			return err
		}
		n.log.Warn("cannot write to the state directory", "error", err)
	}
	n.lock, err = lockDir(n.cfg.StateDir)
	if errors.Is(err, unix.EROFS) && n.cfg.WithoutMember { // the copies can be read
		n.lock, err = lockReadOnly(n.cfg.StateDir)
	}
	if err != nil {
		return err
	}
	if n.instance, err = instance(n.cfg); err != nil {
		return err
	}
	if len(n.cfg.Endpoints) > 0 {
		client, err := dial(n.closed, n.cfg, &n.reason)
		if err == nil {
			n.use(client)
			n.tending.Go(n.watchConnection)
		}
		return err
	}
	f := newFaults()
	server, r, err := n.startMember(ctx, f)
	var told *intent.Error
	switch {
	case err == nil:
		n.server = server
	case !n.cfg.WithoutMember:
		return err
	case errors.As(err, &told) && told.Kind != intent.Unavailable: // the configuration has to be changed
		return err
	case told != nil:
		n.use(nil)
		n.withoutStore(told)
		return nil
	default:
		n.use(nil)
		n.memberFailed(err)
		return nil
	}
	go n.watchMember(f)
	go func() { // ends with the member
		for err := range n.server.Err() {
			n.log.Warn("store no longer serves other hosts", "error", err)
		}
	}()
	// The process's own calls do not go through a socket.
	n.use(v3client.New(n.server.Server))
	if err := n.readdress(ctx, r); err != nil {
		select {
		case <-f.failed: // reported elsewhere
		default:
			return err
		}
	}
	n.tending.Go(func() { n.tend(r) })
	return nil
}

// Close ends all calls and watches and stops the embedded member. Closing again does
// nothing.
func (n *Node) Close() error {
	var err error
	n.once.Do(func() { err = n.shut() })
	return err
}

func (n *Node) shut() error {
	n.close()
	var errs []error
	if n.client != nil {
		switch err := inTime(closeTimeout, n.client.Close); {
		case errors.Is(err, os.ErrDeadlineExceeded):
			n.log.Warn("the store's client does not stop; leaving it running", "error", err)
		case err != nil && !errors.Is(err, context.Canceled):
			errs = append(errs, fmt.Errorf("close the store's client: %w", err))
		}
	}
	n.trust.settle()
	n.tending.Wait()
	if err := n.closeIdentity(); err != nil {
		n.log.Warn("cannot save which store this host follows", "error", err)
	}
	if n.server != nil {
		n.closeMember()
	}
	if n.lock != nil {
		if err := n.lock.Close(); err != nil {
			errs = append(errs, fmt.Errorf("unlock the state directory: %w", err))
		}
	}
	return errors.Join(errs...)
}

// closeTimeout is how long the client may take to end its watches. etcd's client has been
// seen to wait for ever when the store ended at that moment (watchGRPCStream.close, for
// waitCancelSubstreams), and the process has to end.
const closeTimeout = 3 * time.Second

// inTime returns do's result, or an error if do takes too long.
func inTime(limit time.Duration, do func() error) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	select {
	case err := <-done:
		return err
	case <-time.After(limit):
		return fmt.Errorf("not done after %s: %w", limit, os.ErrDeadlineExceeded)
	}
}

// startMember starts the embedded member, unless its data is known to be damaged.
func (n *Node) startMember(ctx context.Context, f *faults) (*embed.Etcd, record, error) {
	if err := crashed(n.cfg.StateDir); err != nil {
		return nil, record{}, err
	}
	if err := readableData(ctx, n.cfg.StateDir); err != nil {
		return nil, record{}, err
	}
	server, r, err := startServer(ctx, n.closed, n.cfg, f)
	if err == nil {
		if err := traceCrashes(n.cfg.StateDir); err != nil {
			n.log.Warn("cannot redirect a crash of the store's member to its log", "error", err)
		}
	}
	return server, r, err
}

// MemberEnd is how long a member may take to end. A supervisor of the process must wait
// for longer.
const MemberEnd = 20 * time.Second

// stopServer stops the embedded member, once.
func (n *Node) stopServer() { n.stopping.Do(n.server.Close) }

// closeMember stops the embedded member; a failed member may never stop.
func (n *Node) closeMember() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.stopServer()
	}()
	limit := MemberEnd
	if n.fault.Load() != nil {
		limit = time.Second
	}
	select {
	case <-done:
	case <-time.After(limit):
	}
}

// URLs returns where the embedded member serves clients; for a store elsewhere,
// its URLs as configured.
func (n *Node) URLs() []string {
	if n.server == nil {
		return n.cfg.Endpoints
	}
	var urls []string
	for _, u := range n.server.Config().ListenClientUrls {
		for _, l := range n.server.Clients {
			if a, ok := l.Addr().(*net.TCPAddr); ok && u.Host == net.JoinHostPort(a.IP.String(), "0") {
				u.Host = a.String() // the system chose the port
			}
		}
		urls = append(urls, u.String())
	}
	return urls
}

// Ping asks the store for its revision, to learn whether the store answers.
func (n *Node) Ping(ctx context.Context) (revision int64, err error) { return n.kv.Revision(ctx) }
