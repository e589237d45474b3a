package store

import (
	"context"
	"encoding/json"
	"sync"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/loop"
)

// ServeQuestions answers other hosts' questions to this host, each by the function of its
// topic, until ctx ends and all answers are done. It leaves a question of an unknown
// topic, which a newer ovloomd may ask, unanswered.
func (s *Store) ServeQuestions(ctx context.Context, host string, topics map[string]func(ctx context.Context, body json.RawMessage) any) {
	var answering sync.WaitGroup
	defer answering.Wait()
	loop.Watch(ctx, s.log, "other hosts' questions", func(ctx context.Context) error {
		return s.WatchQuestions(ctx, host, func(q Question) {
			if answer := topics[q.Topic]; answer != nil {
				answering.Go(func() {
					body, err := json.Marshal(answer(ctx, q.Body))
					if err == nil {
						err = s.Answer(ctx, host, q, body)
					}
					if err != nil && ctx.Err() == nil && intent.KindOf(err) != intent.NotFound {
						s.log.Warn("cannot answer another host", "about", q.Topic, "error", err)
					}
				})
			}
		})
	})
}
