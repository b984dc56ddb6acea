package appliance

import (
	"context"
	"encoding/json"
	"os"
	"time"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/appliance/api"
)

// scrubRateMin, in bytes a second, keeps a pass over few bytes from taking its
// whole period.
const scrubRateMin = 4 << 20

// A scrubState is how far the slow scrub came. It rests in the data directory: a
// node that is restarted more often than a pass takes gets through all the same.
type scrubState struct {
	After digest.Digest `json:"after,omitempty"` // the last blob of a pass that has not ended
	Done  time.Time     `json:"done"`            // when the last pass ended, or the first could have begun
}

// wait is how long to wait for the next pass, or for the rest of this one.
func (s scrubState) wait(now time.Time, pause time.Duration) time.Duration {
	if s.After != "" {
		return 0
	}
	return s.Done.Add(pause).Sub(now)
}

// scrubRetry is the pause after a pass that ended with an error, and how often a
// pass notes how far it came.
const scrubRetry = 10 * time.Minute

// scrubLoop verifies every blob once in each period, at the rate that takes
// half of it.
func (a *Appliance) scrubLoop(ctx context.Context) error {
	state := a.readScrubState()
	a.metrics.scrub.success.Set(float64(state.Done.Unix()))
	pause := func(c Config) time.Duration { return c.ScrubPeriod / 2 }
	now := time.Now()
	for a.every(ctx, func(c Config) time.Duration { return state.wait(now, pause(c)) }) {
		for err := a.scrubSlowly(ctx, &state); err != nil; err = a.scrubSlowly(ctx, &state) {
			if ctx.Err() != nil {
				return nil
			}
			a.log.WarnContext(ctx, "scrub stopped", "err", err)
			if !a.every(ctx, func(c Config) time.Duration { return min(scrubRetry, pause(c)) }) {
				return nil
			}
		}
		now = time.Now()
	}
	return nil
}

// scrubSlowly makes a pass, or goes on with one.
func (a *Appliance) scrubSlowly(ctx context.Context, state *scrubState) error {
	stats, err := a.meta.Stats()
	if err != nil {
		return err
	}
	rate := max(scrubRateMin, int64(float64(stats.BlobBytes)/(a.config().ScrubPeriod/2).Seconds()))
	noted := time.Now()
	_, err = a.scrubAfter(ctx, state.After, api.ScrubRequest{BytesPerSecond: rate},
		func(_ api.ScrubReport, last digest.Digest) {
			if state.After = last; time.Since(noted) > scrubRetry {
				noted = time.Now()
				a.writeScrubState(*state)
			}
		})
	if err == nil {
		*state = scrubState{Done: time.Now()}
	}
	a.writeScrubState(*state)
	return err
}

// readScrubState reads where an earlier process stopped. What cannot be read is
// forgotten: it only says what need not be done again.
func (a *Appliance) readScrubState() (s scrubState) {
	b, err := os.ReadFile(a.dir.join(scrubName))
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	if err != nil || s.Done.After(time.Now()) {
		s = scrubState{Done: time.Now()}
		a.writeScrubState(s)
	}
	return s
}

func (a *Appliance) writeScrubState(s scrubState) {
	b, err := json.Marshal(s)
	if err == nil {
		err = a.dir.write(scrubName, string(b)+"\n")
	}
	if err != nil {
		a.log.Warn("how far the scrub came is not noted", "err", err)
	}
}
