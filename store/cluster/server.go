package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/tlsutil"
	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/server/v3/embed"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ovloom/ovloom/durable"
	"github.com/ovloom/ovloom/intent"
)

// The embedded member.
const (
	socketPathMax = 107 // bytes; unix(7), sockaddr_un without the final zero

	// A slow moment of a machine is not its end.
	tick     = 100 * time.Millisecond
	election = time.Second

	// A member that comes back and is alone need not wait for others, only count its
	// ticks: 0.1 s. At 10 ms the idle member takes 2 % of a CPU, at this value 0.6 %. A
	// member that founds a store does not even count, see electFounder.
	aloneTick     = 50 * time.Millisecond
	aloneElection = 250 * time.Millisecond

	compaction = "1h"

	startLimit   = time.Minute     // for reading back a large log
	aloneLimit   = 8 * time.Second // until a single member has elected itself
	severalLimit = 5 * time.Second // until most of several have found each other; then the start goes on without them
)

// startServer starts the member and waits until it answers; it waits only briefly for one
// of several, because the others may be away, and this host has its copies. The member's
// data and socket are in a folder that only its owner may enter.
//
// When closing ends, so do the streams of clients: by default etcd would wait 5 s for
// watches that never end.
func startServer(ctx, closing context.Context, c Config, f *faults) (*embed.Etcd, record, error) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	dir := filepath.Join(c.StateDir, "etcd")
	if err := durable.PrivateDir(dir); err != nil {
		return nil, record{}, err
	}
	p, err := findPlace(ctx, closing, c)
	if err == nil && p.prepare != nil {
		err = p.prepare()
	}
	if err != nil {
		return nil, record{}, err
	}
	begin := func() (*embed.Etcd, error) {
		ec, err := serverConfig(closing, c, dir)
		if err != nil {
			return nil, err
		}
		p.apply(ec)
		ec.GRPCAdditionalServerOptions = []grpc.ServerOption{grpc.ChainStreamInterceptor(endWith(closing))}
		ec.ZapLoggerBuilder = embed.NewZapLoggerBuilder(f.logger(zapTo(closing, c.Logger)))
		e, err := guarded(ctx, f, func() (*embed.Etcd, error) { return embed.StartEtcd(ec) })
		if err != nil {
			return nil, fmt.Errorf("start the store in %s: %w", dir, err)
		}
		return e, nil
	}
	e, err := begin()
	for until := time.Now().Add(undecidedLimit); p.joins && isUndecided(err) && time.Now().Before(until); e, err = begin() {
		select {
		case <-time.After(undecidedEvery):
		case <-ctx.Done():
			return nil, record{}, errors.Join(err, ctx.Err())
		}
	}
	if err != nil {
		return nil, record{}, err
	}
	r, err := p.settle(c, e)
	if err == nil {
		if p.founds {
			go electFounder(ctx, e) // ends when this function does
		}
		err = awaitReady(ctx, c, e, f, r.Several && !p.joins)
	}
	if err != nil {
		select {
		case <-f.failed:
			go e.Close() // as far as it can
			return nil, record{}, f.err
		default:
		}
		closed := make(chan struct{})
		go func() {
			defer close(closed)
			e.Close()
		}()
		select {
		case <-closed:
		case <-time.After(time.Second): // a member that did not start may not end either
		}
		if errors.Is(err, errStopped) {
			r.Removed = true
			err = errors.Join(errRemoved(c), r.write(c.StateDir))
		}
		return nil, record{}, err
	}
	return e, r, nil
}

// A new store has not decided on its version yet, for a moment. A member that joins it
// then gets an error from etcd that their versions do not match.
const (
	undecidedLimit = 5 * time.Second
	undecidedEvery = 50 * time.Millisecond
)

func isUndecided(err error) bool {
	return err != nil && strings.Contains(err.Error(), "incompatible with current running cluster")
}

// errNotUp means that a member has read its data, but cannot start from it.
var errNotUp = errors.New("it does not come up from what is in")

// errStopped means that a member has stopped by itself: it was removed.
var errStopped = errors.New("the member has stopped")

