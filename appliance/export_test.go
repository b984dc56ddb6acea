package appliance

import (
	"context"
	"net/http"

	"skerry.dev/skerry/kube/resource"
	"skerry.dev/skerry/meta"
)

// Expected calls f with each blob that the metadata says is on the disk.
func (a *Appliance) Expected(ctx context.Context, f func(b meta.Blob, present bool)) error {
	return a.expected(ctx, f)
}

// Stats are the metadata's counters.
func (a *Appliance) Stats() (meta.Stats, error) { return a.meta.Stats() }

// Validate says what of a configuration makes no sense, without opening anything.
func Validate(c Config) error {
	_, err := c.withDefaults()
	return err
}

// Writes is how many writes of the registry run and wait under a limit.
func (a *Appliance) Writes() (running, waiting int) {
	l := a.rule.Load().writes
	return len(l.running), len(l.waiting)
}

// Ruled is h under a Config that lets so many reads run; 0 is no limit.
func Ruled(h http.Handler, reads int) http.Handler {
	a := new(Appliance)
	c := resource.Config{State: resource.Managed, Reads: resource.Limits{MaxRunning: reads}}
	a.rule.Store(&rule{Config: c, reads: newLimiter(c.Reads)})
	return a.ruled(h)
}
