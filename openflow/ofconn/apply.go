package ofconn

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/openflow/ofp"
)

// This file changes the switch, a bundle at a time.

// ModError is the switch's error to one change.
type ModError struct {
	Mod openflow.Mod
	Err error // an *ofp.Error, or why it could not be encoded
}

func (e *ModError) Error() string { return e.Mod.String() + ": " + e.Err.Error() }
func (e *ModError) Unwrap() error { return e.Err }

// ApplyError says how much of its work Apply did.
type ApplyError struct {
	Mods      int // given to Apply
	Committed int // in force
	Unsure    int // in force or not: the switch did not answer the commit

	Refused []*ModError // what the switch refused
	Cause   error       // why Apply ended early, if it did
}

// Error names the changes that were refused, the first few of many.
func (e *ApplyError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "openflow apply: %d of %d changes in force", e.Committed, e.Mods)
	if e.Unsure > 0 {
		fmt.Fprintf(&b, ", %d not known", e.Unsure)
	}
	const few = 3
	for _, r := range e.Refused[:min(few, len(e.Refused))] {
		b.WriteString("; " + r.Error())
	}
	if n := len(e.Refused) - few; n > 0 {
		fmt.Fprintf(&b, "; and %d more", n)
	}
	if e.Cause != nil {
		b.WriteString(": " + e.Cause.Error())
	}
	return b.String()
}

// Unwrap returns every error within.
func (e *ApplyError) Unwrap() []error {
	var errs []error
	for _, r := range e.Refused {
		errs = append(errs, r)
	}
	if e.Cause != nil {
		errs = append(errs, e.Cause)
	}
	return errs
}

// Apply changes the switch and returns once the changes are in force. The order is:
// meters added and modified, each by itself, because the switch refuses them in
// bundles; then flows and groups as given, in bundles of at most Config.ChunkMods; then
// meters deleted, which also deletes flows that still use them.
//
// A bundle is applied whole or not at all. If the switch refuses a message, the bundle
// is discarded and sent again without it when all others are in: one bad flow does not
// block others, and is named in the error, an *ApplyError. Concurrent calls wait for
// each other.
func (c *Conn) Apply(ctx context.Context, mods []openflow.Mod) error {
	if len(mods) == 0 {
		return nil
	}
	select {
	case c.applying <- struct{}{}:
		defer func() { <-c.applying }()
	case <-ctx.Done():
		return &ApplyError{Mods: len(mods), Cause: context.Cause(ctx)}
	case <-c.done:
		return &ApplyError{Mods: len(mods), Cause: c.Err()}
	}
	a := &applier{c: c, result: ApplyError{Mods: len(mods)}}
	before, bundled, after := splitMeters(mods)
	if a.meters(ctx, before) && a.bundles(ctx, bundled) && a.meters(ctx, after) {
		return nil
	}
	return &a.result
}

// splitMeters separates the mods before, in and after the bundles.
func splitMeters(mods []openflow.Mod) (before, bundled, after []openflow.Mod) {
	isMeter := func(m openflow.Mod) bool { _, ok := m.(*openflow.MeterMod); return ok }
	if !slices.ContainsFunc(mods, isMeter) {
		return nil, mods, nil
	}
	for _, m := range mods {
		switch mm, ok := m.(*openflow.MeterMod); {
		case !ok:
			bundled = append(bundled, m)
		case mm.Command == openflow.MeterDelete:
			after = append(after, m)
		default:
			before = append(before, m)
		}
	}
	return before, bundled, after
}

// applier is one Apply under way. While the switch commits a bundle, the next one is
// already being sent, but its commit is not sent before the previous one is answered.
// So the switch is always busy.
type applier struct {
	c          *Conn
	result     ApplyError
	again      []openflow.Mod // valid changes of refused bundles
	open       []*chunk       // sent and closed, not yet committing; oldest first
	committing *chunk         // its commit is sent, not yet answered
}

// chunk is one bundle.
type chunk struct {
	*call
	id   uint32
	mods []openflow.Mod

	// Guarded by call.mu.
	refused   []refusal
	err       error // to the bundle itself
	closed    bool  // the switch has answered the close, …
	committed bool  // … the commit, …
	discarded bool  // … or the discard
}

