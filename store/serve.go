package store

import (
	"context"
	"encoding/json"
	"sync"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/loop"
)

// ServeQuestions answers other hosts' questions to this one, each by the function of its
// topic, until ctx ends and none is being answered any more. A question of a topic that has
// no function stays without an answer: it may be that of a newer ovloomd.
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
