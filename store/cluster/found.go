package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"go.etcd.io/etcd/server/v3/storage/wal"

	"github.com/ovloom/ovloom/durable"
	"github.com/ovloom/ovloom/intent"
)

// An empty store knows nothing of the VNIs in use, nor of the flows on other hosts: two
// tenants could be mixed up. So a store is founded only where there is no trace of an
// earlier one, or when a user asks for it.

// mayFound refuses to found a store where there are traces of one.
func (c Config) mayFound() *intent.Error {
	id, err := readIdentity(c.StateDir)
	if err == nil && id.New {
		return nil
	}
	var traces []string
	switch {
	case err != nil:
		traces = append(traces, "a note of the store that it knew, which cannot be read")
	case id.Cluster != "":
		traces = append(traces, "a note of store "+id.Cluster)
	}
	if c.Traces != nil {
		traces = append(traces, c.Traces()...)
	}
	if len(traces) == 0 {
		return nil
	}
	return intent.Unavailablef("the store's data is not in %s, and this host has seen a store: it has %s", dataDir(c.StateDir), strings.Join(traces, ", ")).
		WithHint("restore a backup: ovloom store restore FILE; or give up what was, and begin with a new and empty one: ovloom store init; packets keep flowing")
}

// hasData reports whether there is a member's data.
func hasData(stateDir string) bool {
	return wal.Exist(filepath.Join(dataDir(stateDir), "member", "wal"))
}

// Init makes the host with the state directory in c start over with another store: an
// empty one founded at the next start, or if the store is elsewhere, the one that answers
// there. It sets a member's data aside, and returns where. No process may use the state
// directory.
func Init(c Config) (kept string, err error) {
	c = c.withDefaults()
	if err := durable.PrivateDir(c.StateDir); err != nil {
		return "", err
	}
	lock, err := lockDir(c.StateDir)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if len(c.Endpoints) == 0 {
		if kept, err = setAside(c.StateDir); err != nil {
			return "", err
		}
	}
	if err := os.Remove(crashFile(c.StateDir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return kept, fmt.Errorf("remove the trace of a crash: %w", err)
	}
	return kept, identity{New: true}.write(c.StateDir)
}