// The xids of a chunk, relative to its first one.
const (
	xidOpen = iota
	xidClose
	xidCommit
	xidDiscard
	xidMods
)

// bundleTries is how often changes are sent again without an error of their own: at a
// commit the switch names only the first change that it refuses.
const bundleTries = 4

// bundles applies mods; false: result says why not.
func (a *applier) bundles(ctx context.Context, mods []openflow.Mod) bool {
	if len(mods) == 0 {
		return true
	}
	for range bundleTries {
		if !a.pass(ctx, mods) {
			return false
		}
		if mods, a.again = a.again, nil; len(mods) == 0 {
			break
		}
	}
	if err := a.c.Barrier(ctx); err != nil {
		return a.giveUp(ctx, err)
	}
	return len(a.result.Refused) == 0
}

// pass applies mods except bundles with a refused message; false: it had to end early.
func (a *applier) pass(ctx context.Context, mods []openflow.Mod) bool {
	for len(mods) > 0 {
		ch, b, n, bad := a.c.encodeChunk(mods)
		a.result.Refused = append(a.result.Refused, bad...)
		mods = mods[n:]
		if len(ch.mods) == 0 {
			a.c.forget(ch.call)
			continue
		}
		a.open = append(a.open, ch)
		if err := a.c.send(ctx, b); err != nil {
			return a.giveUp(ctx, err)
		}
		if len(a.open) > 1 && !a.commit(ctx) {
			return false
		}
	}
	return a.drain(ctx)
}

// encodeChunk makes a bundle of the first n of mods: its messages from open to close.
// It leaves out what cannot be encoded.
func (c *Conn) encodeChunk(mods []openflow.Mod) (ch *chunk, b []byte, n int, bad []*ModError) {
	most := min(len(mods), c.cfg.ChunkMods)
	ch = &chunk{id: c.bundleID.Add(1), mods: make([]openflow.Mod, 0, most)}
	ch.call = c.expect(xidMods+most, ch.answer)
	b = ofp.AppendBundleControl(c.buffer(), ch.first+xidOpen, ch.id, ofp.BundleOpen)
	for n < most && (len(ch.mods) == 0 || len(b) < c.cfg.ChunkBytes) {
		m := mods[n]
		n++
		var err error
		if b, err = ofp.AppendBundleAdd(b, ch.first+xidMods+uint32(len(ch.mods)), ch.id, m); err != nil {
			bad = append(bad, &ModError{m, err})
			continue
		}
		ch.mods = append(ch.mods, m)
	}
	return ch, ofp.AppendBundleControl(b, ch.first+xidClose, ch.id, ofp.BundleClose), n, bad
}

// answer handles one answer of the switch.
func (ch *chunk) answer(h ofp.Header, body []byte) {
	at := h.XID - ch.first
	if h.Type == ofp.TypeError {
		err := decodeError(body)
		switch {
		case at >= xidMods:
			ch.refused = append(ch.refused, refusal{int(at - xidMods), err})
		case at != xidDiscard:
			ch.err = errors.Join(ch.err, err)
		}
	}
	switch at {
	case xidClose:
		ch.closed = true
	case xidCommit:
		ch.committed = true
	case xidDiscard:
		ch.discarded = true
	}
}

// drain commits the open bundles and waits for the answers.
func (a *applier) drain(ctx context.Context) bool {
	for len(a.open) > 0 {
		if !a.commit(ctx) {
			return false
		}
	}
	return a.settle(ctx)
}

// commit sends the commit of the oldest open bundle, once the previous one is answered
// and if the switch accepted every message of this one: otherwise it would commit
// without messages that it could not decode.
func (a *applier) commit(ctx context.Context) bool {
	if !a.settle(ctx) {
		return false
	}
	ch := a.open[0]
	if err := a.c.wait(ctx, ch.call, func() bool { return ch.closed }); err != nil {
		return a.giveUp(ctx, err)
	}
	if a.refuse(ch) {
		return a.discard(ctx, ch)
	}
	if err := a.c.send(ctx, ofp.AppendBundleControl(a.c.buffer(), ch.first+xidCommit, ch.id, ofp.BundleCommit)); err != nil {
		return a.giveUp(ctx, err)
	}
	a.open, a.committing = a.open[1:], ch
	return true
}

