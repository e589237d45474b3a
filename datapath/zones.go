package datapath

import (
	"context"
	"encoding/json"
	"log/slog"
)

// zonesNote is the note on the bridge that holds the zones: tracked connections live as
// long as the bridge's datapath, so their zone numbers must too.
const zonesNote = "zones"

// Notes keeps texts on a bridge; *ovsdb.DB implements it.
type Notes interface {
	BridgeNote(bridge, key string) (string, error)
	SetBridgeNote(ctx context.Context, bridge, key, text string) error
}

// Zones keeps on a bridge which conntrack zone belongs to which owner.
type Zones struct {
	Notes  Notes
	Bridge string
	Log    *slog.Logger
}

// LoadZones returns the zones by owner; empty if none are kept.
func (z Zones) LoadZones(context.Context) (map[string]uint16, error) {
	text, err := z.Notes.BridgeNote(z.Bridge, zonesNote)
	if err != nil || text == "" {
		return map[string]uint16{}, err
	}
	kept := map[string]uint16{}
	if err := json.Unmarshal([]byte(text), &kept); err != nil {
		// Another program changed the note. Owners are assigned new zones, which are
		// flushed first.
		z.Log.Warn("damaged note of conntrack zones; starting without", "note", text, "error", err)
		return map[string]uint16{}, nil
	}
	return kept, nil
}

// SaveZones replaces the kept zones.
func (z Zones) SaveZones(ctx context.Context, kept map[string]uint16) error {
	text, err := json.Marshal(kept)
	if err != nil {
		return err
	}
	if len(kept) == 0 {
		text = nil
	}
	return z.Notes.SetBridgeNote(ctx, z.Bridge, zonesNote, string(text))
}
