package tls

import (
	"context"
	"log/slog"
	"sync"
)

// What a diary calls the parts; names from an ACME server are partACME and the
// name.
const (
	partSelf    = "own CA"
	partFiles   = "files"
	partClients = "client CA"
	partACME    = "acme "
)

// A diary knows what is wrong at present, and logs when that changes, once.
type diary struct {
	log *slog.Logger

	mu      sync.Mutex // guards trouble; held for one look
	trouble map[string]string
}

func newDiary(log *slog.Logger) *diary { return &diary{log: log, trouble: map[string]string{}} }

// note remembers how a part is and logs it if that is new.
func (d *diary) note(ctx context.Context, part string, err error) {
	was, changed := d.set(part, err)
	switch {
	case !changed:
	case err != nil:
		d.log.WarnContext(ctx, "certificates: what was good stays in use", "part", part, "err", err)
	case was != "":
		d.log.InfoContext(ctx, "certificates: well again", "part", part)
	}
}

// set remembers how a part is, without a word: whoever asked will tell.
func (d *diary) set(part string, err error) (was string, changed bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	was = d.trouble[part]
	if err == nil {
		delete(d.trouble, part)
		return was, was != ""
	}
	d.trouble[part] = err.Error()
	return was, was != err.Error()
}

// of is what is wrong with a part; "" if nothing is.
func (d *diary) of(part string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.trouble[part]
}
