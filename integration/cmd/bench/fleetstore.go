package main

// This file is a store of three members, each in its own process: this program, started again
// with the argument storeMember, so that the usage of the store and of its clients can be
// measured separately.

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
)

// storeMember as the first argument makes this program a member of the store. The
// others are its name, its folder, its URL for clients, the URLs of all members
// among themselves ("m0=http://…,m1=http://…"), and syncs or carefree.
const storeMember = "store-member"

// How a member writes: safely over crashes, or fast, to fill the store.
const (
	syncs    = "syncs"
	carefree = "carefree"
)

// members is a store of three members.
type members struct {
	dir      string
	clients  []string // URLs
	cluster  string
	commands []*exec.Cmd // of the running members
}

// newMembers chooses addresses for three members. They do not run yet.
func newMembers(dir string) (*members, error) {
	m := &members{dir: dir}
	var all []string
	for i := range 3 {
		client, err := freeAddress()
		if err != nil {
			return nil, err
		}
		peer, err := freeAddress()
		if err != nil {
			return nil, err
		}
		m.clients = append(m.clients, "http://"+client)
		all = append(all, fmt.Sprintf("m%d=http://%s", i, peer))
	}
	m.cluster = strings.Join(all, ",")
	return m, nil
}

// freeAddress returns an unused address of this machine.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("look for a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// start starts the members, with their earlier data.
func (m *members) start(ctx context.Context, mode string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	for i, client := range m.clients {
		name := fmt.Sprintf("m%d", i)
		cmd := exec.CommandContext(ctx, self, storeMember, name, filepath.Join(m.dir, name), client, m.cluster, mode)
		cmd.Stderr = os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			return fmt.Errorf("start a member of the store: %w", err)
		}
		m.commands = append(m.commands, cmd)
	}
	return nil
}

// stop stops the members.
func (m *members) stop() error {
	var errs []error
	for _, cmd := range m.commands {
		errs = append(errs, cmd.Process.Signal(syscall.SIGTERM))
	}
	for _, cmd := range m.commands {
		errs = append(errs, cmd.Wait())
	}
	m.commands = nil
	return errors.Join(errs...)
}

// usage returns the sum of what all members have used, and the memory of the largest.
func (m *members) usage() (all usage, largest int64, err error) {
	for _, cmd := range m.commands {
		u, err := usageOf(cmd.Process.Pid)
		if err != nil {
			return all, largest, err
		}
		all.cpu, all.rss = all.cpu+u.cpu, all.rss+u.rss
		largest = max(largest, u.rss)
	}
	return all, largest, nil
}

// memberMain is the main function of a member's process.
func memberMain(args []string) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := runMember(ctx, args); err != nil {
		fmt.Fprintf(os.Stderr, "bench: %s: %v\n", storeMember, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// runMember is a member of the store until ctx ends.
func runMember(ctx context.Context, args []string) error {
	if len(args) != 5 {
		return fmt.Errorf("%s: %d arguments", storeMember, len(args))
	}
	c := embed.NewConfig()
	c.Name, c.Dir, c.LogLevel = args[0], args[1], "fatal"
	c.InitialCluster, c.UnsafeNoFsync = args[3], args[4] == carefree
	client, err := url.Parse(args[2])
	if err != nil {
		return err
	}
	var peer *url.URL
	for member := range strings.SplitSeq(args[3], ",") {
		if name, address, _ := strings.Cut(member, "="); name == c.Name {
			if peer, err = url.Parse(address); err != nil {
				return err
			}
		}
	}
	if peer == nil {
		return fmt.Errorf("%s: %s is not among %s", storeMember, c.Name, args[3])
	}
	c.ListenPeerUrls, c.AdvertisePeerUrls = []url.URL{*peer}, []url.URL{*peer}
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{*client}, []url.URL{*client}
	// So that clients have a URL for gRPC alone, as in package store.
	c.ListenClientHttpUrls = []url.URL{{Scheme: "unix", Path: filepath.Join(c.Dir, "http.sock")}}
	c.EnableGRPCGateway = false
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return err
	}
	c.Dir = filepath.Join(c.Dir, "data")
	e, err := embed.StartEtcd(c)
	if err != nil {
		return err
	}
	defer e.Close()
	select {
	case <-ctx.Done():
		// Otherwise clients' watches would delay the end for seconds.
		e.Server.HardStop()
		return nil
	case err := <-e.Err():
		return err
	case <-e.Server.StopNotify():
		return errors.New("the member stopped by itself")
	case <-time.After(most):
		return errors.New("the member ended by itself")
	}
}