// awaitReady waits until a member takes part in its store.
func awaitReady(ctx context.Context, c Config, e *embed.Etcd, f *faults, several bool) error {
	var enough, never <-chan time.Time
	switch {
	case several:
		enough = time.After(severalLimit)
	case len(c.Join) == 0: // it has no other to wait for; if its log was cut short, it may wait for ever
		never = time.After(aloneLimit)
	}
	select {
	case <-e.Server.ReadyNotify():
		return nil
	case <-enough:
		c.Logger.Warn("too few members of the store answer; continuing without")
		return nil
	case <-never:
		return fmt.Errorf("%w %s", errNotUp, e.Config().Dir)
	case <-f.failed:
		return f.err
	case <-e.Server.StoppingNotify():
		return errStopped
	case err := <-e.Err():
		select {
		case <-e.Server.StoppingNotify(): // both came at once
			return errStopped
		default:
		}
		return fmt.Errorf("start the store in %s: %w", e.Config().Dir, err)
	case <-ctx.Done():
		return intent.Unavailablef("start the store in %s: not ready in time: %w", e.Config().Dir, ctx.Err())
	}
}

func serverConfig(closing context.Context, c Config, dir string) (*embed.Config, error) {
	ec := embed.NewConfig()
	ec.Name = c.Name
	ec.Dir = filepath.Join(dir, "data")
	ec.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zapTo(closing, c.Logger))
	ec.TickMs = uint(tick.Milliseconds())
	ec.ElectionMs = uint(election.Milliseconds())
	ec.AutoCompactionMode = embed.CompactorModePeriodic
	ec.AutoCompactionRetention = compaction
	ec.UnsafeNoFsync = c.Unsynced
	ec.EnableGRPCGateway = false // clients speak gRPC
	ec.AuthToken = ""            // clients have certificates, not passwords

	peer, err := url.Parse(c.advertisedPeer())
	if err != nil {
		return nil, fmt.Errorf("parse peer URL: %w", err)
	}
	ec.ListenPeerUrls = nil
	if c.peer() != "" {
		ec.ListenPeerUrls = []url.URL{*peer}
	}
	ec.AdvertisePeerUrls = []url.URL{*peer}

	ec.ListenClientUrls = nil
	if socket := filepath.Join(dir, "etcd.sock"); len(socket) <= socketPathMax {
		ec.ListenClientUrls = append(ec.ListenClientUrls, url.URL{Scheme: "unix", Path: socket})
		// With a separate listener for etcd's HTTP (metrics and health), the other URLs
		// speak gRPC alone: watches starve when they share a port with HTTP.
		ec.ListenClientHttpUrls = []url.URL{{Scheme: "unix", Path: filepath.Join(dir, "http.sock")}}
	} else {
		c.Logger.Info("store has no local socket; its path is too long", "path", socket)
	}
	for _, s := range c.Listen {
		u, err := url.Parse(s)
		if err != nil {
			return nil, fmt.Errorf("parse listen URL: %w", err)
		}
		ec.ListenClientUrls = append(ec.ListenClientUrls, url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path})
	}
	ec.AdvertiseClientUrls = ec.ListenClientUrls
	tls := transport.TLSInfo{CertFile: c.Cert, KeyFile: c.Key, TrustedCAFile: c.CA, ClientCertAuth: true}
	if usesTLS(c.Listen) || usesTLS([]string{c.peer()}) {
		c.warnOfExpiry()
		ec.TlsMinVersion = string(tlsutil.TLSVersion13)
	}
	if usesTLS(c.Listen) {
		ec.ClientTLSInfo = tls
	}
	if usesTLS([]string{c.peer()}) {
		ec.PeerTLSInfo = tls
	}
	return ec, nil
}

// endWith ends every stream when ctx ends. Clients take that for a broken connection, and
// go on elsewhere or later.
func endWith(ctx context.Context) grpc.StreamServerInterceptor {
	return func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		sctx, cancel := context.WithCancel(ss.Context())
		defer cancel()
		defer context.AfterFunc(ctx, cancel)()
		err := handler(srv, endingStream{ss, sctx})
		if ctx.Err() != nil {
			return status.Error(codes.Unavailable, "the store is stopping")
		}
		return err
	}
}

// endingStream is a stream with its own context.
type endingStream struct {
	grpc.ServerStream
	ctx context.Context
}

// Context implements grpc.ServerStream.
func (s endingStream) Context() context.Context { return s.ctx }
