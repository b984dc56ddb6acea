package cli

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// level is how much is logged: what the machine's configuration says, unless the
// Config object asks for something else.
type level struct {
	machine slog.LevelVar
	asked   atomic.Pointer[slog.Level]
}

// Level implements [slog.Leveler].
func (l *level) Level() slog.Level {
	if asked := l.asked.Load(); asked != nil {
		return *asked
	}
	return l.machine.Level()
}

// newLogger logs to w in a format of the table: text, or else JSON.
func newLogger(w io.Writer, format string, level slog.Leveler) *slog.Logger {
	opts := &slog.HandlerOptions{Level: level}
	if format != "text" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	if toJournal(w) {
		opts.ReplaceAttr = withoutTime
		w = journal{w}
	}
	return slog.New(slog.NewTextHandler(w, opts))
}

// toJournal reports whether w is the stream that systemd connected with the
// journal, as JOURNAL_STREAM names it: systemd.exec(5).
func toJournal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return false
	}
	return os.Getenv("JOURNAL_STREAM") == fmt.Sprintf("%d:%d", st.Dev, st.Ino)
}

// withoutTime drops what the journal knows better.
func withoutTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}

// journal writes the level as sd-daemon(3) wants it. Each Write is one record
// of a text handler that leaves the time out: the level comes first.
type journal struct{ to io.Writer }

func (j journal) Write(p []byte) (int, error) {
	line := append([]byte("<6>"), p...)
	for name, priority := range map[string]string{"DEBUG": "<7>", "INFO": "<6>", "WARN": "<4>", "ERROR": "<3>"} {
		if rest, ok := bytes.CutPrefix(p, []byte("level="+name+" ")); ok {
			line = append([]byte(priority), rest...)
		}
	}
	if _, err := j.to.Write(line); err != nil {
		return 0, err
	}
	return len(p), nil
}
