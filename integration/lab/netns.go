package lab

// This file runs code of this process inside a network namespace.

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// inNetNS runs fn on a thread inside the namespace at path. Sockets that fn opens stay in that
// namespace. Fn must not start goroutines that open sockets.
func inNetNS(path string, fn func() error) error {
	return onOwnThread(func() error {
		if err := enterNetNS(path); err != nil {
			return err
		}
		return fn()
	})
}

// onOwnThread runs fn on a thread that ends with it, so that fn may change the thread's
// namespace.
func onOwnThread(fn func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked, so that the thread ends
		err := errors.New("the function ended its goroutine")
		defer func() { done <- err }()
		err = fn()
	}()
	return <-done
}

// enterNetNS moves the calling thread into a namespace.
func enterNetNS(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("enter network namespace: %w", err)
	}
	defer f.Close()
	if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter network namespace %s: %w", path, err)
	}
	return nil
}

// setSysctl sets a value below /proc/sys/net in the namespace at path.
func setSysctl(path, key, value string) error {
	return inNetNS(path, func() error {
		return os.WriteFile("/proc/sys/net/"+key, []byte(value), 0)
	})
}

// ipNet returns p as the older type that netlink requires.
func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
