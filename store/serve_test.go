package store

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/cluster"
)

// Each question is answered by its topic's function, concurrently; a question of another topic
// gets no answer; and all answers have ended when ServeQuestions returns.
func TestServeQuestions(t *testing.T) {
	s := open(t, cluster.Config{})
	other := client(t, s)
	ctx, stop := context.WithCancel(t.Context())
	slow, left := make(chan struct{}), false
	served := make(chan struct{})
	go func() {
		defer close(served)
		other.ServeQuestions(ctx, "host2", map[string]func(context.Context, json.RawMessage) any{
			"echo": func(_ context.Context, body json.RawMessage) any { return map[string]any{"asked": body} },
			"slow": func(ctx context.Context, _ json.RawMessage) any { close(slow); <-ctx.Done(); left = true; return nil },
		})
	}()
	asked := make(chan error, 1)
	go func() {
		_, err := s.Ask(ctx, "host2", "slow", json.RawMessage(`1`))
		asked <- err
	}()
	<-slow
	got, err := s.Ask(ctx, "host2", "echo", json.RawMessage(`{"n":1}`))
	if want := `{"asked":{"n":1}}`; err != nil || string(got) != want {
		t.Errorf("answer %s, %v; want %s", got, err, want)
	}
	short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	if _, err := s.Ask(short, "host2", "of a newer ovloomd", json.RawMessage(`1`)); intent.KindOf(err) != intent.Unavailable {
		t.Errorf("an unknown topic: %v, want Unavailable", err)
	}
	stop()
	<-served
	if !left {
		t.Error("ServeQuestions returned while a question was being answered")
	}
	if err := <-asked; err == nil {
		t.Error("the question that was not answered has an answer")
	}
}
