package appliance

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/robfig/cron/v3"

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

// initPruner stores OpenShift's default ImagePruner when there is none.
func (a *Appliance) initPruner(ctx context.Context) error {
	_, err := a.meta.Resource(resource.PrunerKind, "", resource.PrunerName)
	if !errors.Is(err, meta.ErrNotFound) {
		return err
	}
	doc, err := resource.DefaultPruner()
	if err != nil {
		return err
	}
	return a.putPruner(ctx, doc)
}

func (a *Appliance) putPruner(ctx context.Context, doc []byte) error {
	_, err := a.meta.PutResource(ctx, meta.Resource{Kind: resource.PrunerKind, Name: resource.PrunerName, Doc: doc})
	if err != nil {
		return fmt.Errorf("store image pruner: %w", err)
	}
	return nil
}

// pruner reads the ImagePruner and when it is due.
func (a *Appliance) pruner(after time.Time) (doc []byte, p resource.Pruner, next time.Time, err error) {
	r, err := a.meta.Resource(resource.PrunerKind, "", resource.PrunerName)
	if err != nil {
		return nil, p, next, err
	}
	if doc, p, err = resource.DecodePruner(r.Doc); err != nil {
		return nil, p, next, err
	}
	schedule, err := parseSchedule(p.Schedule)
	if err != nil {
		return nil, p, next, err
	}
	return doc, p, schedule.Next(after), nil
}

func parseSchedule(s string) (cron.Schedule, error) {
	schedule, err := cron.ParseStandard(s)
	if err != nil {
		return nil, fmt.Errorf("%w: spec.schedule %q: %w", api.ErrInvalid, s, err)
	}
	return schedule, nil
}

// pruneLoop runs the pruner at its schedule. The object is read every minute,
// so a changed schedule needs no restart; a run that a stopped node missed is
// not made up for.
func (a *Appliance) pruneLoop(ctx context.Context) error {
	since := time.Now()
	for every(ctx, time.Minute) {
		_, p, next, err := a.pruner(since)
		if err != nil {
			a.log.WarnContext(ctx, "image pruner is not readable", "err", err)
			continue
		}
		now := time.Now()
		if p.Suspend || now.Before(next) {
			continue
		}
		since = now
		if _, err := a.prune(ctx, api.PruneRequest{}, prunerActor); err != nil {
			a.log.WarnContext(ctx, "pruning failed", "err", err)
		}
	}
	return nil
}

// prune applies the retention rules; what q leaves out, the ImagePruner says.
func (a *Appliance) prune(ctx context.Context, q api.PruneRequest, actor string) (report meta.PruneReport, err error) {
	defer a.metrics.prune.ended(q.DryRun, time.Now(), &err)
	_, p, _, err := a.pruner(time.Now())
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
