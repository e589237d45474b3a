package cluster

import (
	"context"
	"log/slog"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// zapTo returns the logger for etcd. It lowers the levels of etcd's messages: information
// and warnings, such as a request of 150 ms, become debug messages, and an error about a
// closed listener becomes information. That etcd records its version later than its first
// attempt is no failure either. Once closing ends, all messages are debug messages.
func zapTo(closing context.Context, log *slog.Logger) *zap.Logger {
	return zap.New(zapCore{closing, log.With("component", "etcd").Handler()})
}

// zapCore passes zap's entries on to a slog handler.
type zapCore struct {
	closing context.Context
	to      slog.Handler
}

// later is logged by a member that has a leader before its first write to disk; the member
// completes the step in its next round.
const later = "failed to update storage version"

func (c zapCore) levelOf(e zapcore.Entry) slog.Level {
	if e.Message == later && e.Level == zapcore.ErrorLevel {
		return slog.LevelDebug
	}
	return c.level(e.Level)
}

func (c zapCore) level(l zapcore.Level) slog.Level {
	switch {
	case l >= zapcore.DPanicLevel:
		return slog.LevelError
	case l >= zapcore.ErrorLevel && c.closing.Err() == nil:
		return slog.LevelInfo
	}
	return slog.LevelDebug
}

// Enabled implements zapcore.LevelEnabler.
func (c zapCore) Enabled(l zapcore.Level) bool {
	return c.to.Enabled(context.Background(), c.level(l))
}

// With implements zapcore.Core.
func (c zapCore) With(fields []zapcore.Field) zapcore.Core {
	return zapCore{c.closing, c.to.WithAttrs(attrs(fields))}
}

// Check implements zapcore.Core.
func (c zapCore) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.to.Enabled(context.Background(), c.levelOf(e)) {
		return ce.AddCore(e, c)
	}
	return ce
}

// Write implements zapcore.Core.
func (c zapCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	r := slog.NewRecord(e.Time, c.levelOf(e), e.Message, 0)
	r.AddAttrs(attrs(fields)...)
	return c.to.Handle(context.Background(), r)
}

// Sync implements zapcore.Core; slog writes at once.
func (c zapCore) Sync() error { return nil }

func attrs(fields []zapcore.Field) []slog.Attr {
	enc := zapcore.NewMapObjectEncoder()
	var out []slog.Attr
	for _, f := range fields {
		f.AddTo(enc)
		if v, ok := enc.Fields[f.Key]; ok {
			out = append(out, slog.Any(f.Key, v))
		}
	}
	return out
}
