package store

import (
	"strings"
	"testing"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/cluster"
)

func TestClosedStoreSaysSo(t *testing.T) {
	s := open(t, cluster.Config{})
	acme(t, s)
	done := make(chan error, 1)
	began := make(chan struct{}, 8)
	go func() {
		done <- s.WatchTenant(t.Context(), "acme", func(intent.SpanUpdate) { began <- struct{}{} })
	}()
	<-began
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; intent.KindOf(err) != intent.Unavailable || !strings.Contains(err.Error(), "the store was closed") {
		t.Errorf("watch ended with %v", err)
	}
	if _, err := s.Tenant(t.Context(), "acme"); intent.KindOf(err) != intent.Unavailable || !strings.Contains(err.Error(), "the store was closed") {
		t.Errorf("read of a closed store: %v", err)
	}
}

func TestDataSurvivesARestart(t *testing.T) {
	dir := stateDir(t)
	s := open(t, cluster.Config{StateDir: dir})
	acme(t, s)
	p := must[intent.Port](t)(s.AddPort(t.Context(), port("acme/web/c1")))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, cluster.Config{StateDir: dir})
	if got, err := s.Port(t.Context(), p.Ref()); err != nil || got.UUID != p.UUID {
		t.Errorf("after the restart: %+v, %v", got, err)
	}
	q := must[intent.Port](t)(s.AddPort(t.Context(), port("acme/web/c2")))
	if q.ID <= p.ID || q.Addrs[0] != addr("10.0.0.3") {
		t.Errorf("after the restart: %+v", q)
	}
	checked(t, s)
}
