package hostnet

// The namespaces that ports are plugged into.

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strconv"
	"strings"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/ovloom/ovloom/intent"
)

// Target is a network namespace other than the host's. One field is set.
type Target struct {
	Netns string // name, as `ip netns list` shows it, or a path, if it has a slash
	PID   int    // of a process in the namespace
}

// String returns the target as users say it.
func (t Target) String() string {
	if t.PID != 0 {
		return fmt.Sprintf("the network namespace of process %d", t.PID)
	}
	return "network namespace " + t.Netns
}

// NamespaceID identifies a network namespace for as long as it exists.
type NamespaceID struct {
	Device uint64 `json:"device"`
	Inode  uint64 `json:"inode"`
}

// Place is the resolved target: enough to find the namespace again, and to recognise
// that it is still the same one.
type Place struct {
	Namespace NamespaceID
	Started   uint64 // start of the target's process, in clock ticks since boot (proc(5)); 0: the target was no process
}

// open returns a handle of the namespace; the caller closes it.
func (t Target) open() (netns.NsHandle, Place, error) {
	var ns netns.NsHandle
	var place Place
	var err error
	switch {
	case t.PID != 0 && t.Netns != "":
		return netns.None(), place, intent.Invalidf("both a network namespace (%s) and a process (%d) are given", t.Netns, t.PID).
			WithHint("give one of them")
	case t.PID < 0:
		return netns.None(), place, intent.Invalidf("process id %d is negative", t.PID)
	case t.PID > 0:
		ns, place.Started, err = openOfProcess(t.PID)
	case t.Netns == "":
		return netns.None(), place, intent.Invalidf("no network namespace is given").WithHint("give its name or path, or the id of a process in it")
	case strings.Contains(t.Netns, "/"):
		ns, err = openNamespace(t.Netns)
	default:
		ns, err = openNamespace("/run/netns/" + t.Netns)
	}
	switch {
	case errors.Is(err, errNoNamespace):
		return netns.None(), place, intent.NotFoundf("%s is no network namespace", t).
			WithHint("give a name that `ip netns list` shows, or a path such as /run/netns/NAME or /proc/PID/ns/net")
	case (errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH)) && t.PID > 0:
		return netns.None(), place, intent.NotFoundf("process %d does not exist", t.PID).
			WithHint("give the id of one that runs: `lsns -t net` shows processes with a network of their own")
	case errors.Is(err, fs.ErrNotExist):
		return netns.None(), place, intent.NotFoundf("%s does not exist", t).WithHint("see `ip netns list`, or make it: ip netns add NAME")
	case err != nil:
		return netns.None(), place, fmt.Errorf("open %s: %w", t, err)
	}
	place.Namespace, err = identify(ns)
	if err == nil {
		err = t.check(ns)
	}
	if err != nil {
		ns.Close()
		return netns.None(), place, err
	}
	return ns, place, nil
}

// errNoNamespace says that a file is not a network namespace.
var errNoNamespace = errors.New("not a network namespace")

// nsfsMagic is the file system of namespaces (linux/magic.h).
const nsfsMagic = 0x6e736673

// openNamespace opens a file only if it is a network namespace. It checks before
// opening: a FIFO would block for ever, and opening a device may have side effects.
func openNamespace(path string) (netns.NsHandle, error) {
	looked, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return netns.None(), &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(looked)
	var where unix.Statfs_t
	if err := unix.Fstatfs(looked, &where); err != nil {
		return netns.None(), &fs.PathError{Op: "statfs", Path: path, Err: err}
	}
	if where.Type != nsfsMagic {
		return netns.None(), errNoNamespace
	}
	fd, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", looked), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return netns.None(), &fs.PathError{Op: "open", Path: path, Err: err}
	}
	if kind, err := unix.IoctlRetInt(fd, unix.NS_GET_NSTYPE); err != nil || kind != unix.CLONE_NEWNET {
		unix.Close(fd)
		return netns.None(), errNoNamespace
	}
	return netns.NsHandle(fd), nil
}

// openOfProcess opens the namespace of a process, and returns the process's start time.
// It detects a process id reused meanwhile.
func openOfProcess(pid int) (netns.NsHandle, uint64, error) {
	started, err := processStart(pid)
	if err != nil {
		return netns.None(), 0, err
	}
	ns, err := openNamespace(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		return netns.None(), 0, err
	}
	if again, err := processStart(pid); err != nil || again != started {
		ns.Close()
		return netns.None(), 0, unix.ESRCH
	}
	return ns, started, nil
}

// processStart returns when a process started (proc(5): field 22 of stat). The
// process's name may contain anything, so counting begins after the last parenthesis.
func processStart(pid int) (uint64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(fields) < 20 {
		return 0, fmt.Errorf("stat of process %d has %d fields", pid, len(fields))
	}
	return strconv.ParseUint(fields[19], 10, 64)
}

// identify returns the namespace's identity.
func identify(ns netns.NsHandle) (NamespaceID, error) {
	var s unix.Stat_t
	if err := unix.Fstat(int(ns), &s); err != nil {
		return NamespaceID{}, fmt.Errorf("identify a network namespace: %w", err)
	}
	return NamespaceID{uint64(s.Dev), s.Ino}, nil
}

// check refuses the host's own namespace.
func (t Target) check(ns netns.NsHandle) error {
	own, err := netns.Get()
	if err != nil {
		return fmt.Errorf("open the host's own network namespace: %w", err)
	}
	defer own.Close()
	if ns.Equal(own) {
		return intent.Conflictf("%s is the host's own", t).WithHint("a port is plugged into a namespace of its own")
	}
	return nil
}

// inNamespace runs f on a thread that is in the namespace meanwhile.
func inNamespace(ns netns.NsHandle, f func() error) error {
	own, err := netns.Get()
	if err != nil {
		return fmt.Errorf("open the host's own network namespace: %w", err)
	}
	defer own.Close()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		err := netns.Set(ns)
		if err != nil {
			runtime.UnlockOSThread()
			done <- fmt.Errorf("enter the network namespace: %w", err)
			return
		}
		err = f()
		// A thread that cannot go back stays locked, and is not reused. It must try:
		// the process's first thread does not end with its goroutine, and is what
		// others know the process's namespace by.
		if netns.Set(own) == nil {
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	return <-done
}

// targetOf returns a path's namespace as a user would name it.
func targetOf(path string) Target {
	if name, ok := strings.CutPrefix(path, "/run/netns/"); ok && !strings.Contains(name, "/") {
		return Target{Netns: name}
	}
	if rest, ok := strings.CutPrefix(path, "/proc/"); ok {
		if pid, err := strconv.Atoi(strings.TrimSuffix(rest, "/ns/net")); err == nil {
			return Target{PID: pid}
		}
	}
	return Target{Netns: path}
}

func notFoundEnd(name string) error {
	return intent.NotFoundf("the namespace of the other end of %s has no name and no process", name)
}
