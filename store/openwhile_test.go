package store

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ovloom/ovloom/store/cluster"
)

// Open waits for the work beside it, whether or not the store opens, and if that work fails so
// does Open.
func TestOpenWhile(t *testing.T) {
	server := open(t, cluster.Config{})
	client := func() cluster.Config { return cluster.Config{StateDir: stateDir(t), Endpoints: server.URLs()} }
	done := false
	do := func(err error) func(context.Context) error {
		done = false
		return func(context.Context) error { time.Sleep(10 * time.Millisecond); done = true; return err }
	}
	s, err := OpenWhile(t.Context(), client(), do(nil))
	if err != nil || !done {
		t.Fatalf("done %v, %v", done, err)
	}
	if _, err := s.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}

	refused := errors.New("refused")
	if s, err := OpenWhile(t.Context(), client(), do(refused)); s != nil || !errors.Is(err, refused) {
		t.Errorf("%v, %v; want %v", s, err, refused)
	}
	bad := client()
	bad.Endpoints = []string{"ftp://192.0.2.9"}
	if s, err := OpenWhile(t.Context(), bad, do(nil)); s != nil || err == nil || !done {
		t.Errorf("%v, %v; done %v", s, err, done)
	}
}
