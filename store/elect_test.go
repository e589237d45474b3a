package store

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
)

// TestElectAlone: a member that is alone does not wait for its timer, neither the
// first time nor when it comes back.
func TestElectAlone(t *testing.T) {
	c := Config{StateDir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)}.withDefaults()
	dir := filepath.Join(c.StateDir, "etcd")
	if err := privateDir(dir); err != nil {
		t.Fatal(err)
	}
	const tick = 8 * time.Second // the least that the timer would wait
	for _, start := range []string{"new", "again"} {
		ec, err := serverConfig(t.Context(), c, dir)
		if err != nil {
			t.Fatal(err)
		}
		place{cluster: c.Name + "=" + c.advertisedPeer()}.apply(ec)
		ec.TickMs, ec.ElectionMs = uint(tick.Milliseconds()), uint(6*tick.Milliseconds())
		e, err := embed.StartEtcd(ec)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), tick)
		electAlone(ctx, e)
		cancel()
		select {
		case <-e.Server.ReadyNotify():
		case <-time.After(max(tick-time.Since(began), 0)):
			t.Errorf("%s: not ready in %v", start, time.Since(began))
		}
		e.Close()
	}
}
