package ovsdb

// One connection to ovsdb-server, with a replica of the tables of its own.
//
// libovsdb can reconnect by itself, but then rows that were deleted meanwhile give
// no event, calls block for as long as the server is away, and its back-off ends in
// a panic. So a session is never mended: it is thrown away, and the next one reads
// everything anew.

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

// session is one connection. Its replica can be read even after it is lost.
type session struct {
	client   client.Client
	replica  *cache.TableCache
	schema   string        // version of the server's schema, such as 8.3.1
	lost     chan struct{} // closed when the connection is of no more use
	loseOnce sync.Once
	cause    error // why it was lost; set before lost is closed
}

// openSession connects and reads all monitored rows; changed is called, and must
// not block, whenever a row changed afterwards.
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

// watch ends the session when the server closes it, or does not answer any more.
func (s *session) watch(probe time.Duration) {
	echo := time.NewTicker(probe)
	defer echo.Stop()
	// libovsdb's notification is lost if nobody waits at that moment, so it is
	// looked at again from time to time.
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
			// Without a deadline of its own: given up in the midst of an answer, libovsdb
			// reads it and writes it at once.
			call := func(context.Context) error { return s.client.Echo(context.Background()) }
			if err := within(context.Background(), call, probe); err != nil {
				s.lose(err)
			}
		}
	}
}

// lose ends the session; the first cause counts.
func (s *session) lose(cause error) {
	s.loseOnce.Do(func() {
		s.cause = cause
		close(s.lost)
		go s.client.Close() // in the background: it waits for calls that may hang
	})
}

// within runs call and returns at the latest when ctx ends or, if one is given,
// when the time is over. A call that hangs longer (libovsdb writes to the socket
// without a deadline) is left behind, and ends with its connection.
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
