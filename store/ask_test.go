package store

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/cluster"
	"github.com/ovloom/ovloom/store/kv"
)

func TestQuestions(t *testing.T) {
	s := open(t, cluster.Config{})
	other := client(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		ended <- other.WatchQuestions(ctx, "host2", func(q Question) {
			go func() { // however slow: the next question does not wait
				body := json.RawMessage(`{"topic":"` + q.Topic + `","asked":` + string(q.Body) + `}`)
				if err := other.Answer(ctx, "host2", q, body); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
			}()
		})
	}()
	for _, body := range []string{`{"n":1}`, `{"n":2}`} {
		got, err := s.Ask(ctx, "host2", "trace", json.RawMessage(body))
		if want := `{"topic":"trace","asked":` + body + `}`; err != nil || string(got) != want {
			t.Errorf("answer %s, %v; want %s", got, err, want)
		}
	}
	left, _, err := s.kv.List(ctx, "read", kv.Root+"ask/")
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestQuestionToNobody(t *testing.T) {
	s := open(t, cluster.Config{})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := s.Ask(ctx, "host9", "trace", json.RawMessage(`{}`))
	if intent.KindOf(err) != intent.Unavailable || !strings.Contains(err.Error(), "host host9 does not answer") {
		t.Error(err)
	}
	if err := s.Answer(t.Context(), "host9", Question{ID: "1", Topic: "trace"}, json.RawMessage(`{}`)); intent.KindOf(err) != intent.NotFound {
		t.Errorf("an answer to a question that has ended: %v", err)
	}
}
