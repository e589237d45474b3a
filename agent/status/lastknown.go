// Answers of other parts, kept for when they do not answer.

package status

import (
	"context"
	"sync"
	"time"
)

// Times of one answer.
const (
	partPatience = 600 * time.Millisecond // how long a status waits for an answer
	partLife     = 30 * time.Second       // how long a question goes on in the background
)

// lastKnown keeps the last answer of another part or process for when that does not answer.
// The zero value is ready to use. At most one question is under way.
type lastKnown[T any] struct {
	mu sync.Mutex
	// Guarded by mu.
	value  T
	at     time.Time     // of the last answer; zero: none yet
	err    error         // of the last question that was answered
	asking chan struct{} // closed when the question under way is answered; nil: none is
}

// answer is what ask returns.
type answer[T any] struct {
	Value T
	At    time.Time // of the answer, if Stale
	Stale bool      // Value is an earlier answer: there was none in time, or an error
	Err   error     // of the question; nil if it was not answered in time
}

// ask returns f's answer if it comes within partPatience, and otherwise its last one.
func (l *lastKnown[T]) ask(ctx context.Context, f func(context.Context) (T, error)) answer[T] {
	l.mu.Lock()
	done := l.asking
	if done == nil {
		done = make(chan struct{})
		l.asking = done
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), partLife)
		go func() {
			defer cancel()
			v, err := f(ctx)
			l.mu.Lock()
			defer l.mu.Unlock()
			if err == nil {
				l.value, l.at = v, time.Now()
			}
			l.err, l.asking = err, nil
			close(done)
		}()
	}
	l.mu.Unlock()
	timer := time.NewTimer(partPatience)
	defer timer.Stop()
	answered := false
	select {
	case <-done:
		answered = true
	case <-timer.C:
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	a := answer[T]{Value: l.value, At: l.at, Stale: !answered || l.err != nil}
	if answered {
		a.Err = l.err
	}
	return a
}
