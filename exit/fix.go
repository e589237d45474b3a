package exit

import (
	"context"
	"errors"

	"github.com/ovloom/ovloom/intent"
)

// Fix changes those settings of the host itself that keep tenants from leaving through it,
// such as IP forwarding, and returns what it changed, in words.
func (r *Reconciler) Fix(ctx context.Context) (done []string, err error) {
	answer := make(chan fixed, 1)
	select {
	case r.asks <- ask{ctx, answer}:
	case <-r.done:
		return nil, errClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case f := <-answer:
		return f.done, f.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

var errClosed = intent.Unavailablef("this host no longer reconciles its uplinks")

// fix is Fix, called by run.
func (r *Reconciler) fix(ctx context.Context) (done []string, err error) {
	c, ok := r.wanted()
	exit := r.exit(c)
	if !ok || len(exit.Subnets) == 0 {
		return nil, nil
	}
	if !c.StoreKnown || !c.ForwardsKnown {
		return nil, intent.Unavailablef("the host uplink is not set up yet: waiting for the store").
			WithHint("try again when ovloom status shows the store as connected")
	}
	if _, _, err := r.leaveServices(&exit); err != nil {
		return nil, err
	}
	// Check anew each round: the last findings may be old, and one fault may hide another.
	for range fixRounds {
		if err := r.ensureExit(ctx, exit, true); err != nil {
			return done, err
		}
		faults := r.lastSeen().faults
		if len(faults) == 0 {
			return done, nil
		}
		now, err := r.deps.Host.FixExit(ctx, faults)
		for _, what := range now {
			r.log.Info("host changed on request", "what", what)
		}
		if done = append(done, now...); err != nil {
			return done, errors.Join(err, r.ensureExit(ctx, exit, true))
		}
	}
	if err := r.ensureExit(ctx, exit, true); err != nil {
		return done, err
	}
	for _, f := range r.lastSeen().faults {
		return done, intent.Conflictf("tenants still cannot leave through the host: %s", f.What).WithHint("%s", f.Do)
	}
	return done, nil
}
