package lab

// This file finds a container engine, or starts one that does not touch the machine's own
// network and files.

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// systemEngine is the socket of the machine's own Docker.
const systemEngine = "/var/run/docker.sock"

// engineLabel is the label of every container, network and image of a lab; its value is the
// mark.
const engineLabel = "ovloom-lab"

// engine is a Docker engine.
type engine struct {
	socket string
	netns  string // path of the network namespace with its bridges
	image  string // the image of hosts
}

// useEngine returns the engine of this process: the machine's, or its own.
var useEngine = sync.OnceValues(func() (*engine, error) {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	e := &engine{socket: systemEngine}
	if !e.answers() {
		var err error
		if e, err = startEngine(ctx); err != nil {
			return nil, err
		}
	}
	pid, err := e.pid()
	if err != nil {
		return nil, err
	}
	e.netns = fmt.Sprintf("/proc/%d/ns/net", pid)
	return e, e.makeImage(ctx)
})

func engineMark() string { return Mark() + "-engine" }

// engineSocket is the socket of the engine that a process started; mark is the process's mark.
func engineSocket(mark string) string { return filepath.Join(dirOf(mark+"-engine"), "docker.sock") }

// startEngine starts dockerd in a network namespace of its own, with all its files in one
// directory.
func startEngine(ctx context.Context) (*engine, error) {
	mark := engineMark()
	dir := dirOf(mark)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("start container engine: %w", err)
	}
	if err := addNamed(mark); err != nil {
		return nil, fmt.Errorf("start container engine: %w", err)
	}
	log, err := os.Create(filepath.Join(dir, "dockerd.log"))
	if err != nil {
		return nil, fmt.Errorf("start container engine: %w", err)
	}
	defer log.Close()
	e := &engine{socket: engineSocket(Mark())}
	// Not ip netns exec: that mounts another /sys, without control groups.
	cmd := exec.Command("nsenter", "--net="+filepath.Join(netnsDir, mark), "--",
		"dockerd", "-H", "unix://"+e.socket,
		"--data-root", filepath.Join(dir, "data"), "--exec-root", filepath.Join(dir, "exec"),
		"--pidfile", filepath.Join(dir, "dockerd.pid"),
		"--exec-opt", "native.cgroupdriver=cgroupfs", "--cgroup-parent", "/"+mark,
		"--bridge=none", "--iptables=false", "--ip6tables=false")
	cmd.Env = append(os.Environ(), markEnv+"="+mark)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = ownGroup()
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start container engine: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	var failed error
	err = poll(ctx, "the container engine to answer", func() error {
		select {
		case err := <-ended:
			failed = fmt.Errorf("dockerd ended: %w\n%s", err, tail(log.Name(), 10))
			return nil
		default:
		}
		if !e.answers() {
			return errors.New(tail(log.Name(), 10))
		}
		return nil
	})
	if err = errors.Join(err, failed); err != nil {
		return nil, fmt.Errorf("start container engine: %w", err)
	}
	return e, nil
}

// answers reports whether the engine's socket accepts connections.
func (e *engine) answers() bool {
	c, err := net.DialTimeout("unix", e.socket, time.Second)
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}

// pid returns the process that made the engine's socket: dockerd, or the service manager that
// holds the socket for it, in the same namespace.
func (e *engine) pid() (int, error) {
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: e.socket, Net: "unix"})
	if err != nil {
		return 0, fmt.Errorf("find container engine: %w", err)
	}
	defer c.Close()
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var got error
	err = raw.Control(func(fd uintptr) { cred, got = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err = errors.Join(err, got); err != nil {
		return 0, fmt.Errorf("find container engine: %w", err)
	}
	return int(cred.Pid), nil
}

// command returns a command line of the docker client.
func (e *engine) command(args ...string) []string {
	return append([]string{"docker", "-H", "unix://" + e.socket}, args...)
}

// docker runs the docker client and returns what it printed.
func (e *engine) docker(ctx context.Context, args ...string) (string, error) {
	out, err := run(ctx, append([]string{"docker"}, args...), e.command(args...))
	return strings.TrimSpace(out), err
}

// removeContainers deletes the mark's containers, networks and images from all running engines.
func removeContainers(ctx context.Context, mark string) error {
	process, _ := ownerIn(mark)
	var errs []error
	for _, socket := range []string{systemEngine, engineSocket(process)} {
		e := &engine{socket: socket}
		if !e.answers() {
			continue
		}
		for _, kind := range []struct{ list, remove []string }{
			{[]string{"container", "ls", "--all"}, []string{"container", "rm", "--force", "--volumes"}},
			{[]string{"network", "ls"}, []string{"network", "rm"}},
			{[]string{"image", "ls"}, []string{"image", "rm", "--force"}},
		} {
			ids, err := e.owned(ctx, mark, kind.list)
			if err == nil && len(ids) > 0 {
				_, err = e.docker(ctx, append(kind.remove, ids...)...)
			}
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// owned lists what belongs to the mark, by name; for images, the mark is the tag.
func (e *engine) owned(ctx context.Context, mark string, list []string) ([]string, error) {
	format := "{{.Name}}"
	switch list[0] {
	case "container":
		format = "{{.Names}}"
	case "image":
		format = "{{.Tag}}"
	}
	args := append(list, "--filter", "label="+engineLabel, "--format", "{{.ID}} "+format)
	out, err := e.docker(ctx, args...)
	if err != nil {
		return nil, err
	}
	var ids []string
	for line := range strings.Lines(out) {
		id, name, _ := strings.Cut(strings.TrimSpace(line), " ")
		if owns(mark, name) {
			ids = append(ids, id)
		}
	}
	return ids, nil
}
