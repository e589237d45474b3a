package controller

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"time"

	"github.com/ovloom/ovloom/intent"
)

// task is a call outside the loop, for one interface, port or tenant: to the store, the
// switch's database or the connection tracker.
type task struct {
	queue string // tasks of a queue run one at a time
	what  string // for the log
	goal  string // the state it leads to, which may take a while to be seen; "": seen at once
	do    func(ctx context.Context) error
	done  func() // handles success, inside the loop

	failed func(error) // handles failure, inside the loop; nil: nothing to do
}

// queue runs the tasks about one thing, one at a time. It holds no waiting tasks: each
// step of the loop computes anew which tasks are left.
type queue struct {
	busy bool

	// After a failure: when to retry, and the current pause.
	until time.Time
	wait  time.Duration

	// After a success: the task's goal, and when it was reached.
	reached   string
	reachedAt time.Time
}

const (
	retryFirst = 100 * time.Millisecond // the pause after a first failure; it doubles with each further one
	retryMost  = 5 * time.Second

	taskTimeout = 10 * time.Second // for one call to the store or the database

	// How long a result may take to show in a watch before the task is repeated;
	// repeating it changes nothing, but costs a call.
	showPatience = time.Second
)

// do starts a task, unless its queue is busy, waits after a failure, or has just
// reached the task's goal. In any case the next step computes anew what is left.
func (c *Controller) do(ctx context.Context, t task) {
	q := c.queues[t.queue]
	if q.busy || time.Now().Before(q.until) {
		return
	}
	if t.goal != "" && t.goal == q.reached && time.Since(q.reachedAt) < showPatience {
		return
	}
	q.busy = true
	c.queues[t.queue] = q
	go func() {
		call, cancel := context.WithTimeout(ctx, taskTimeout)
		defer cancel()
		err := t.do(call)
		c.send(ctx, func() { c.did(ctx, t, err) })
	}()
}

// did handles the outcome of a task.
func (c *Controller) did(ctx context.Context, t task, err error) {
	if err == nil {
		c.queues[t.queue] = queue{reached: t.goal, reachedAt: time.Now()}
		if t.done != nil {
			t.done()
		}
		return
	}
	if t.failed != nil {
		t.failed(err)
	}
	q := c.queues[t.queue]
	q.busy = false
	q.wait = min(max(2*q.wait, retryFirst), retryMost)
	q.until = time.Now().Add(q.wait)
	c.queues[t.queue] = q
	time.AfterFunc(q.wait, func() { c.send(ctx, func() {}) })
	level := slog.LevelWarn
	if k := intent.KindOf(err); k == intent.NotFound || k == intent.Conflict || errors.Is(err, context.Canceled) {
		level = slog.LevelDebug // the object changed or was deleted while the task ran; the watch will say so
	}
	c.log.Log(ctx, level, "task failed", "task", t.what, "queue", t.queue, "error", err, "retry-in", q.wait)
}

// busy reports whether a task of the queue is running.
func (c *Controller) busy(queue string) bool { return c.queues[queue].busy }

// sweepQueues drops queues without any state.
func (c *Controller) sweepQueues() {
	maps.DeleteFunc(c.queues, func(_ string, q queue) bool {
		return !q.busy && time.Since(q.until) > 2*retryMost && time.Since(q.reachedAt) >= showPatience
	})
}
