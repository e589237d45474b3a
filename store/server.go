package store

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/tlsutil"
	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/server/v3/embed"

	"github.com/ovloom/ovloom/intent"
)

// The embedded member.
const (
	memberName = "ovloom"
	peerURL    = "http://127.0.0.1:2380" // names the only member; nothing listens there

	socketPathMax = 107 // bytes; unix(7), sockaddr_un without the final zero

	// A member that is alone elects itself: it need not wait for others, only
	// count its ticks. With 100 ms and 1 s, opening takes 0.5 to 0.8 s.
	tick     = 10 * time.Millisecond
	election = 50 * time.Millisecond

	compaction = "1h"
)

// startServer starts the member and waits until it answers. Its data and its
// socket are in a folder that nobody else may enter.
func startServer(ctx context.Context, c Config) (*embed.Etcd, error) {
	dir := filepath.Join(c.StateDir, "etcd")
	if err := privateDir(dir); err != nil {
		return nil, err
	}
	ec, err := serverConfig(c, dir)
	if err != nil {
		return nil, err
	}
	e, err := embed.StartEtcd(ec)
	if err != nil {
		return nil, fmt.Errorf("start the store in %s: %w", dir, err)
	}
	select {
	case <-e.Server.ReadyNotify():
		return e, nil
	case err := <-e.Err():
		e.Close()
		return nil, fmt.Errorf("start the store in %s: %w", dir, err)
	case <-ctx.Done():
		e.Close()
		return nil, intent.Unavailablef("start the store in %s: not ready in time: %w", dir, ctx.Err())
	}
}

func serverConfig(c Config, dir string) (*embed.Config, error) {
	ec := embed.NewConfig()
	ec.Name = memberName
	ec.Dir = filepath.Join(dir, "data")
	ec.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zapTo(c.Logger))
	ec.TickMs = uint(tick.Milliseconds())
	ec.ElectionMs = uint(election.Milliseconds())
	ec.AutoCompactionMode = embed.CompactorModePeriodic
	ec.AutoCompactionRetention = compaction
	ec.EnableGRPCGateway = false // nobody speaks JSON to it

	peer, err := url.Parse(peerURL)
	if err != nil {
		return nil, fmt.Errorf("parse peer URL: %w", err)
	}
	ec.ListenPeerUrls = nil
	ec.AdvertisePeerUrls = []url.URL{*peer}
	ec.InitialCluster = ec.InitialClusterFromName(ec.Name)

	ec.ListenClientUrls = nil
	if socket := filepath.Join(dir, "etcd.sock"); len(socket) <= socketPathMax {
		ec.ListenClientUrls = append(ec.ListenClientUrls, url.URL{Scheme: "unix", Path: socket})
	} else {
		c.Logger.Info("store has no local socket: its path is too long", "path", socket)
	}
	for _, s := range c.Listen {
		u, err := url.Parse(s)
		if err != nil {
			return nil, fmt.Errorf("parse listen URL: %w", err)
		}
		ec.ListenClientUrls = append(ec.ListenClientUrls, url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path})
	}
	ec.AdvertiseClientUrls = ec.ListenClientUrls
	if usesTLS(c.Listen) {
		if err := c.files().Check(); err != nil {
			return nil, err
		}
		ec.TlsMinVersion = string(tlsutil.TLSVersion13)
		ec.ClientTLSInfo = transport.TLSInfo{CertFile: c.Cert, KeyFile: c.Key, TrustedCAFile: c.CA, ClientCertAuth: true}
	}
	return ec, nil
}

// privateDir makes a folder that only its owner may enter.
func privateDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make state directory: %w", err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return fmt.Errorf("make state directory private: %w", err)
	}
	return nil
}
