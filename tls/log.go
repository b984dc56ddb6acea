package tls

import (
	"context"
	"log/slog"
	"strings"

	"go.uber.org/zap/zapcore"
)

// guestLog makes certmagic's log lines ours, at debug: what goes wrong comes
// back as an error, and is told once, in our words, by the diary.
type guestLog struct{ log *slog.Logger }

var _ zapcore.Core = (*guestLog)(nil)

// Enabled implements zapcore.LevelEnabler.
func (g *guestLog) Enabled(zapcore.Level) bool {
	return g.log.Enabled(context.Background(), slog.LevelDebug)
}

// With implements zapcore.Core.
func (g *guestLog) With(fields []zapcore.Field) zapcore.Core {
	return &guestLog{g.log.With(attrs(fields)...)}
}

// Check implements zapcore.Core.
func (g *guestLog) Check(e zapcore.Entry, c *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if g.Enabled(e.Level) {
		return c.AddCore(e, g)
	}
	return c
}

// Write implements zapcore.Core.
func (g *guestLog) Write(e zapcore.Entry, fields []zapcore.Field) error {
	args := append([]any{"said", e.Message, "at", e.Level.String()}, attrs(fields)...)
	g.log.DebugContext(context.Background(), "certmagic", args...)
	return nil
}

// Sync implements zapcore.Core.
func (g *guestLog) Sync() error { return nil }

// attrs are zap's fields as slog's, with names in our style.
func attrs(fields []zapcore.Field) []any {
	enc := zapcore.NewMapObjectEncoder()
	for _, f := range fields {
		f.AddTo(enc)
	}
	args := make([]any, 0, len(fields))
	for _, f := range fields {
		args = append(args, slog.Any(strings.ReplaceAll(f.Key, "-", "_"), enc.Fields[f.Key]))
	}
	return args
}
