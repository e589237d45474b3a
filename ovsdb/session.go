package ovsdb

// One connection to ovsdb-server, with its own replica of the tables.
//
// libovsdb can reconnect by itself, but then rows deleted meanwhile give no event, calls
// block for as long as the server is away, and its back-off ends in a panic. So a lost
// session is discarded, and the next one reads everything again.

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/ovn-kubernetes/libovsdb/cache"
	"github.com/ovn-kubernetes/libovsdb/client"
	"github.com/ovn-kubernetes/libovsdb/model"
	"github.com/ovn-kubernetes/libovsdb/ovsdb"
)

// session is one connection. Its replica can be read even after the session is lost.
type session struct {
	client   client.Client
	replica  *cache.TableCache
	schema   string        // version of the server's schema, such as 8.3.1
	lost     chan struct{} // closed when the session is lost
	loseOnce sync.Once
	cause    error // why it was lost; set before lost is closed
}

// openSession connects and reads all monitored rows. Afterwards it calls changed, which
// must not block, whenever a row changes.
func openSession(ctx context.Context, endpoint string, probe time.Duration, changed func()) (*session, error) {
	m, err := model.NewClientDBModel(tableRoot, rowTypes)
	if err != nil {
		return nil, err
	}
	silent := logr.Discard()
	c, err := client.NewOVSDBClient(m, client.WithEndpoint(endpoint), client.WithLogger(&silent))
	if err != nil {
		return nil, err
	}
	s := &session{client: c, lost: make(chan struct{})}
	err = within(ctx, func(ctx context.Context) error {
		if err := c.Connect(ctx); err != nil {
			return err
		}
		replica := c.Cache()
		if replica == nil {
			return errClosed
		}
		replica.AddEventHandler(&cache.EventHandlerFuncs{
			AddFunc:    func(string, model.Model) { changed() },
			UpdateFunc: func(string, model.Model, model.Model) { changed() },
			DeleteFunc: func(string, model.Model) { changed() },
		})
		// Plain monitor_cond: the replica is new, so there is nothing to resume, and
		// unlike with monitor_cond_since an update that does not fit ends the session.
		_, err := c.Monitor(ctx, &client.Monitor{Method: ovsdb.ConditionalMonitorRPC, Tables: monitored()})
		return err
	})
	if err != nil {
		go c.Close() // in the background: it waits for calls that may hang
		return nil, err
	}
	s.replica = c.Cache()
	s.schema = c.Schema().Version
	if s.replica == nil {
		return nil, errClosed
	}
	go s.watch(probe)
	return s, nil
}

var errClosed = errors.New("the server closed the connection")

// watch ends the session when the server closes it, or stops answering.
func (s *session) watch(probe time.Duration) {
	echo := time.NewTicker(probe)
	defer echo.Stop()
	// libovsdb drops its notification if no receiver is ready, so the connection is also
	// checked periodically.
	look := time.NewTicker(time.Second)
	defer look.Stop()
	for {
		select {
		case <-s.lost:
			return
		case <-s.client.DisconnectNotify():
			s.lose(errClosed)
		case <-look.C:
			err := within(context.Background(), func(context.Context) error {
				if s.client.CurrentEndpoint() == "" {
					return errClosed
				}
				return nil
			}, probe)
			if err != nil {
				s.lose(err)
			}
		case <-echo.C:
			// The call has no deadline of its own: if it is cancelled in the middle of an
			// answer, libovsdb reads and writes the answer at once, which is a data race.
			call := func(context.Context) error { return s.client.Echo(context.Background()) }
			if err := within(context.Background(), call, probe); err != nil {
				s.lose(err)
			}
		}
	}
}

// lose ends the session; the first cause is kept.
func (s *session) lose(cause error) {
	s.loseOnce.Do(func() {
		s.cause = cause
		close(s.lost)
		go s.client.Close() // in the background: it waits for calls that may hang
	})
}

// within runs call and returns at the latest when ctx ends or, if limit is given, after
// that time. A call that hangs longer (libovsdb writes to the socket without a deadline)
// is abandoned, and ends with its connection.
func within(ctx context.Context, call func(context.Context) error, limit ...time.Duration) error {
	for _, d := range limit {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d)
		defer cancel()
	}
	done := make(chan error, 1)
	go func() { done <- call(ctx) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
