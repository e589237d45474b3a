package apitest

import (
	"context"
	"io"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/ovloom/ovloom/api"
)

// Serve serves the overlay on a socket of its own until the test ends, and
// returns the socket's path.
func (o *Overlay) Serve(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "run", "ovloomd.sock")
	ln, err := api.Listen(path, "")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	srv := api.NewServer(o.Backend(), slog.New(slog.NewTextHandler(io.Discard, nil)))
	go func() { ended <- srv.Serve(ctx, ln) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return path
}
