package ofconn

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestKeepReportsTheSameFailureOnce(t *testing.T) {
	var log logged
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	addr := "unix:" + filepath.Join(t.TempDir(), "none")
	err := Keep(ctx, addr, Config{Log: slog.New(slog.NewTextHandler(&log, nil))}, func(context.Context, *Conn) error {
		t.Error("there is a connection")
		return nil
	})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Keep returned %v", err)
	}
	if n := strings.Count(log.String(), "no openflow connection"); n != 1 || !strings.Contains(log.String(), addr) {
		t.Errorf("%d lines, want one that names %s:\n%s", n, addr, log.String())
	}
}

func TestKeepClosesWhatServeLeaves(t *testing.T) {
	var log logged
	addr, _ := startFake(t, (*fake).serve)
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	var c *Conn
	err := Keep(ctx, addr, Config{Log: slog.New(slog.NewTextHandler(&log, nil))}, func(_ context.Context, got *Conn) error {
		c = got
		time.AfterFunc(50*time.Millisecond, func() { cancel(enough) }) // the fake takes no second connection
		return errors.New("the resync failed")
	})
	if !errors.Is(err, enough) {
		t.Errorf("Keep returned %v", err)
	}
	waitDone(t, c)
	if !strings.Contains(log.String(), "the resync failed") {
		t.Errorf("the log does not say why:\n%s", log.String())
	}
}
