package appliance

import "skerry.dev/skerry/meta"

// Stats are the metadata's counters.
func (a *Appliance) Stats() (meta.Stats, error) { return a.meta.Stats() }
