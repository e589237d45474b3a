package cluster

import (
	"context"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/pki"
)

// dial returns the client of a store elsewhere. It connects in the background.
func dial(closing context.Context, c Config, why *reason) (*clientv3.Client, error) {
	cc := clientv3.Config{
		Endpoints:            c.Endpoints,
		DialTimeout:          c.Timeout,
		DialKeepAliveTime:    10 * time.Second, // the least that gRPC allows
		DialKeepAliveTimeout: 3 * time.Second,
		Logger:               zapTo(closing, c.Logger),
		// After an outage, hosts reconnect within seconds: by default gRPC would wait up
		// to two minutes between attempts.
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
