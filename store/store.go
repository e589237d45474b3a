package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/connectivity"

	"github.com/ovloom/ovloom/durable"
	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/pki"
	"github.com/ovloom/ovloom/store/kv"
)

// Store is an open store. Its methods may be called from several goroutines.
type Store struct {
	// Set by Open.
	cfg      Config
	log      *slog.Logger
	client   *clientv3.Client
	server   *embed.Etcd // nil: the store is elsewhere
	lock     *os.File
	instance string
	closed   context.Context // ends with Close
	close    context.CancelFunc
	once     sync.Once   // Close
	stopping sync.Once   // the embedded member
	removed  atomic.Bool // the embedded member was, from the store
	tending  sync.WaitGroup

	fault   atomic.Pointer[intent.Error] // why there is no store, to this process; nil: there is one
	faulted chan struct{}                // closed when fault is set
	trial   atomic.Pointer[Trial]        // the next one; nil: there is none to be
	opened  time.Time                    // when Open began
	trust   trust

	leftOutMu sync.Mutex
	leftOut   map[string]LeftOut // by key; guarded by leftOutMu

	kv              *kv.Client
	ids, vnis, vrfs *kv.Counter
	addrs           addrPool
	reason          reason // stays empty while the store is in this process
}

// Open opens the store: it runs a member in this process, or connects to the one
// at Config.Endpoints. The latter need not answer yet: Open does not wait for it.
func Open(ctx context.Context, c Config) (*Store, error) {
	c = c.withDefaults()
	if err := c.Validate(); err != nil {
		return nil, err
	}
	s := &Store{cfg: c, log: c.Logger, leftOut: map[string]LeftOut{}, faulted: make(chan struct{}), opened: time.Now()}
	s.closed, s.close = context.WithCancel(context.Background())
	s.trust.ready(s.closed)
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.useKeys()
	return s, nil
}

// useKeys sets up what reads and writes keys.
func (s *Store) useKeys() {
	s.kv = kv.New(s.closed, kv.Config{Source: source{s}, Etcd: s.client, Timeout: s.cfg.Timeout, Logger: s.log})
	s.ids = kv.NewCounter(s.kv, counterRoot+"id", 64)
	s.vnis = kv.NewCounter(s.kv, counterRoot+"vni", 16)
	s.vrfs = kv.NewCounter(s.kv, counterRoot+"vrf", 16)
	s.addrs = newAddrPool(s)
}

func (s *Store) open(ctx context.Context) (err error) {
	if err := durable.PrivateDir(s.cfg.StateDir); err != nil {
		if _, there := os.Stat(s.cfg.StateDir); there != nil || !s.cfg.WithoutMember {
			return err
		}
		s.log.Warn("cannot write to the state directory", "error", err)
	}
	s.lock, err = lockDir(s.cfg.StateDir)
	if errors.Is(err, unix.EROFS) && s.cfg.WithoutMember { // there are copies to be read
		s.lock, err = lockReadOnly(s.cfg.StateDir)
	}
	if err != nil {
		return err
	}
	if s.instance, err = instance(s.cfg); err != nil {
		return err
	}
	if err := kv.SweepCopies(s.cfg.StateDir, spanDir(s.cfg.StateDir)); err != nil {
		s.log.Warn("cannot remove copies that are half written", "error", err)
	}
	if len(s.cfg.Endpoints) > 0 {
		if s.client, err = dial(s.closed, s.cfg, &s.reason); err == nil {
			s.tending.Go(s.watchConnection)
		}
		return err
	}
	f := newFaults()
	server, r, err := s.startMember(ctx, f)
	var told *intent.Error
	switch {
	case err == nil:
		s.server = server
	case !s.cfg.WithoutMember:
		return err
	case errors.As(err, &told) && told.Kind != intent.Unavailable: // the configuration is to be changed
		return err
	case told != nil:
		s.withoutStore(told)
		return nil
	default:
		s.memberFailed(err)
		return nil
	}
	go s.watchMember(f)
	go func() { // ends with the member
		for err := range s.server.Err() {
			s.log.Warn("store no longer serves other hosts", "err", err)
		}
	}()
	// The process's own calls do not go through a socket.
	s.client = v3client.New(s.server.Server)
	if err := s.readdress(ctx, r); err != nil {
		select {
		case <-f.failed: // which is told
		default:
			return err
		}
	}
	s.tending.Go(func() { s.tend(r) })
	return nil
}

// Close ends all calls and watches and stops the embedded member. Closing again
// does nothing.
func (s *Store) Close() error {
	var err error
	s.once.Do(func() { err = s.shut() })
	return err
}

func (s *Store) shut() error {
	s.close()
	var errs []error
	if s.client != nil {
		switch err := inTime(closeTimeout, s.client.Close); {
		case errors.Is(err, os.ErrDeadlineExceeded):
			s.log.Warn("the store's client does not end; leaving it to the end of the process", "error", err)
		case err != nil && !errors.Is(err, context.Canceled):
			errs = append(errs, fmt.Errorf("close the store's client: %w", err))
		}
	}
	s.trust.settle()
	s.tending.Wait()
	if err := s.closeIdentity(); err != nil {
		s.log.Warn("cannot note which store this host follows", "error", err)
	}
	if s.server != nil {
		s.closeMember()
	}
	if s.lock != nil {
		if err := s.lock.Close(); err != nil {
			errs = append(errs, fmt.Errorf("unlock the state directory: %w", err))
		}
	}
	return errors.Join(errs...)
}

