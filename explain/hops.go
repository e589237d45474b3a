package explain

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/ovloom/ovloom/intent"
)

// Topic is the topic of the question that Hops.Answer answers.
const Topic = "part of a trace"

// Hops traces parts of packets' paths: on this host directly, on other hosts by asking them.
// Every field is required.
type Hops struct {
	Host string // this host
	Here func(ctx context.Context, r Request) (intent.TraceHop, error)

	// Ask asks another host through the store, and Down returns why the store does not
	// answer; nil if it may.
	Ask  func(ctx context.Context, host, topic string, body json.RawMessage) (json.RawMessage, error)
	Down func() error
}

// traceAnswer is a host's answer to Topic.
type traceAnswer struct {
	Hop   intent.TraceHop `json:"hop"`
	Error *intent.Error   `json:"error,omitempty"`
}

// Hop has a host do its part of a trace. It is a Tracer.Hop.
func (h Hops) Hop(ctx context.Context, host string, r Request) (intent.TraceHop, error) {
	if host == h.Host {
		return h.Here(ctx, r)
	}
	if err := h.Down(); err != nil {
		return intent.TraceHop{}, err
	}
	body, err := json.Marshal(r)
	if err != nil {
		return intent.TraceHop{}, err
	}
	raw, err := h.Ask(ctx, host, Topic, body)
	if err != nil {
		return intent.TraceHop{}, err
	}
	var a traceAnswer
	if err := json.Unmarshal(raw, &a); err != nil {
		return a.Hop, err
	}
	if a.Error != nil {
		return a.Hop, a.Error
	}
	return a.Hop, nil
}

// Answer answers Topic: it does this host's part of another host's trace.
func (h Hops) Answer(ctx context.Context, body json.RawMessage) any {
	var r Request
	var a traceAnswer
	err := json.Unmarshal(body, &r)
	if err == nil {
		a.Hop, err = h.Here(ctx, r)
	}
	if err != nil && !errors.As(err, &a.Error) {
		a.Error = &intent.Error{Kind: intent.Unavailable, What: err.Error()}
	}
	return a
}
