package appliance

import (
	"context"

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
