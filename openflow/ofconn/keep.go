package ofconn

import (
	"context"
	"fmt"
	"time"
)

// This file keeps a connection up.

// Times between two attempts to connect. Trying costs some microseconds, and a switch that
// comes back empty drops everything until it is programmed: so the longest is short.
const (
	firstRetry   = 20 * time.Millisecond
	longestRetry = 100 * time.Millisecond
)

// Keep connects to a switch, again and again, until ctx ends, whose cause it returns. It
// calls serve with each connection. The context of serve ends with the connection;
// when serve returns, the connection is closed.
func Keep(ctx context.Context, addr string, cfg Config, serve func(context.Context, *Conn) error) error {
	cfg = cfg.withDefaults()
	wait := firstRetry
	reported := ""
	for ctx.Err() == nil {
		start := time.Now()
		err := connectAndServe(ctx, addr, cfg, serve)
		if time.Since(start) > time.Second {
			wait = firstRetry
		}
		if ctx.Err() != nil {
			break
		}
		if s := fmt.Sprint(err); s != reported { // not every attempt of many
			reported = s
			cfg.Log.Warn("no openflow connection", "addr", addr, "err", err)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
		wait = min(2*wait, longestRetry)
	}
	return context.Cause(ctx)
}

// connectAndServe returns why there is no connection any more.
func connectAndServe(ctx context.Context, addr string, cfg Config, serve func(context.Context, *Conn) error) error {
	c, err := Dial(ctx, addr, cfg)
	if err != nil {
		return err
	}
	defer c.Close()
	cfg.Log.Info("openflow connection up", "addr", addr, "datapath", fmt.Sprintf("%016x", c.DatapathID()))
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	served := make(chan struct{})
	defer close(served)
	go func() {
		select {
		case <-c.Done():
			cancel(c.Err())
		case <-served:
		}
	}()
	err = serve(ctx, c)
	if lost := c.Err(); lost != nil {
		return lost
	}
	return err
}
