package object

import (
	"context"
	"time"
)

// A progress breaks a request off that takes too long between two steps.
type progress struct {
	timer  *time.Timer
	cancel context.CancelCauseFunc
}

// watch returns a context that ends when within passes without a step. The caller
// ends the progress.
func watch(ctx context.Context, within time.Duration) (context.Context, *progress) {
	ctx, cancel := context.WithCancelCause(ctx)
	return ctx, &progress{time.AfterFunc(within, func() { cancel(errStalled) }), cancel}
}

// step gives the store as long again.
func (p *progress) step(within time.Duration) { p.timer.Reset(within) }

// rest stops the clock: somebody else is to blame for what time passes now.
func (p *progress) rest() { p.timer.Stop() }

// end ends the context.
func (p *progress) end() {
	p.timer.Stop()
	p.cancel(context.Canceled)
}
