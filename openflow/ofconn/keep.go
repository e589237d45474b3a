package ofconn

import (
	"context"
	"fmt"
	"time"
)

// This file keeps a connection up.

// Pauses between attempts to connect. An attempt costs some microseconds, and a switch
// that restarts empty drops everything until it is programmed: so even the longest is
// short.
const (
	firstRetry   = 20 * time.Millisecond
	longestRetry = 100 * time.Millisecond
)

// Keep connects to a switch, again and again, until ctx ends, and returns its cause. It
// calls serve with each connection. serve's context ends with the connection, with the
// same cause; when serve returns, the connection is closed.
func Keep(ctx context.Context, addr string, cfg Config, serve func(context.Context, *Conn) error) error {
	cfg = cfg.withDefaults()
	wait := firstRetry
	reported := "" // the last failure to connect: logged once for repeated attempts
	for ctx.Err() == nil {
		c, err := Dial(ctx, addr, cfg)
		if err == nil {
			reported = ""
			start := time.Now()
			err = serveUntilLost(ctx, c, addr, serve)
			if time.Since(start) > time.Second { // the connection was of use
				wait = firstRetry
			}
		}
		if ctx.Err() != nil {
			break
		}
		if s := fmt.Sprint(err); s != reported {
			reported = s
			cfg.Log.Warn("no openflow connection", "addr", addr, "error", err)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
		wait = min(2*wait, longestRetry)
	}
	return context.Cause(ctx)
}

// serveUntilLost runs serve with a connection and returns why it ended: the loss of the
// connection, or serve's error.
func serveUntilLost(ctx context.Context, c *Conn, addr string, serve func(context.Context, *Conn) error) error {
	defer c.Close()
	c.cfg.Log.Info("openflow connection up", "addr", addr, "datapath", fmt.Sprintf("%016x", c.DatapathID()))
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
	err := serve(ctx, c)
	if lost := c.Err(); lost != nil {
		return lost
	}
	return err
}
