package meta

import (
	"context"
	"fmt"
)

// RenewTouched renews the leases of unreferenced blobs that clients were told of
// through this store ([Store.Touch]). Collect does so itself, but knows nothing
// of what other nodes told their clients: each of them renews before the node
// that collects begins. Where nothing was touched it costs nothing.
func (s *Store) RenewTouched(ctx context.Context) error {
	if !s.collecting.TryLock() {
		return nil // the collection that runs here does it
	}
	defer s.collecting.Unlock()
	if s.touched.none() {
		return nil
	}
	s.touched.turn()
	run := collection{store: s, report: CollectReport{DryRun: true}}
	err := run.rehearse(ctx)
	if err == nil {
		err = run.renewLeases(ctx)
	}
	if err != nil {
		return fmt.Errorf("renew what was touched: %w", err)
	}
	s.touched.done()
	return nil
}
