package cluster

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"github.com/ovloom/ovloom/intent"
)

// lockDir locks the state directory for this process. Two members in one directory would
// silently wait for each other.
func lockDir(dir string) (*os.File, error) {
	return lockFile(dir, os.O_CREATE|os.O_RDWR)
}

// lockReadOnly is lockDir on a read-only disk.
func lockReadOnly(dir string) (*os.File, error) { return lockFile(dir, os.O_RDONLY) }

func lockFile(dir string, how int) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), how, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the state directory: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, intent.Conflictf("state directory %s is in use by another process: %w", dir, err).
			WithHint("stop the other ovloomd, or give this one a state directory of its own")
	}
	return f, nil
}

// instance returns an id that distinguishes this process from others with the same host
// name. It stays the same across restarts.
func instance(c Config) (string, error) {
	if c.Instance != "" {
		return c.Instance, nil
	}
	path := filepath.Join(c.StateDir, "instance")
	b, err := os.ReadFile(path)
	if err == nil && intent.IsUUID(string(b)) {
		return string(b), nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("read instance: %w", err)
	}
	id := uuid.NewString()
	if err := os.WriteFile(path, []byte(id), 0o600); err != nil {
		return "", fmt.Errorf("write instance: %w", err)
	}
	return id, nil
}
