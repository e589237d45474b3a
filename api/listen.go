// The socket: its directory, group, and stale sockets of an earlier ovloomd.

package api

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/ovloom/ovloom/intent"
)

// Group is the group that may use the socket, where it exists.
const Group = "ovloom"

// Listen makes the API's socket at path, with its directory. Whoever may open the socket
// administers the overlay: it is for root and, where that group exists, group. Listen
// replaces a socket on which no process answers, and refuses where another ovloomd
// answers. Closing the listener removes the socket.
func Listen(path, group string) (net.Listener, error) {
	ln, err := listen(path, group)
	if err != nil {
		return nil, fmt.Errorf("listen on API socket: %w", err)
	}
	return ln, nil
}

func listen(path, group string) (_ net.Listener, err error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	// Lock the directory: of two processes that start at once, both could find the old
	// socket stale, and the later would remove the new socket of the earlier.
	unlock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := removeStale(path); err != nil {
		return nil, err
	}
	// The socket gets its name only after its mode, so that no other user can connect in
	// between.
	tmp := path + ".new"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: tmp, Net: "unix"})
	if err != nil {
		return nil, err
	}
	ln.SetUnlinkOnClose(false)
	defer func() {
		if err != nil {
			_ = ln.Close()
			_ = os.Remove(tmp)
		}
	}()
	if err := os.Chmod(tmp, 0o660); err != nil {
		return nil, err
	}
	if g, err := user.LookupGroup(group); group != "" && err == nil {
		gid, err := strconv.Atoi(g.Gid)
		if err != nil {
			return nil, fmt.Errorf("group %s has id %q: %w", group, g.Gid, err)
		}
		if err := os.Chown(tmp, -1, gid); err != nil {
			return nil, err
		}
	}
	if err := os.Rename(tmp, path); err != nil {
		return nil, err
	}
	made, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	return &socket{UnixListener: ln, path: path, made: made}, nil
}

// removeStale removes the socket at path if no process answers there.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode()&fs.ModeSocket == 0 {
		return intent.Conflictf("%s exists and is not a socket", path).WithHint("remove it, or give another --socket")
	}
	conn, err := net.DialTimeout("unix", path, 2*time.Second)
	if err == nil {
		_ = conn.Close()
		return intent.Conflictf("another ovloomd answers on %s", path).WithHint("stop it, or give another --socket")
	}
	// Only a refusal proves that no process listens; a full queue, for example, does not.
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("find out whether another ovloomd answers: %w", err)
	}
	return os.Remove(path)
}

// lockDir takes the lock that each ovloomd holds while it makes a socket in dir.
func lockDir(dir string) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return func() { _ = f.Close() }, nil
}

// socket is a listener that removes its socket when it is closed.
type socket struct {
	*net.UnixListener
	path string
	made fs.FileInfo
	once sync.Once
}

// Addr returns the name that clients use; the socket was made under another.
func (s *socket) Addr() net.Addr { return &net.UnixAddr{Name: s.path, Net: "unix"} }

// Close ends listening and removes the socket, unless another process has replaced it.
func (s *socket) Close() error {
	s.once.Do(func() {
		if now, err := os.Lstat(s.path); err == nil && os.SameFile(now, s.made) {
			_ = os.Remove(s.path)
		}
	})
	return s.UnixListener.Close()
}
