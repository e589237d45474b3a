package ofp_test

import (
	"testing"

	"github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/openflow/ofp"
)

// The fuzz targets here hold what decoders of flows, groups and meters promise: no
// input makes them panic, and what they return can be encoded and comes back the
// same.

// maxFuzz is the longest input in bytes: what is decoded may be longer when it is
// encoded again, and must still fit in a message.
const maxFuzz = 8 << 10

func FuzzDecodeFlowMod(f *testing.F) {
	for _, flow := range mustParse(f) {
		b, err := ofp.AppendMod(nil, 1, &openflow.FlowMod{Flow: flow})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b[ofp.HeaderLen:])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) > maxFuzz {
			return
		}
		m, err := ofp.DecodeFlowMod(body)
		if err != nil {
			return
		}
		checkFlowMod(t, m)
	})
}

// checkFlowMod encodes and decodes a decoded flow-mod.
func checkFlowMod(t *testing.T, m openflow.FlowMod) {
	t.Helper()
	b, err := ofp.AppendMod(nil, 1, &m)
	if err != nil {
		t.Fatalf("%s: %v", m.String(), err)
	}
	again, err := ofp.DecodeFlowMod(b[ofp.HeaderLen:])
	if err != nil {
		t.Fatalf("%s: %v", m.String(), err)
	}
	if m.Command >= openflow.FlowDelete {
		m.Flow.Actions = nil // they are not sent
	}
	if again.String() != m.String() || !again.Flow.Equal(m.Flow) || again.Flow.Key() != m.Flow.Key() {
		t.Fatalf("first  %s\nsecond %s", m.String(), again.String())
	}
}

func FuzzDecodeFlowStats(f *testing.F) {
	f.Add([]byte("\x00\x40\x00\x00\x05\x00\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07" +
		"\x00\x01\x00\x0c\x80\x00\x00\x04\x00\x00\x00\x01\x00\x00\x00\x00" +
		"\x00\x00\x00\x10\x80\x02\x08\x08\x00\x00\x00\x00\x00\x00\x00\x05" +
		"\x00\x01\x00\x08\x06\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, part []byte) {
		if len(part) > maxFuzz {
			return
		}
		flows, err := ofp.DecodeFlowStats(part)
		if err != nil {
			return
		}
		for _, s := range flows {
			checkFlowMod(t, openflow.FlowMod{Flow: s.Flow})
		}
	})
}

func FuzzDecodeMatch(f *testing.F) {
	for _, flow := range mustParse(f) {
		b, err := ofp.AppendMatch(nil, &flow.Match)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > maxFuzz {
			return
		}
		m, rest, err := ofp.DecodeMatch(b)
		if err != nil {
			return
		}
		out, err := ofp.AppendMatch(nil, &m)
		if err != nil {
			t.Fatalf("%s: %v", m, err)
		}
		again, rest2, err := ofp.DecodeMatch(append(out, rest...))
		if err != nil || len(rest2) != len(rest) || !again.Equal(m) || again.String() != m.String() {
			t.Fatalf("first  %s\nsecond %s, error %v", m, again, err)
		}
	})
}

func FuzzDecodeActions(f *testing.F) {
	for _, flow := range mustParse(f) {
		if b, err := ofp.AppendActions(nil, flow.Actions); err == nil { // some are instructions
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > maxFuzz {
			return
		}
		actions, err := ofp.DecodeActions(b)
		if err != nil {
			return
		}
		text := openflow.ActionsString(actions)
		out, err := ofp.AppendActions(nil, actions)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		again, err := ofp.DecodeActions(out)
		if err != nil || !openflow.EqualActions(again, actions) || openflow.ActionsString(again) != text {
			t.Fatalf("first  %s\nsecond %s, error %v", text, openflow.ActionsString(again), err)
		}
		parsed, err := openflow.ParseActions(text)
		if err != nil || openflow.ActionsString(parsed) != text {
			t.Fatalf("printed %s\nparsed  %s, error %v", text, openflow.ActionsString(parsed), err)
		}
	})
}

func FuzzDecodeGroups(f *testing.F) {
	for _, text := range groupCases {
		g, err := openflow.ParseGroup(text)
		if err != nil {
			f.Fatal(err)
		}
		b, err := ofp.AppendMod(nil, 1, &openflow.GroupMod{Group: g})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b[ofp.HeaderLen:])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) > maxFuzz {
			return
		}
		_, _ = ofp.DecodeGroupDesc(body) // shares all but the head with a group-mod
		m, err := ofp.DecodeGroupMod(body)
		if err != nil || m.Command != openflow.GroupAdd {
			return
		}
		b, err := ofp.AppendMod(nil, 1, &m)
		if err != nil {
			t.Fatalf("%s: %v", m.String(), err)
		}
		again, err := ofp.DecodeGroupMod(b[ofp.HeaderLen:])
		if err != nil || again.String() != m.String() || !again.Group.Equal(m.Group) {
			t.Fatalf("first  %s\nsecond %s, error %v", m.String(), again.String(), err)
		}
	})
}

func FuzzDecodeMeterConfig(f *testing.F) {
	f.Add([]byte("\x00\x18\x00\x05\x00\x00\x00\x01\x00\x01\x00\x10\x00\x00\x00\x07\x00\x00\x00\x08\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, part []byte) {
		meters, err := ofp.DecodeMeterConfig(part)
		if err != nil {
			return
		}
		for _, m := range meters {
			mod := &openflow.MeterMod{Meter: m}
			b, err := ofp.AppendMod(nil, 1, mod)
			if err != nil {
				t.Fatalf("%s: %v", mod, err)
			}
			// A meter's description is a meter-mod with a length for its command.
			b = b[ofp.HeaderLen:]
			b[0], b[1] = 0, byte(len(b))
			again, err := ofp.DecodeMeterConfig(b)
			if err != nil || len(again) != 1 || again[0] != m {
				t.Fatalf("first  %s\nsecond %v, error %v", m, again, err)
			}
		}
	})
}
