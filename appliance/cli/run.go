package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"skerry.dev/skerry/appliance"
	"skerry.dev/skerry/appliance/api"
	"skerry.dev/skerry/appliance/setting"
)

const (
	// statusEvery is how often it is looked whether the state is still the one
	// that the supervisor was told.
	statusEvery = time.Second
	// stopMargin is what a stop may take beyond the drain timeout.
	stopMargin = 30 * time.Second
	// reopenMax is what a reopening may take beyond the drain timeout.
	reopenMax = time.Minute
)

// A process is the registry as its operator and its supervisor see it.
type process struct {
	// Immutable once the appliance is open.
	log        *slog.Logger
	supervisor supervisor
	hangup     <-chan os.Signal
	load       func() (*configuration, error)

	level level

	appliance *appliance.Appliance // changed by live with mu held, while run does not run

	mu   sync.Mutex     // guards conf; held for a whole reload or reopening
	conf *configuration // what runs, settings that wait for a restart as they were
}

// live runs one appliance after the other, as long as each asks for the next.
func (p *process) live(ctx context.Context) error {
	for {
		err := p.run(ctx)
		if !errors.Is(err, appliance.ErrReopen) {
			return errors.Join(err, p.appliance.Close())
		}
		if ctx.Err() != nil {
			return p.appliance.Close()
		}
		if err := p.reopen(ctx); err != nil {
			if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
				return nil
			}
			return fmt.Errorf("reopen: %w", err)
		}
	}
}

// reopen goes on with the appliance's successor.
func (p *process) reopen(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	opening, done := context.WithTimeout(ctx, reopenMax)
	defer done()
	go p.feed(opening)                   // ends with the opening, or when that hangs
	next, err := p.appliance.Reopen(ctx) // which keeps ctx
	if err != nil {
		return err
	}
	p.appliance = next
	p.log.InfoContext(ctx, "reopened", "addr", next.Addr().String())
	return nil
}

// feed keeps the watchdog from biting until ctx ends.
func (p *process) feed(ctx context.Context) {
	if p.supervisor.watchdog <= 0 {
		return
	}
	t := time.NewTicker(p.supervisor.watchdog / 4)
	defer t.Stop()
	for {
		p.supervisor.tell("WATCHDOG=1")
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

// run serves until ctx ends and what runs is done.
func (p *process) run(ctx context.Context) error {
	served, done := context.WithCancel(context.WithoutCancel(ctx)) // supervised to the end of the drain
	g := errgroup.Group{}
	g.Go(func() error { // ends with ctx
		defer done()
		return p.appliance.Run(ctx)
	})
	g.Go(func() error { // ends with the other
		p.supervise(served, ctx.Done())
		return nil
	})
	err := g.Wait()
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return err
}

// supervise tells the supervisor how it is going, and reloads at its word,
// until ctx ends.
func (p *process) supervise(ctx context.Context, stop <-chan struct{}) {
	told := p.status()
	p.supervisor.tell("READY=1\nSTATUS=%s", told)
	status := time.NewTicker(statusEvery)
	defer status.Stop()
	var alive <-chan time.Time
	if p.supervisor.watchdog > 0 {
		t := time.NewTicker(p.supervisor.watchdog / 2)
		defer t.Stop()
		alive = t.C
	}
	hangup, reopening := p.hangup, p.appliance.Reopening()
	for {
		select {
		case <-ctx.Done():
			select {
			case <-reopening: // nil once that was told
				p.reopening()
			default:
				if stop != nil && reopening != nil { // it was over sooner than this was told
					p.stopping()
				}
			}
			return
		case <-reopening:
			reopening, hangup = nil, nil // the next one reads what is new
			p.reopening()
		case <-stop:
			stop, hangup = nil, nil // who stops reads nothing new
			p.stopping()
		case <-hangup:
			_, _ = p.reload(ctx) // which logged it
		case <-alive:
			p.pet(ctx)
		case <-status.C:
			if now := p.status(); now != told {
				told = now
				p.supervisor.tell("STATUS=%s", told)
			}
		}
	}
}

// status is the state in a line.
func (p *process) status() string {
	s := p.appliance.State()
	switch {
	case s.Reads != nil:
		return fmt.Sprintf("%v: %d requests are running", s.Reads, s.Running)
	case s.Writes != nil:
		return fmt.Sprintf("reads are served, writes are not: %v; disk pressure %s", s.Writes, s.Pressure)
	}
	return "reads and writes are served; disk pressure " + s.Pressure
}

// stopping announces a stop, and how long it may take.
func (p *process) stopping() {
	p.mu.Lock()
	limit := p.conf.values.DrainTimeout + stopMargin
	p.mu.Unlock()
	p.supervisor.tell("STOPPING=1\nEXTEND_TIMEOUT_USEC=%d", limit.Microseconds())
}

// reopening announces that the service will be back, and when at the latest.
func (p *process) reopening() {
	p.mu.Lock()
	limit := p.conf.values.DrainTimeout + reopenMax
	p.mu.Unlock()
	p.supervisor.reloading()
	p.supervisor.tell("EXTEND_TIMEOUT_USEC=%d", limit.Microseconds())
}

// pet keeps the watchdog from biting, unless the process hangs.
func (p *process) pet(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, p.supervisor.watchdog/4)
	defer cancel()
	if err := p.appliance.Alive(ctx); err != nil {
		p.log.ErrorContext(ctx, "the process hangs: the watchdog is not told otherwise", "err", err)
		return
	}
	p.supervisor.tell("WATCHDOG=1")
}

// reload reads the configuration again and applies what can be applied. With
// an error nothing has changed. It logs either.
func (p *process) reload(ctx context.Context) (api.ReloadReport, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.supervisor.reloading()
	defer p.supervisor.tell("READY=1")
	report := api.ReloadReport{Changes: []api.SettingChange{}}
	next, err := p.load()
	var changes []setting.Change
	if err == nil {
		changes = next.table.Adopt(p.conf.table)
		err = p.appliance.Reload(next.values.Config)
	}
	if err != nil {
		p.log.ErrorContext(ctx, "reload failed, nothing has changed", "err", err)
		return report, fmt.Errorf("%w: nothing has changed:\n%w", api.ErrInvalid, err)
	}
	p.conf = next
	p.level.machine.Set(next.level())
	next.logWarnings(ctx, p.log)
	for _, c := range changes {
		if c.Live {
			p.log.InfoContext(ctx, "setting took effect", "key", c.Key, "from", c.From, "to", c.To)
		} else {
			p.log.WarnContext(ctx, "setting needs a restart to take effect", "key", c.Key, "from", c.From, "to", c.To)
		}
		report.Changes = append(report.Changes, api.SettingChange{Key: c.Key, From: c.From, To: c.To, Applied: c.Live})
	}
	p.log.InfoContext(ctx, "reloaded", "file", next.file, "changes", len(changes))
	return report, nil
}

// level is the log level, which the table has checked.
func (conf *configuration) level() slog.Level {
	var l slog.Level
	_ = l.UnmarshalText([]byte(conf.values.LogLevel))
	return l
}

func (conf *configuration) logWarnings(ctx context.Context, log *slog.Logger) {
	for _, text := range conf.resolved.Warnings {
		log.WarnContext(ctx, "configuration", "warning", text)
	}
}
