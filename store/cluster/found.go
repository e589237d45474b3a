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

// A store that is empty knows nothing of the VNIs that are in use, nor of the flows
// that other hosts have: two tenants would meet. So one is founded only where nothing
// says that there was one, or when a user asks for that.

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

// hasData says whether there is a member's data.
func hasData(stateDir string) bool {
	return wal.Exist(filepath.Join(dataDir(stateDir), "member", "wal"))
}

// Init has the host whose state directory c names begin with another store: one that
// is founded empty by the next start, or if the store is elsewhere, the one that
// answers there. What data of a member there is, is set aside, and where is returned.
// No process may use the state directory.
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
