package lab

// This file builds a lab, checks it and removes it.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// Backend is the kind of a lab's hosts.
type Backend string

// The back ends.
const (
	Namespaces Backend = "namespaces" // one network namespace per host
	Containers Backend = "containers" // one Docker container per host
)

// Backends lists the back ends, for tests that run on all of them.
var Backends = []Backend{Namespaces, Containers}

// Config describes a lab. The zero value is three hosts in namespaces.
type Config struct {
	Hosts       int     // 0: 3
	Backend     Backend // "": Namespaces
	UnderlayMTU int     // bytes of IP packet; 0: 1600, so that 1500 fit into VXLAN

	// NICInBridge puts the underlay's NIC into bridge br-phy, with the VTEP's address, before
	// anything but Open vSwitch runs. Otherwise ovloomd moves it there.
	NICInBridge bool

	// OvloomdFlags are added to the flags of every ovloomd.
	OvloomdFlags []string
	// AllowLog holds regular expressions of allowed log lines.
	AllowLog []string
	// Verify is called by Check for every host that runs an ovloomd.
	Verify func(context.Context, *Host) error
}

// startTimeout is far longer than a start takes, even on a busy machine.
const startTimeout = 2 * time.Minute

// Lab is a set of hosts, each with an Open vSwitch of its own.
type Lab struct {
	// Set by Start.
	Hosts  []*Host
	Dir    string // the files of all its processes
	mark   string
	config Config
	back   backend

	// Set by the back end.
	wiresNS    string // path of the namespace that holds the underlay's bridge
	underlayIf string // name of that bridge

	// Guarded by mu.
	mu       sync.Mutex
	allow    []*regexp.Regexp
	captures []*Capture
	closed   bool
}

// New builds a lab for one test, and checks and removes it at the test's end.
// It fails the test if the lab cannot be built, or if Check finds a fault.
func New(t testing.TB, c Config) *Lab {
	t.Helper()
	l, err := Start(t.Context(), c)
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	if os.Getenv(keepEnv) == "1" {
		// Not by t.Logf: a test process that panics or times out prints no logs.
		fmt.Fprintf(os.Stderr, "%s=1: %s runs in %s; enter a host with: sh %s\n", keepEnv, t.Name(), l.Dir, l.Hosts[0].enterPath())
	}
	t.Cleanup(func() {
		// The test's own context has ended.
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := l.Check(ctx); err != nil {
			t.Errorf("lab: %v", err)
		}
		if t.Failed() && os.Getenv(keepEnv) == "1" {
			how, err := l.Keep()
			t.Logf("%s", how)
			if err == nil {
				return
			}
			t.Errorf("lab: keep: %v", err)
		}
		if err := l.Close(); err != nil {
			t.Errorf("lab: %v", err)
		}
	})
	return l
}

// Start builds a lab outside of a test. The caller closes it.
func Start(ctx context.Context, c Config) (*Lab, error) {
	ctx, cancel := context.WithTimeout(ctx, Patient(startTimeout))
	defer cancel()
	if c.Hosts == 0 {
		c.Hosts = 3
	}
	if c.UnderlayMTU == 0 {
		c.UnderlayMTU = 1600
	}
	if err := Ready(c.Backend); err != nil {
		return nil, err
	}
	if _, err := startReaper(); err != nil {
		return nil, err
	}
	if err := sweepOnce(); err != nil {
		return nil, fmt.Errorf("remove what earlier labs left: %w", err)
	}

	mark := newMark()
	l := &Lab{Dir: dirOf(mark), mark: mark, config: c}
	if err := l.AllowLog(append(harmless, c.AllowLog...)...); err != nil {
		return nil, err
	}
	if err := l.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start lab: %w", err), l.Close())
	}
	return l, nil
}

// sweepOnce removes what dead processes left behind, before the first lab of this process.
var sweepOnce = sync.OnceValue(func() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, err := Sweep(ctx)
	return err
})

