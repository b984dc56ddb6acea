package raft

import (
	"context"
	"fmt"
	"io"
	"log" //nolint:depguard // the guest's interface names it
	"log/slog"
	"strings"

	"github.com/hashicorp/go-hclog"
)

// logger is the guests' logger, on ours. What they call information is our
// debug: the node itself says who leads.
type logger struct {
	log  *slog.Logger
	name string
	args []any
}

var _ hclog.Logger = (*logger)(nil)

// quiet holds the complaints of the guest that are ordinary life here, or that
// are told in other words, once: by the node, or by its "failed to contact".
func quiet(msg string) bool {
	switch msg {
	case "heartbeat timeout reached, starting election", // a cluster elects
		"Election timeout reached, restarting election",
		"no known peers, aborting election", // a node that waits to be added
		"failed to get previous log",        // a node that lags
		"appendEntries rejected, sending older logs",
		"failed to heartbeat to", // a node that is down, every few milliseconds
		"failed to appendEntries to",
		"failed to make requestVote RPC",
		"failed to decode incoming command", // a connection that was closed
		"skipping application of old log",   // a start that replayed all
		"failed to commit logs",             // reported by the log store
		"failed to take snapshot":           // too early after a configuration change; tried again
		return true
	}
	return false
}

// Log implements hclog.Logger.
func (l *logger) Log(level hclog.Level, msg string, args ...any) {
	lv := slog.LevelDebug
	switch {
	case quiet(msg):
	case level == hclog.Warn:
		lv = slog.LevelWarn
	case level == hclog.Error:
		lv = slog.LevelError
	}
	ctx := context.Background() // the guest has none
	if !l.log.Enabled(ctx, lv) {
		return
	}
	msg = strings.ToLower(msg[:1]) + msg[1:]
	l.log.Log(ctx, lv, msg, attrs(args)...) //nolint:sloglint // constant where the guest says it
}

// attrs turns the guest's keys into snake_case and formats what it left to be.
func attrs(args []any) []any {
	out := make([]any, 0, len(args)+1)
	for i := 0; i+1 < len(args); i += 2 {
		key := strings.NewReplacer("-", "_", " ", "_").Replace(fmt.Sprint(args[i]))
		if key == "error" {
			key = "err"
		}
		value := args[i+1]
		if f, ok := value.(hclog.Format); ok && len(f) > 0 {
			value = fmt.Sprintf(fmt.Sprint(f[0]), f[1:]...)
		}
		out = append(out, key, value)
	}
	return out
}

// Trace implements hclog.Logger.
func (l *logger) Trace(msg string, args ...any) { l.Log(hclog.Trace, msg, args...) }

// Debug implements hclog.Logger.
func (l *logger) Debug(msg string, args ...any) { l.Log(hclog.Debug, msg, args...) }

// Info implements hclog.Logger.
func (l *logger) Info(msg string, args ...any) { l.Log(hclog.Info, msg, args...) }

// Warn implements hclog.Logger.
func (l *logger) Warn(msg string, args ...any) { l.Log(hclog.Warn, msg, args...) }

// Error implements hclog.Logger.
func (l *logger) Error(msg string, args ...any) { l.Log(hclog.Error, msg, args...) }

func (l *logger) enabled(lv slog.Level) bool { return l.log.Enabled(context.Background(), lv) }

// IsTrace implements hclog.Logger.
func (l *logger) IsTrace() bool { return l.enabled(slog.LevelDebug) }

// IsDebug implements hclog.Logger.
func (l *logger) IsDebug() bool { return l.enabled(slog.LevelDebug) }

// IsInfo implements hclog.Logger.
func (l *logger) IsInfo() bool { return l.enabled(slog.LevelDebug) }

// IsWarn implements hclog.Logger.
func (l *logger) IsWarn() bool { return l.enabled(slog.LevelWarn) }

// IsError implements hclog.Logger.
func (l *logger) IsError() bool { return l.enabled(slog.LevelError) }

// ImpliedArgs implements hclog.Logger.
func (l *logger) ImpliedArgs() []any { return l.args }

// With implements hclog.Logger.
func (l *logger) With(args ...any) hclog.Logger {
	all := append(l.args[:len(l.args):len(l.args)], args...)
	return &logger{log: l.log.With(attrs(args)...), name: l.name, args: all}
}

// Name implements hclog.Logger.
func (l *logger) Name() string { return l.name }

// Named implements hclog.Logger.
func (l *logger) Named(name string) hclog.Logger { return l.ResetNamed(name) }

// ResetNamed implements hclog.Logger.
func (l *logger) ResetNamed(name string) hclog.Logger {
	return &logger{log: l.log, name: name, args: l.args}
}

// SetLevel does nothing: the handler of ours decides.
func (l *logger) SetLevel(hclog.Level) {}

// GetLevel implements hclog.Logger.
func (l *logger) GetLevel() hclog.Level { return hclog.Trace }

// StandardLogger implements hclog.Logger; nothing here asks for one.
func (l *logger) StandardLogger(o *hclog.StandardLoggerOptions) *log.Logger {
	return log.New(l.StandardWriter(o), "", 0)
}

// StandardWriter implements hclog.Logger; nothing here asks for one.
func (l *logger) StandardWriter(*hclog.StandardLoggerOptions) io.Writer { return io.Discard }