// closeTimeout is how long the client may take to end its watches. etcd's has been seen to
// wait for ever for one whose store went at that moment (watchGRPCStream.close, for
// waitCancelSubstreams), and the process is to end.
const closeTimeout = 3 * time.Second

// inTime returns what do returns, or an error if that takes too long.
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
func (s *Store) startMember(ctx context.Context, f *faults) (*embed.Etcd, record, error) {
	if err := crashed(s.cfg.StateDir); err != nil {
		return nil, record{}, err
	}
	if err := readableData(ctx, s.cfg.StateDir); err != nil {
		return nil, record{}, err
	}
	server, r, err := startServer(ctx, s.closed, s.cfg, f)
	if err == nil {
		if err := traceCrashes(s.cfg.StateDir); err != nil {
			s.log.Warn("a crash of the store's member would leave no trace", "error", err)
		}
	}
	return server, r, err
}

// MemberEnd is how long the end of a member may take. What stops the process must wait for
// longer.
const MemberEnd = 20 * time.Second

// stopServer stops the embedded member, once.
func (s *Store) stopServer() { s.stopping.Do(s.server.Close) }

// closeMember stops the embedded member; one that has failed may not come to an end.
func (s *Store) closeMember() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.stopServer()
	}()
	limit := MemberEnd
	if s.fault.Load() != nil {
		limit = time.Second
	}
	select {
	case <-done:
	case <-time.After(limit):
	}
}

// URLs returns where the embedded member serves clients; for a store elsewhere,
// its URLs as configured.
func (s *Store) URLs() []string {
	if s.server == nil {
		return s.cfg.Endpoints
	}
	var urls []string
	for _, u := range s.server.Config().ListenClientUrls {
		for _, l := range s.server.Clients {
			if a, ok := l.Addr().(*net.TCPAddr); ok && u.Host == net.JoinHostPort(a.IP.String(), "0") {
				u.Host = a.String() // the port was left to the system
			}
		}
		urls = append(urls, u.String())
	}
	return urls
}

// Ping asks the store for its revision, to learn whether it answers.
func (s *Store) Ping(ctx context.Context) (revision int64, err error) { return s.kv.Revision(ctx) }

// brokenPatience is how long a call waits for a connection that is known to be
// broken to come back.
const brokenPatience = time.Second

// leaderPatience is how long a call waits for members that are known to be too few:
// they may be about to elect another leader, which takes a second or two.
const leaderPatience = 2 * time.Second

// patience is how long a call may take.
func (s *Store) patience() time.Duration {
	if s.client == nil {
		return s.cfg.Timeout
	}
	if s.leaderless() {
		return min(s.cfg.Timeout, leaderPatience)
	}
	if conn := s.client.ActiveConnection(); conn != nil && conn.GetState() != connectivity.Ready && s.reason.last() != nil {
		return min(s.cfg.Timeout, brokenPatience)
	}
	return s.cfg.Timeout
}

// dial makes the client of a store elsewhere. It connects in the background.
func dial(closing context.Context, c Config, why *reason) (*clientv3.Client, error) {
	cc := clientv3.Config{
		Endpoints:            c.Endpoints,
		DialTimeout:          c.Timeout,
		DialKeepAliveTime:    10 * time.Second, // the least that gRPC allows
		DialKeepAliveTimeout: 3 * time.Second,
		Logger:               zapTo(closing, c.Logger),
		// After an outage, hosts are back within seconds: gRPC by itself would
		// wait up to two minutes between attempts.
		DialOptions: []grpc.DialOption{grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
			MinConnectTimeout: 3 * time.Second,
		}), grpc.WithChainUnaryInterceptor(why.observe)},
	}
	if usesTLS(c.Endpoints) {
		tls, err := pki.LoadClient(c.files())
		if err != nil {
			return nil, err
		}
		cc.TLS = tls
		c.warnOfExpiry()
	}
	client, err := clientv3.New(cc)
	if err != nil {
		return nil, intent.Invalidf("store URLs %s: %w", strings.Join(c.Endpoints, ", "), err)
	}
	return client, nil
}

// lockDir takes the state directory for this process. Two members on one
// directory would wait for each other without a word.
func lockDir(dir string) (*os.File, error) {
	return lockFile(dir, os.O_CREATE|os.O_RDWR)
}

// lockReadOnly is lockDir on a disk that cannot be written.
func lockReadOnly(dir string) (*os.File, error) { return lockFile(dir, os.O_RDONLY) }

func lockFile(dir string, how int) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), how, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the state directory: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, intent.Conflictf("state directory %s is in use by another process: %w", dir, err).
			WithHint("stop the other ovloomd, or give this one a state directory of its own")
	}
	return f, nil
}

// instance returns what tells this process from others of the same host name,
// the same after every restart.
func instance(c Config) (string, error) {
	if c.Instance != "" {
		return c.Instance, nil
	}
	path := filepath.Join(c.StateDir, "instance")
	b, err := os.ReadFile(path)
	if err == nil && intent.IsUUID(string(b)) {
		return string(b), nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("read instance: %w", err)
	}
	id := uuid.NewString()
	if err := os.WriteFile(path, []byte(id), 0o600); err != nil {
		return "", fmt.Errorf("write instance: %w", err)
	}
	return id, nil
}
