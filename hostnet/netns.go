package hostnet

// The namespaces that ports are plugged into.

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"strings"

	"github.com/vishvananda/netns"

	"github.com/ovloom/ovloom/intent"
)

// Target is a network namespace other than the host's. One field is set.
type Target struct {
	Netns string // name, as `ip netns list` shows it, or a path, if it has a slash
	PID   int    // of a process in it
}

// String returns the target as users say it.
func (t Target) String() string {
	if t.PID != 0 {
		return fmt.Sprintf("the network namespace of process %d", t.PID)
	}
	return "network namespace " + t.Netns
}

// open returns a handle of the namespace, to be closed.
func (t Target) open() (netns.NsHandle, error) {
	var ns netns.NsHandle
	var err error
	switch {
	case t.PID != 0 && t.Netns != "":
		return netns.None(), intent.Invalidf("both a network namespace (%s) and a process (%d) are given", t.Netns, t.PID).
			WithHint("give one of them")
	case t.PID < 0:
		return netns.None(), intent.Invalidf("process id %d is negative", t.PID)
	case t.PID > 0:
		ns, err = netns.GetFromPid(t.PID)
	case t.Netns == "":
		return netns.None(), intent.Invalidf("no network namespace is given").WithHint("give its name or path, or the id of a process in it")
	case strings.Contains(t.Netns, "/"):
		ns, err = netns.GetFromPath(t.Netns)
	default:
		ns, err = netns.GetFromName(t.Netns)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist) && t.PID > 0:
		return netns.None(), intent.NotFoundf("process %d does not exist", t.PID)
	case errors.Is(err, fs.ErrNotExist):
		return netns.None(), intent.NotFoundf("%s does not exist", t).WithHint("see `ip netns list`, or make it: ip netns add NAME")
	case err != nil:
		return netns.None(), fmt.Errorf("open %s: %w", t, err)
	}
	if err := t.check(ns); err != nil {
		ns.Close()
		return netns.None(), err
	}
	return ns, nil
}

// check refuses a file that is no network namespace, and the host's own.
func (t Target) check(ns netns.NsHandle) error {
	// A left-over of `ip netns` is an ordinary empty file, and is refused by setns only.
	if err := inNamespace(ns, func() error { return nil }); err != nil {
		return intent.NotFoundf("%s is no network namespace: %w", t, err)
	}
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

// inNamespace runs f on a thread that is in the namespace for as long.
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
		// A thread that cannot go back stays locked, and so is never handed to others.
		// It must go back where it can: the process's first thread does not end with
		// its goroutine, and is what others know the process's namespace by.
		if netns.Set(own) == nil {
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	return <-done
}
