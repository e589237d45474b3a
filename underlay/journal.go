package underlay

// The journal: a file that records the NIC's state before it was taken.

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"

	"github.com/ovloom/ovloom/durable"
	"github.com/ovloom/ovloom/hostnet"
	"github.com/ovloom/ovloom/intent"
)

// journalName is the journal's name in the state directory.
const journalName = "underlay.json"

// journalVersion is incremented when the file's meaning changes.
const journalVersion = 1

// phase is the operation in progress when the journal was written.
type phase string

const (
	taking    phase = "taking"    // the first Take is in progress: undo it
	taken     phase = "taken"     // Take is done: keep it
	returning phase = "returning" // Return is in progress: finish it
)

// journal is what is needed to undo a Take.
type journal struct {
	Version  int                        `json:"version"`
	Phase    phase                      `json:"phase"`
	Bridge   string                     `json:"bridge"`
	Link     hostnet.Link               `json:"link"`     // the NIC as it was
	Settings map[hostnet.Setting]string `json:"settings"` // the NIC's, before
	Offloads map[string]bool            `json:"offloads"` // the NIC's hostnet.ReceiveOffloads, before
}

// parseJournal parses a journal and refuses one that could not be undone. Undoing uses the
// journal's names with root's rights, so parseJournal accepts only what Take writes.
func parseJournal(b []byte) (journal, error) {
	var j journal
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&j); err != nil {
		return journal{}, err
	}
	if d.More() {
		return journal{}, errors.New("something follows the journal")
	}
	if j.Version != journalVersion {
		return journal{}, fmt.Errorf("version %d is unknown, only %d is known", j.Version, journalVersion)
	}
	if j.Phase != taking && j.Phase != taken && j.Phase != returning {
		return journal{}, fmt.Errorf("phase %q is unknown", j.Phase)
	}
	for _, name := range []string{j.Bridge, j.Link.Name} {
		if !isIfName(name) {
			return journal{}, fmt.Errorf("%q is no name of an interface", name)
		}
	}
	if mac, err := net.ParseMAC(j.Link.MAC); err != nil || len(mac) != 6 {
		return journal{}, fmt.Errorf("%q is no MAC address", j.Link.MAC)
	}
	for _, a := range j.Link.Addrs {
		if !a.Prefix.IsValid() || a.Prefix.Addr().Is4In6() || a.Peer.IsValid() && a.Peer.Addr().BitLen() != a.Prefix.Addr().BitLen() {
			return journal{}, fmt.Errorf("address %v is malformed", a)
		}
	}
	for _, r := range j.Link.Routes {
		bits := r.Dst.Addr().BitLen()
		if !r.Dst.IsValid() || r.Dst.Addr().Is4In6() || r.Gateway.IsValid() && r.Gateway.BitLen() != bits || r.Source.IsValid() && r.Source.BitLen() != bits {
			return journal{}, fmt.Errorf("route %v is malformed", r)
		}
	}
	for s, v := range j.Settings {
		if _, known := takenSettings[s]; !known || len(v) != 1 || v[0] < '0' || v[0] > '9' {
			return journal{}, fmt.Errorf("setting %q=%q is unknown", s, v)
		}
	}
	for name := range j.Offloads {
		if !slices.Contains(hostnet.ReceiveOffloads, name) {
			return journal{}, fmt.Errorf("offload %q is unknown", name)
		}
	}
	return j, nil
}

// isIfName reports whether Linux accepts the name, which also becomes part of a path.
func isIfName(s string) bool {
	if s == "" || len(s) > 15 || s == "." || s == ".." {
		return false
	}
	for _, c := range []byte(s) {
		if c <= ' ' || c > '~' || c == '/' || c == ':' {
			return false
		}
	}
	return true
}

func (u *Underlay) path() string { return filepath.Join(u.cfg.StateDir, journalName) }

// sparePath is the path of the journal's copy, in case the disk damages the journal.
func (u *Underlay) sparePath() string { return u.path() + ".copy" }

// load returns the journal, or nil if there is none.
func (u *Underlay) load() (*journal, error) {
	j, err := u.loadFrom(u.path())
	if intent.KindOf(err) != intent.Conflict {
		return j, err
	}
	spare, spareErr := u.loadFrom(u.sparePath())
	if spareErr != nil || spare == nil {
		return nil, err
	}
	u.cfg.Log.Warn("damaged file; continuing with its copy", "file", u.path(), "error", err)
	return spare, u.save(*spare)
}

// peek is load for readers: it repairs nothing, so it needs no lock.
func (u *Underlay) peek() (*journal, error) {
	j, err := u.loadFrom(u.path())
	if intent.KindOf(err) == intent.Conflict {
		if spare, spareErr := u.loadFrom(u.sparePath()); spareErr == nil && spare != nil {
			return spare, nil
		}
	}
	return j, err
}

func (u *Underlay) loadFrom(path string) (*journal, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read how the underlay interface was: %w", err)
	}
	j, err := parseJournal(b)
	if err != nil {
		return nil, intent.Conflictf("file %s, which says how the underlay interface was, is damaged: %w", path, err).
			WithHint("put the interface right by hand, delete the bridge (ovs-vsctl del-br %s), then delete the file", u.cfg.Bridge)
	}
	return &j, nil
}

// save writes the journal so that after a crash at any moment the file is either the old
// one or the new one.
func (u *Underlay) save(j journal) error {
	u.before("write " + string(j.Phase))
	j.Version = journalVersion
	b, err := json.MarshalIndent(j, "", "  ")
	for _, path := range []string{u.path(), u.sparePath()} {
		if err == nil {
			err = durable.Write(path, b)
		}
	}
	if err != nil {
		return fmt.Errorf("write down how the underlay interface is: %w", err)
	}
	return nil
}

// remove deletes the journal.
func (u *Underlay) remove() error {
	u.before("delete the journal")
	// Remove the copy first: it must not outlive the journal.
	err := durable.Remove(u.sparePath())
	if err == nil {
		err = durable.Remove(u.path())
	}
	if err != nil {
		return fmt.Errorf("delete %s: %w", u.path(), err)
	}
	return nil
}