// settle waits for the answer to the commit that is under way, if one is.
func (a *applier) settle(ctx context.Context) bool {
	ch := a.committing
	if ch == nil {
		return true
	}
	if err := a.c.wait(ctx, ch.call, func() bool { return ch.committed }); err != nil {
		return a.giveUp(ctx, err)
	}
	a.committing = nil
	a.c.forget(ch.call)
	if a.refuse(ch) {
		return a.result.Cause == nil || a.giveUp(ctx, nil)
	}
	a.result.Committed += len(ch.mods)
	return true
}

// discard discards the oldest open bundle, which had a refused message.
func (a *applier) discard(ctx context.Context, ch *chunk) bool {
	if a.result.Cause != nil {
		return a.giveUp(ctx, nil)
	}
	if err := a.c.send(ctx, ofp.AppendBundleControl(a.c.buffer(), ch.first+xidDiscard, ch.id, ofp.BundleDiscard)); err != nil {
		return a.giveUp(ctx, err)
	}
	if err := a.c.wait(ctx, ch.call, func() bool { return ch.discarded }); err != nil {
		return a.giveUp(ctx, err)
	}
	a.open = a.open[1:]
	a.c.forget(ch.call)
	return true
}

// refuse records a bundle's errors and which mods are to be sent again, and reports
// whether there were errors.
func (a *applier) refuse(ch *chunk) bool {
	return ch.locked(func() bool {
		refused := map[int]bool{}
		for _, r := range ch.refused {
			if r.index < len(ch.mods) {
				refused[r.index] = true
				a.result.Refused = append(a.result.Refused, &ModError{ch.mods[r.index], r.err})
			}
		}
		switch {
		case len(refused) > 0:
			// The bundle's error only says that one of its messages failed.
			for i, m := range ch.mods {
				if !refused[i] {
					a.again = append(a.again, m)
				}
			}
		case len(ch.refused) > 0:
			a.result.Cause = ch.refused[0].err
		case ch.err != nil:
			a.result.Cause = ch.err
		}
		return len(ch.refused) > 0 || ch.err != nil
	})
}

// giveUp discards open bundles, for cause or an error already in result. It returns
// false.
func (a *applier) giveUp(ctx context.Context, cause error) bool {
	if cause != nil {
		a.result.Cause = cause
	}
	if a.committing != nil {
		a.result.Unsure += len(a.committing.mods)
		a.c.forget(a.committing.call)
	}
	for _, ch := range a.open {
		b := ofp.AppendBundleControl(a.c.buffer(), ch.first+xidDiscard, ch.id, ofp.BundleDiscard)
		if cause != nil {
			a.c.trySend(b) // the switch eventually drops an idle bundle by itself
		} else if err := a.c.send(ctx, b); err == nil {
			_ = a.c.wait(ctx, ch.call, func() bool { return ch.discarded }) // it is not committed in any case
		}
		a.c.forget(ch.call)
	}
	return false
}

// meters sends changes of meters; false: result says why not.
func (a *applier) meters(ctx context.Context, mods []openflow.Mod) bool {
	for len(mods) > 0 {
		some := mods[:min(len(mods), a.c.cfg.ChunkMods)]
		mods = mods[len(some):]
		refused, err := a.c.confirm(ctx, len(some), func(b []byte, i int, xid uint32) ([]byte, error) {
			b, err := ofp.AppendMod(b, xid, some[i])
			if err != nil {
				return b, &ModError{some[i], err}
			}
			return b, nil
		})
		if err != nil {
			a.result.Cause = err
			return false
		}
		a.result.Committed += len(some) - len(refused)
		for _, r := range refused {
			if r.index < len(some) {
				a.result.Refused = append(a.result.Refused, &ModError{some[r.index], r.err})
			}
		}
		if len(refused) > 0 {
			return false
		}
	}
	return true
}
