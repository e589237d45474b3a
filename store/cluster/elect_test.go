package cluster

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/etcd/server/v3/embed"

	"github.com/ovloom/ovloom/durable"
)

// TestElectFounder: a member that founds a store does not wait for its timer.
func TestElectFounder(t *testing.T) {
	c := Config{StateDir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)}.withDefaults()
	dir := filepath.Join(c.StateDir, "etcd")
	if err := durable.PrivateDir(dir); err != nil {
		t.Fatal(err)
	}
	const tick = 8 * time.Second // the shortest wait of the timer
	ec, err := serverConfig(t.Context(), c, dir)
	if err != nil {
		t.Fatal(err)
	}
	place{founds: true, cluster: c.Name + "=" + c.advertisedPeer()}.apply(ec)
	ec.TickMs, ec.ElectionMs = uint(tick.Milliseconds()), uint(6*tick.Milliseconds())
	e, err := embed.StartEtcd(ec)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), tick)
	defer cancel()
	electFounder(ctx, e)
	select {
	case <-e.Server.ReadyNotify():
	case <-time.After(max(tick-time.Since(began), 0)):
		t.Errorf("not ready in %v", time.Since(began))
	}
}