func (l *Lab) start(ctx context.Context) error {
	for i := range l.config.Hosts {
		h := &Host{
			Name: fmt.Sprintf("host%d", i+1),
			Dir:  filepath.Join(l.Dir, fmt.Sprintf("h%d", i+1)),
			lab:  l,
		}
		l.Hosts = append(l.Hosts, h)
		if err := h.makeDirs(); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(binDir(), 0o755); err != nil {
		return err
	}
	switch l.config.Backend {
	case Containers:
		l.back = &containers{lab: l}
	default:
		l.back = &namespaces{lab: l}
	}
	if err := l.back.start(ctx); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, h := range l.Hosts {
		g.Go(func() error {
			if err := h.StartSwitch(ctx); err != nil {
				return fmt.Errorf("%s: %w", h.Name, err)
			}
			return h.writeEnter()
		})
	}
	return g.Wait()
}

// Mark returns the mark of the lab, which all its objects carry.
func (l *Lab) Mark() string { return l.mark }

// StartOvloomd starts an ovloomd on every host, the first with the store, and returns when all
// answer.
func (l *Lab) StartOvloomd(ctx context.Context) error {
	// The others can register only after the first one's store answers.
	if _, err := l.Hosts[0].StartOvloomd(ctx); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, h := range l.Hosts[1:] {
		g.Go(func() error {
			_, err := h.StartOvloomd(ctx)
			return err
		})
	}
	return g.Wait()
}

// AllowLog adds regular expressions of allowed log lines. It returns an error if one does not
// compile.
func (l *Lab) AllowLog(patterns ...string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range patterns {
		re, err := regexp.Compile(p)
		if err != nil {
			return fmt.Errorf("allow log lines: %w", err)
		}
		l.allow = append(l.allow, re)
	}
	return nil
}

// Check looks for faults that no lab should have at its end: captures that lost packets,
// warnings in the daemons' logs, daemons that ended unexpectedly, and the findings of
// Config.Verify.
func (l *Lab) Check(ctx context.Context) error {
	var errs []error
	for _, h := range l.Hosts {
		if h.Ovloomd != nil && h.Ovloomd.Running() && l.config.Verify != nil {
			if err := l.config.Verify(ctx, h); err != nil {
				errs = append(errs, fmt.Errorf("%s: verify: %w", h.Name, err))
			}
		}
		for _, p := range []*Process{h.OVSDB, h.Vswitchd, h.Ovloomd} {
			if p != nil && !p.Running() && !p.Ended() {
				errs = append(errs, fmt.Errorf("%s: %s ended by itself: %w", h.Name, p.Name, p.failure()))
			}
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.captures {
		if n := c.Lost(); n > 0 {
			errs = append(errs, fmt.Errorf("capture of %s lost %d packets: its counts mean nothing", c.Name, n))
		}
	}
	lines, err := l.warnings()
	if err != nil {
		errs = append(errs, err)
	}
	if len(lines) > 0 {
		errs = append(errs, fmt.Errorf("%d unexpected log lines:\n%s", len(lines), strings.Join(lines, "\n")))
	}
	return errors.Join(errs...)
}

// Keep leaves the lab in place when this process ends, and prints how to enter and how to
// remove it.
func (l *Lab) Keep() (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "%s=1: the lab stays, with its logs in %s\n", keepEnv, l.Dir)
	for _, h := range l.Hosts {
		fmt.Fprintf(&b, "  enter %s:  sh %s\n", h.Name, h.enterPath())
		for _, w := range h.Workloads() {
			fmt.Fprintf(&b, "    workload %s:  sh %s ip netns exec %s sh\n", w.Name, h.enterPath(), w.NetNS)
		}
	}
	fmt.Fprintf(&b, "  remove it:  make clean")
	return b.String(), keepOwner(Mark())
}

// Close removes the lab and all its processes.
func (l *Lab) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	for _, c := range l.captures {
		c.Close()
	}
	for _, h := range l.Hosts {
		h.expectEnd()
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := remove(ctx, l.mark); err != nil {
		return fmt.Errorf("remove lab: %w", err)
	}
	return nil
}

// tail returns the last lines of a file, for an error message.
func tail(path string, lines int) string {
	f, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	const enough = 8 << 10
	if fi, err := f.Stat(); err == nil && fi.Size() > enough {
		_, _ = f.Seek(-enough, io.SeekEnd) // otherwise the output starts at the beginning
	}
	b, _ := io.ReadAll(f)
	all := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
