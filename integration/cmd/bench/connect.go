package main

// This file opens many short connections.

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// diallers is the number of concurrent connections.
const diallers = 4

// connectMany opens connections, requests a byte on each, and returns their number and the
// duration.
func connectMany(ctx context.Context, w *way) (int64, time.Duration, error) {
	var l net.Listener
	err := w.to.InNetNS(func() (err error) {
		l, err = net.Listen("tcp", netip.AddrPortFrom(w.addr, 0).String())
		return err
	})
	if err != nil {
		return 0, 0, err
	}
	defer l.Close()
	go answerMany(l)
	ctx, cancel := context.WithTimeout(ctx, wireTime)
	defer cancel()
	var opened atomic.Int64
	var dialling sync.WaitGroup
	failed := make([]error, diallers)
	start := time.Now()
	for i := range failed {
		dialling.Go(func() {
			failed[i] = w.from.InNetNS(func() error {
				for ctx.Err() == nil {
					if err := askOnce(l.Addr().String()); err != nil {
						return err
					}
					opened.Add(1)
				}
				return nil
			})
		})
	}
	dialling.Wait()
	return opened.Load(), time.Since(start), errors.Join(failed...)
}

// askOnce opens a connection, and closes it after a byte was answered. It ends with a reset: an
// orderly close would occupy its port for a minute.
func askOnce(addr string) error {
	conn, err := net.DialTimeout("tcp", addr, waitLimit)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := errors.Join(conn.SetDeadline(time.Now().Add(waitLimit)), conn.(*net.TCPConn).SetLinger(0)); err != nil {
		return err
	}
	b := make([]byte, 1)
	if _, err := conn.Write(b); err != nil {
		return err
	}
	_, err = conn.Read(b)
	return err
}

// answerMany answers one byte on each connection until the listener is closed.
func answerMany(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			// Errors are ignored: the client notices a missing answer. The last read waits for the end.
			_ = conn.SetDeadline(time.Now().Add(waitLimit))
			b := make([]byte, 1)
			if _, err := conn.Read(b); err == nil {
				_, _ = conn.Write(b)
				_, _ = conn.Read(b)
			}
		}()
	}
}
