package overlay

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/ovloom/ovloom/integration/lab"
)

// MustFail checks how a command failed.
func MustFail(t *testing.T, err error, code int, words ...string) {
	t.Helper()
	var failed *lab.ExecError
	if !errors.As(err, &failed) {
		t.Errorf("no exit code: %v", err)
		return
	}
	if failed.Code != code {
		t.Errorf("exit code %d, want %d: %v", failed.Code, code, err)
	}
	for _, w := range words {
		if !strings.Contains(failed.Stderr, w) {
			t.Errorf("it does not say %q: %v", w, err)
		}
	}
}

// Exec runs a command on a host, which must succeed.
func (o *Overlay) Exec(h *lab.Host, args ...string) string {
	o.T.Helper()
	out, err := h.Exec(o.T.Context(), args...)
	if err != nil {
		o.T.Fatalf("on %s: %v", h.Name, err)
	}
	return out
}

// Words is a list of words that a command must print.
func Words(words ...string) []string { return words }

// Run runs a command of the CLI on the first host, which must succeed.
func (o *Overlay) Run(args ...string) string {
	o.T.Helper()
	return o.RunOn(o.Hosts[0], args...)
}

// RunOn is Run on another host.
func (o *Overlay) RunOn(h *lab.Host, args ...string) string {
	o.T.Helper()
	out, err := h.Ovloom(o.T.Context(), args...)
	if err != nil {
		o.T.Fatalf("on %s: %v", h.Name, err)
	}
	return out
}

// Get runs a command with -o json and decodes its output.
func (o *Overlay) Get(h *lab.Host, into any, args ...string) {
	o.T.Helper()
	out := o.RunOn(h, append(args, "-o", "json")...)
	if err := json.Unmarshal([]byte(out), into); err != nil {
		o.T.Fatalf("ovloom %v printed no JSON: %v\n%s", args, err, out)
	}
}

// Script runs shell commands on a host or in a workload.
func (o *Overlay) Script(exec func(context.Context, ...string) (string, error), script string) {
	o.T.Helper()
	if _, err := exec(o.T.Context(), "sh", "-ec", script); err != nil {
		o.T.Fatal(err)
	}
}

// StoreSocket is the local socket of the first host's embedded store; a unix socket can be
// reached from any network namespace.
func (o *Overlay) StoreSocket() string {
	return o.Hosts[0].StateDir() + "/store/etcd/etcd.sock"
}

// StoreIsSound compares every index key in the store with its object.
func (o *Overlay) StoreIsSound() {
	o.T.Helper()
	if out, err := o.Hosts[0].Ovloom(o.T.Context(), "store", "check"); err != nil {
		o.T.Errorf("%v\n%s", err, out)
	}
}
