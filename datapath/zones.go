package datapath

import (
	"context"
	"encoding/json"
	"log/slog"
)

// zonesNote is the note on the bridge that holds the zones: tracked connections live
// as long as the bridge's datapath, and so must the numbers of their zones.
const zonesNote = "zones"

// Notes keeps texts on a bridge, as *ovsdb.DB does.
type Notes interface {
	BridgeNote(bridge, key string) (string, error)
	SetBridgeNote(ctx context.Context, bridge, key, text string) error
}

// Zones keeps with a bridge which zone of the connection tracker belongs to whom.
type Zones struct {
	Notes  Notes
	Bridge string
	Log    *slog.Logger
}

// LoadZones returns the zones by whose they are. None yet: empty.
func (z Zones) LoadZones(context.Context) (map[string]uint16, error) {
	text, err := z.Notes.BridgeNote(z.Bridge, zonesNote)
	if err != nil || text == "" {
		return map[string]uint16{}, err
	}
	kept := map[string]uint16{}
	if err := json.Unmarshal([]byte(text), &kept); err != nil {
		// Another program wrote into our note. Whoever needs a zone gets one, emptied first.
		z.Log.Warn("damaged note of conntrack zones; starting without", "note", text, "error", err)
		return map[string]uint16{}, nil
	}
	return kept, nil
}

// SaveZones replaces the zones that are kept.
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
