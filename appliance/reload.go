package appliance

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"skerry.dev/skerry/appliance/api"
)

// live is the configuration as of the last reload. It is safe for concurrent use.
type live struct{ now atomic.Pointer[edition] }

// An edition is immutable but for replaced, which is closed when there is a newer one.
type edition struct {
	Config
	replaced chan struct{}
}

// set is called by Open, and then by one reload at a time.
func (l *live) set(cfg Config) {
	before := l.now.Swap(&edition{Config: cfg, replaced: make(chan struct{})})
	if before != nil {
		close(before.replaced)
	}
}

// config is what is asked for now. Keep it for one decision only.
func (a *Appliance) config() Config { return a.live.now.Load().Config }

// Reload takes over what can change at run time: ReadOnly, Grace, CollectEvery,
// ScrubPeriod, UploadTTL, DrainTimeout and Storage.DisableRedirect. Other fields must be as they were; the
// certificates in the files that they name are read again, and the audit file is
// opened anew, so that logrotate can have moved it.
// With an error nothing has changed. One call at a time; requests go on.
func (a *Appliance) Reload(cfg Config) error {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return err
	}
	if err := a.audit.reopen(); err != nil {
		return err
	}
	a.live.set(cfg)
	a.meta.SetGrace(cfg.Grace)
	a.reloadTLS()
	return nil
}

// every waits as long as the configuration says, also when it says something
// else meanwhile, and reports whether there is a next round.
func (a *Appliance) every(ctx context.Context, period func(Config) time.Duration) bool {
	began := time.Now()
	for {
		e := a.live.now.Load()
		t := time.NewTimer(time.Until(began.Add(period(e.Config))))
		select {
		case <-ctx.Done():
			t.Stop()
			return false
		case <-e.replaced:
			t.Stop()
		case <-t.C:
			return true
		}
	}
}

// Reload implements [api.Operator].
func (o operator) Reload(ctx context.Context) (api.ReloadReport, error) {
	if o.a.cfg.Reread == nil {
		return api.ReloadReport{}, fmt.Errorf("%w: this process cannot read its configuration again", api.ErrInvalid)
	}
	return o.a.cfg.Reread(ctx)
}
