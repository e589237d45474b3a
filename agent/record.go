package agent

// Records of plugged ports on disk: one file per port, so that plugging a port writes one
// file, however many there are.

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/ovloom/ovloom/durable"
	"github.com/ovloom/ovloom/hostnet"
	"github.com/ovloom/ovloom/intent"
)

// recordsName is the directory of the records in the state directory.
const recordsName = "plugs"

// recordVersion increases when the format of the files changes.
const recordVersion = 1

// Kind is the kind of place that a port was plugged into.
type Kind string

// The kinds.
const (
	KindNetns   Kind = "netns"
	KindProcess Kind = "pid"
	KindTap     Kind = "tap"
)

// Record is what Plug did for one port.
type Record struct {
	Version   int    `json:"version"`
	Port      string `json:"port"` // its UUID
	Ref       string `json:"ref"`  // as acme/web/c1
	Kind      Kind   `json:"kind"`
	Interface string `json:"interface"` // on the bridge
	IfIndex   int    `json:"ifindex"`
	MTU       int    `json:"mtu"` // bytes of IP packet

	// Taps only.
	Force bool `json:"force,omitempty"` // the interface need not be a tap

	// Namespaces and processes only.
	Netns          string         `json:"netns,omitempty"` // as the user gave it
	PID            int            `json:"pid,omitempty"`
	Place          hostnet.Place  `json:"place,omitzero"`
	Ifname         string         `json:"ifname,omitempty"` // in the namespace
	MAC            intent.MAC     `json:"mac,omitzero"`
	Addrs          []netip.Prefix `json:"addresses,omitempty"` // set by ovloom
	Gateways       []netip.Addr   `json:"gateways,omitempty"`  // of the default routes that ovloom added
	NoDefaultRoute bool           `json:"no_default_route,omitempty"`
}

// target returns where the port was plugged into, as the user gave it.
func (r Record) target() hostnet.Target { return hostnet.Target{Netns: r.Netns, PID: r.PID} }

// where describes the place that the port was plugged into.
func (r Record) where() string {
	if r.Kind == KindTap {
		return "interface " + r.Interface
	}
	return r.target().String()
}

// parseRecord parses a record. The agent acts on its contents as root, so it accepts only
// what Plug writes.
func parseRecord(b []byte) (Record, error) {
	var r Record
	if err := json.Unmarshal(b, &r); err != nil {
		return Record{}, err
	}
	if r.Version != recordVersion {
		return Record{}, fmt.Errorf("version %d is unknown, only %d is known", r.Version, recordVersion)
	}
	ref, err := intent.ParsePortRef(r.Ref)
	switch {
	case err != nil:
		return Record{}, err
	case ref.String() != r.Ref || !isFileName(r.Port):
		return Record{}, fmt.Errorf("port %q (%q) is malformed", r.Ref, r.Port)
	case r.Interface == "" || len(r.Interface) > 15 || strings.ContainsAny(r.Interface, "/ \n"):
		return Record{}, fmt.Errorf("interface %q is malformed", r.Interface)
	case r.Kind == KindTap && r.target() == hostnet.Target{}:
	case (r.Kind == KindNetns && r.Netns != "" && r.PID == 0 || r.Kind == KindProcess && r.PID > 0 && r.Netns == "") &&
		r.Interface == hostnet.HostIfName(r.Port):
	default:
		return Record{}, fmt.Errorf("kind %q does not go with the rest", r.Kind)
	}
	for _, a := range r.Addrs {
		if !a.IsValid() {
			return Record{}, errors.New("an address is malformed")
		}
	}
	for _, g := range r.Gateways {
		if !g.IsValid() {
			return Record{}, errors.New("a gateway is malformed")
		}
	}
	return r, nil
}

// isFileName reports whether a port's UUID may name a file.
func isFileName(s string) bool {
	return s != "" && len(s) <= 64 && strings.Trim(s, "0123456789abcdefABCDEF-") == ""
}

// records are all records of this host, in memory and on disk.
type records struct {
	dir string
	mu  sync.Mutex
	m   map[string]Record // by the port's UUID; guarded by mu
}

// loadRecords reads the records. It logs files that cannot be read, and leaves them alone.
func loadRecords(stateDir string, log *slog.Logger) (*records, error) {
	r := &records{dir: filepath.Join(stateDir, recordsName), m: map[string]Record{}}
	files, err := os.ReadDir(r.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read what is plugged: %w", err)
	}
	for _, f := range files {
		id, ok := strings.CutSuffix(f.Name(), ".json")
		if !ok {
			continue // a temporary file that a crash left behind
		}
		b, err := os.ReadFile(filepath.Join(r.dir, f.Name()))
		var rec Record
		if err == nil {
			rec, err = parseRecord(b)
		}
		if err == nil && rec.Port != id {
			err = fmt.Errorf("it is of port %s", rec.Port)
		}
		if err != nil {
			log.Warn("unreadable record of a plugged port ignored", "file", filepath.Join(r.dir, f.Name()), "error", err)
			continue
		}
		r.m[id] = rec
	}
	return r, nil
}

// all returns the records by the ports' names.
func (r *records) all() []Record {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.SortedFunc(maps.Values(r.m), func(a, b Record) int {
		return cmp.Or(strings.Compare(a.Ref, b.Ref), strings.Compare(a.Port, b.Port))
	})
}

func (r *records) get(port string) (Record, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rec, ok := r.m[port]
	return rec, ok
}

// put stores a record atomically: after a crash the file is the old or the new one.
func (r *records) put(rec Record) error {
	rec.Version = recordVersion
	if !isFileName(rec.Port) {
		return fmt.Errorf("remember port %s: its id %q is malformed", rec.Ref, rec.Port)
	}
	b, err := json.MarshalIndent(rec, "", "  ")
	if err == nil {
		err = os.MkdirAll(r.dir, 0o700)
	}
	name := filepath.Join(r.dir, rec.Port+".json")
	if err == nil {
		err = durable.Write(name, b)
	}
	if err != nil {
		return fmt.Errorf("remember where port %s is plugged: %w", rec.Ref, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.m[rec.Port] = rec
	return nil
}

// remove deletes a port's record.
func (r *records) remove(port string) error {
	r.mu.Lock()
	_, known := r.m[port]
	delete(r.m, port)
	r.mu.Unlock()
	if !known {
		return nil
	}
	if err := durable.Remove(filepath.Join(r.dir, port+".json")); err != nil {
		return fmt.Errorf("forget where port %s was plugged: %w", port, err)
	}
	return nil
}
