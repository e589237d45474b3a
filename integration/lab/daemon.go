package lab

// This file runs ovloomd and the CLI in a host, and builds both unless they are built already.

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// binEnv names a directory with ovloomd and ovloom, by its absolute path, so that labs do not
// have to build them.
const binEnv = "OVLOOM_BIN"

// binDir returns the directory of the programs under test.
func binDir() string {
	if dir := os.Getenv(binEnv); dir != "" {
		return dir
	}
	return dirOf(Mark() + "-bin")
}

// Programs returns the directory of ovloomd and ovloom, after a lab has started one of them.
func Programs() string { return binDir() }

// build builds the programs under test, once per process. Without cgo, because hosts in
// containers do not have this machine's libraries.
var build = sync.OnceValue(func() error {
	if os.Getenv(binEnv) != "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "build", "-o", binDir()+"/",
		"github.com/ovloom/ovloom/cmd/ovloomd", "github.com/ovloom/ovloom/cmd/ovloom")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build ovloomd and ovloom: %w\n%s", err, out)
	}
	return nil
})

// StorePort is the port of the first host's embedded store, on its management address.
const StorePort = 2379

// StoreURL returns the address of the store in the lab's first host.
func (l *Lab) StoreURL() string { return fmt.Sprintf("http://%s:%d", l.Hosts[0].Mgmt, StorePort) }

// OvloomdFlags returns the flags with which StartOvloomd starts ovloomd here: the first host
// runs the store, the others are its clients.
func (h *Host) OvloomdFlags() []string {
	flags := []string{
		"--host-name", h.Name,
		"--vtep", h.VTEP.String(),
		"--datapath", Datapath(),
		"--ovsdb", "unix:" + h.DBSock(),
		"--ovs-run-dir", h.OVSRunDir(),
		"--state-dir", h.StateDir(),
		"--socket", h.Socket(),
		"--store-insecure",
	}
	if !kernelDatapath() && !h.lab.config.NICInBridge {
		flags = append(flags, "--take-nic", UnderlayNIC)
	}
	if h == h.lab.Hosts[0] {
		flags = append(flags, "--store-listen", h.lab.StoreURL())
	} else {
		flags = append(flags, "--store", h.lab.StoreURL())
	}
	return append(flags, h.lab.config.OvloomdFlags...)
}

// StartOvloomd starts ovloomd with OvloomdFlags and further flags, and returns when its API
// answers.
func (h *Host) StartOvloomd(ctx context.Context, more ...string) (*Process, error) {
	p, err := h.LaunchOvloomd(ctx, more...)
	if err != nil {
		return p, err
	}
	return p, h.await(ctx, p, h.Socket())
}

// LaunchOvloomd is StartOvloomd without waiting.
func (h *Host) LaunchOvloomd(ctx context.Context, more ...string) (*Process, error) {
	if h.Ovloomd != nil && h.Ovloomd.Running() {
		return nil, errors.New("start ovloomd: it runs already")
	}
	if err := build(); err != nil {
		return nil, err
	}
	args := append([]string{filepath.Join(binDir(), "ovloomd")}, h.OvloomdFlags()...)
	p, err := h.Start(ctx, "ovloomd", append(args, more...)...)
	if err != nil {
		return nil, err
	}
	h.Ovloomd = p
	return p, nil
}

// Ovloom runs the CLI against this host's ovloomd and returns what it printed.
func (h *Host) Ovloom(ctx context.Context, args ...string) (string, error) {
	if err := build(); err != nil {
		return "", err
	}
	out, err := h.Exec(ctx, append([]string{filepath.Join(binDir(), "ovloom")}, args...)...)
	return strings.TrimSuffix(out, "\n"), err
}
