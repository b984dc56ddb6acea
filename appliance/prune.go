package appliance

import (
	"context"
	"fmt"
	"sync"
	"time"

	"skerry.dev/skerry/appliance/api"
	"skerry.dev/skerry/kube/resource"
	"skerry.dev/skerry/meta"
)

// prunerActor is who the pruner's deletes are by.
const prunerActor = "pruner"

// lastPrune is what status tells of the pruner's last run.
type lastPrune struct {
	mu  sync.Mutex // guards run
	run resource.PrunerRun
}

func (l *lastPrune) set(run resource.PrunerRun) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.run = run
}

func (l *lastPrune) get() resource.PrunerRun {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.run
}

// pruner reads the ImagePruner.
func (a *Appliance) pruner() (resource.Pruner, error) {
	k, _ := resource.KindOf(resource.PrunerKind)
	r, err := a.object(k, resource.SingleName)
	if err != nil {
		return resource.Pruner{}, err
	}
	return resource.ReadPruner(r.Doc)
}

// pruneLoop runs the pruner at its schedule. The object is read every minute,
// so a changed schedule needs no restart; a run that a stopped node missed is
// not made up for.
func (a *Appliance) pruneLoop(ctx context.Context) error {
	since := time.Now()
	for every(ctx, time.Minute) {
		p, err := a.pruner()
		if err != nil {
			a.log.WarnContext(ctx, "image pruner is not readable", "err", err)
			continue
		}
		now := time.Now()
		if p.Suspend || now.Before(p.Next(since)) {
			continue
		}
		if since = now; !a.leading() {
			continue // another node does it
		}
		if _, err := a.prune(ctx, api.PruneRequest{}, prunerActor); err != nil {
			a.log.WarnContext(ctx, "pruning failed", "err", err)
		}
	}
	return nil
}

// prune applies the retention rules; what q leaves out, the ImagePruner says.
func (a *Appliance) prune(ctx context.Context, q api.PruneRequest, actor string) (report meta.PruneReport, err error) {
	defer a.metrics.prune.ended(q.DryRun, time.Now(), &err)
	p, err := a.pruner()
	if err != nil {
		return meta.PruneReport{}, err
	}
	if q.KeepTagRevisions != nil {
		p.KeepTagRevisions = *q.KeepTagRevisions
	}
	if q.KeepYoungerThan != nil {
		p.KeepYoungerThan = *q.KeepYoungerThan
	}
	if p.KeepTagRevisions < 0 || p.KeepYoungerThan < 0 {
		return meta.PruneReport{}, fmt.Errorf("%w: what to keep must not be negative", api.ErrInvalid)
	}
	report, err = a.meta.Prune(ctx, meta.Prune{
		KeepTagRevisions: p.KeepTagRevisions,
		KeepYoungerThan:  p.KeepYoungerThan,
		DryRun:           q.DryRun,
		Actor:            actor,
	})
	if q.DryRun {
		return report, err
	}
	summary := fmt.Sprintf("deleted %d tag revisions and %d manifests", len(report.Revisions), len(report.Manifests))
	a.metrics.prunedRevisions.Add(float64(len(report.Revisions)))
	a.metrics.prunedManifests.Add(float64(len(report.Manifests)))
	a.pruned.set(resource.PrunerRun{At: time.Now(), Summary: summary, Err: err})
	if err == nil {
		a.log.InfoContext(ctx, "pruned", "revisions", len(report.Revisions), "manifests", len(report.Manifests))
	}
	return report, err
}
