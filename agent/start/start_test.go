package start

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ovloom/ovloom/config"
	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/ovsdb"
)

func testConfig(t *testing.T) config.Config {
	cfg := config.Default()
	dir := t.TempDir()
	cfg.HostName, cfg.StateDir, cfg.OVSDB = "host1", filepath.Join(dir, "state"), "unix:"+filepath.Join(dir, "db.sock")
	return cfg
}

// An impossible store configuration is refused before anything is changed.
func TestPrepareLooksFirst(t *testing.T) {
	cfg := testConfig(t)
	cfg.Store = []string{"ftp://192.0.2.1"}
	h, err := Prepare(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if h != nil || intent.KindOf(err) != intent.Invalid {
		t.Errorf("%+v, %v; want Invalid", h, err)
	}
	if _, err := os.Stat(cfg.StateDir); !os.IsNotExist(err) {
		t.Errorf("the state directory was made: %v", err)
	}
}

// Without a database the host cannot be prepared, and the error names the flag.
func TestPrepareWithoutDatabase(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	cfg := testConfig(t)
	h, err := Prepare(ctx, cfg, slog.New(slog.DiscardHandler))
	if h != nil || err == nil || !strings.Contains(err.Error(), "(--ovsdb)") {
		t.Errorf("%+v, %v; want an error about --ovsdb", h, err)
	}
	if i, err := os.Stat(cfg.StateDir); err != nil || i.Mode().Perm() != 0o700 {
		t.Errorf("the state directory: %v, %v", i, err)
	}
}

func TestBridge(t *testing.T) {
	h := &Host{Config: testConfig(t), Self: intent.Host{Datapath: ovsdb.DatapathNetdev}}
	b := h.Bridge()
	if !h.Userspace() || b.Name != "br-int" || b.VXLANPort != "vx0" || b.VXLANUDPPort != 4789 || b.Datapath != ovsdb.DatapathNetdev || len(b.Prefixes) == 0 {
		t.Errorf("bridge %+v", b)
	}
}
