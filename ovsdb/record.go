package ovsdb

// The record of the integration bridge, kept outside the database: who owns the bridge,
// and its notes, in case another program wipes them off its row.

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ovloom/ovloom/intent"
)

// record is the record of one bridge.
type record struct {
	UUID  string            `json:"uuid"`            // of its row, which lives as long as the bridge
	Notes map[string]string `json:"notes,omitempty"` // texts given to SetBridgeNote, by key
}

// records is the content of the file.
type records struct {
	Bridges map[string]record `json:"bridges"` // by name
}

// loadRecord reads the record of an earlier process. It ignores a file that it cannot
// read: the record only repeats what the rows hold, unless another program changed them.
func (db *DB) loadRecord() {
	if db.recordFile == "" {
		return
	}
	var all records
	b, err := os.ReadFile(db.recordFile)
	if err == nil {
		err = json.Unmarshal(b, &all)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		db.log.Warn("cannot read the record of bridges; continuing without", "file", db.recordFile, "error", err)
		return
	}
	db.bridges = all.Bridges
}

// known reports whether this row is the bridge that the record is of.
func (db *DB) known(b bridgeRow) bool {
	db.recordMu.Lock()
	defer db.recordMu.Unlock()
	return db.bridges[b.Name].UUID == b.UUID
}

// notesOf returns the notes that a bridge should have.
func (db *DB) notesOf(bridge string) map[string]string {
	db.recordMu.Lock()
	defer db.recordMu.Unlock()
	return maps.Clone(db.bridges[bridge].Notes)
}

// writeNote marks a note of a bridge as being written, until done is called.
func (db *DB) writeNote(bridge, key string) (done func()) {
	id := [2]string{bridge, key}
	db.recordMu.Lock()
	defer db.recordMu.Unlock()
	if db.noting == nil {
		db.noting = map[[2]string]int{}
	}
	db.noting[id]++
	return func() {
		db.recordMu.Lock()
		defer db.recordMu.Unlock()
		if db.noting[id]--; db.noting[id] == 0 {
			delete(db.noting, id)
		}
	}
}

// keptNotes returns the notes that a row must show: all but those being written.
func (db *DB) keptNotes(bridge string) map[string]string {
	db.recordMu.Lock()
	defer db.recordMu.Unlock()
	notes := maps.Clone(db.bridges[bridge].Notes)
	for id := range db.noting {
		if id[0] == bridge {
			delete(notes, id[1])
		}
	}
	return notes
}

// remember changes the record of a bridge, and writes the file if that made a difference.
func (db *DB) remember(bridge string, change func(*record)) {
	db.recordMu.Lock()
	defer db.recordMu.Unlock()
	old := db.bridges[bridge]
	next := record{UUID: old.UUID, Notes: maps.Clone(old.Notes)}
	change(&next)
	if next.UUID == old.UUID && maps.Equal(next.Notes, old.Notes) {
		return
	}
	if db.bridges == nil {
		db.bridges = map[string]record{}
	}
	db.bridges[bridge] = next
	if next.UUID == "" {
		delete(db.bridges, bridge)
	}
	if err := db.writeRecord(); err != nil {
		db.log.Warn("cannot write the record of bridges", "file", db.recordFile, "error", err)
	}
}

func (db *DB) writeRecord() error {
	if db.recordFile == "" {
		return nil
	}
	b, err := json.Marshal(records{db.bridges})
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(db.recordFile), filepath.Base(db.recordFile)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(append(b, '\n'))
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), db.recordFile)
	}
	if err != nil {
		err = errors.Join(err, os.Remove(f.Name()))
	}
	return err
}

// rememberBridge records which row is ovloom's bridge. Unless keep, it takes over the
// notes on the row: an older ovloom may have written them meanwhile.
func (db *DB) rememberBridge(name string, keep bool) {
	b, ok := db.view().bridge(name)
	if !ok {
		return
	}
	db.remember(name, func(r *record) {
		r.UUID = b.UUID
		if keep {
			return
		}
		for key, text := range b.ExternalIDs {
			if note, ok := strings.CutPrefix(key, notePrefix); ok && key != keyVersion {
				r.setNote(note, text)
			}
		}
	})
}

func (r *record) setNote(key, text string) {
	if r.Notes == nil {
		r.Notes = map[string]string{}
	}
	if text == "" {
		delete(r.Notes, key)
	} else {
		r.Notes[key] = text
	}
}

// KeepBridge is EnsureBridge for a bridge that was ensured before: it takes every
// difference for another program's change, repairs it, and describes the repairs.
//
// It removes an OpenFlow controller from the bridge; if a controller is set again and
// again, KeepBridge leaves the bridge alone and fails with a Conflict.
func (db *DB) KeepBridge(ctx context.Context, b Bridge) (changed []string, err error) {
	return db.ensureBridge(ctx, b, true)
}

// Limits on removing controllers: each controller costs all flows for a moment.
const (
	controllerDrops  = 3
	controllerWithin = 10 * time.Minute
)

// mayDropController reports whether a controller may be removed from the bridge once more.
func (db *DB) mayDropController() bool {
	db.recordMu.Lock()
	defer db.recordMu.Unlock()
	db.dropped = slices.DeleteFunc(db.dropped, func(at time.Time) bool { return time.Since(at) > controllerWithin })
	return len(db.dropped) < controllerDrops
}

func (db *DB) droppedController() {
	db.recordMu.Lock()
	defer db.recordMu.Unlock()
	db.dropped = append(db.dropped, time.Now())
}

// controllerFault is the error for a controller that is set again and again.
func controllerFault(bridge string) error {
	return intent.Conflictf("another program sets an OpenFlow controller on bridge %s again and again", bridge).
		WithHint("stop that program, then: ovs-vsctl del-controller %s", bridge)
}
