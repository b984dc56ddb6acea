package appliance

import (
	"context"
	"sync"
	"time"

	"skerry.dev/skerry/meta"
)

// Clients are told that blobs exist by every node, and each remembers for itself what
// it told (meta.Store.Touch). Whoever collects asks all others to renew that first. One
// that does not answer may have told something since it was heard last: so nothing is
// collected by itself before a grace has passed. After that, or when an operator wants
// it, a client that counts on such a blob has its manifest refused and pushes the blob
// again: what was acknowledged is never at stake (ADR 24).

const (
	renewMax = time.Minute     // until a node has renewed
	tellMax  = 5 * time.Second // until a node has heard of garbage
)

// elsewhere calls f for every other node, all at once, and returns those for which it failed.
func (a *Appliance) elsewhere(
	ctx context.Context, limit time.Duration, f func(context.Context, meta.Node) error,
) []meta.Node {
	if a.cluster.client == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var (
		mu     sync.Mutex // guards failed
		failed []meta.Node
		calls  sync.WaitGroup
	)
	for _, n := range a.others() {
		calls.Go(func() { // waited for below, and bounded by limit
			if err := f(ctx, n); err != nil {
				a.log.DebugContext(ctx, "node not reached", "node", n.Name, "err", err)
				mu.Lock()
				defer mu.Unlock()
				failed = append(failed, n)
			}
		})
	}
	calls.Wait()
	return failed
}

// renewElsewhere has the others renew what they told clients of, and returns those that
// did not.
func (a *Appliance) renewElsewhere(ctx context.Context) (silent []meta.Node) {
	return a.elsewhere(ctx, renewMax, func(ctx context.Context, n meta.Node) error {
		return a.cluster.client.Renew(ctx, peerOf(n))
	})
}

// sweepElsewhere tells the others that garbage was collected. Who does not hear it
// looks by itself, later.
func (a *Appliance) sweepElsewhere(ctx context.Context) {
	a.elsewhere(ctx, tellMax, func(ctx context.Context, n meta.Node) error {
		return a.cluster.client.Sweep(ctx, peerOf(n))
	})
}

// sweepNow has this node sweep, soon.
func (a *Appliance) sweepNow() {
	select {
	case a.sweepSoon <- struct{}{}:
	default: // it is told already
	}
}

// promised says whether what one of these nodes told clients, before it fell silent,
// may still count.
func (a *Appliance) promised(silent []meta.Node) bool {
	a.cluster.mu.Lock()
	defer a.cluster.mu.Unlock()
	for _, n := range silent {
		if seen, known := a.cluster.seen[n.ID]; !known || time.Since(seen.at) < a.config().Grace {
			return true
		}
	}
	return false
}

func names(nodes []meta.Node) (all []string) {
	for _, n := range nodes {
		all = append(all, n.Name)
	}
	return all
}
