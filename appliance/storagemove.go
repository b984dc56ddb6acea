package appliance

import (
	"context"
	"errors"
	"fmt"
	"time"

	"skerry.dev/skerry/blobstore"
	"skerry.dev/skerry/kube/resource"
)

// reopenPause is how long an appliance that was opened for another storage, and could
// not take it over, does without the next try.
const reopenPause = time.Minute

// A verdict is what became of a place that spec.storage asked for.
type verdict struct {
	want place
	move *resource.Move // nil: it is in use
}

// moveLoop looks whether spec.storage asks for another place than the one in use, and
// ends the run with [ErrReopen] when that can be had. It is woken by enforce, which has
// read the objects, every few seconds: what did not answer is tried again then.
func (a *Appliance) moveLoop(ctx context.Context) error {
	for {
		next, err := a.consider(ctx)
		if next != nil && ctx.Err() == nil {
			if err = a.prepareReopen(ctx, *next); err == nil {
				return ErrReopen
			}
		}
		if err != nil {
			a.log.WarnContext(ctx, "spec.storage is not looked at: it stays as it was", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-a.reconsider:
		}
	}
}

// consider returns a place to take now, or nil, and remembers why for status.
func (a *Appliance) consider(ctx context.Context) (*place, error) {
	if a.rule.Load().State != resource.Managed {
		return nil, nil //nolint:nilnil // nothing is to be done
	}
	want, lacks, err := a.wanted()
	if err != nil {
		return nil, err
	}
	move, err := a.unmoved(want, lacks)
	ready := move != nil && move.UnderWay && !a.triedJustNow(want)
	if ready {
		move, err = a.try(ctx, want)
	}
	if err != nil || ctx.Err() != nil {
		return nil, err
	}
	if before := a.verdict.Swap(&verdict{want, move}); move != nil && !move.UnderWay &&
		(before == nil || before.move == nil || before.move.Text != move.Text) {
		a.log.WarnContext(ctx, "spec.storage is not in use", "reason", move.Reason, "err", move.Text)
	}
	if ready && move.Reason == resource.MoveUnderWay && a.idle() {
		return &want, nil
	}
	return nil, nil //nolint:nilnil // nothing is to be done
}

// triedJustNow reports whether this appliance was opened for a place and did not get
// it. It is not opened again at once: with a full disk it would do nothing else.
func (a *Appliance) triedJustNow(want place) bool {
	return a.cfg.from != nil && *a.cfg.from.next == want && time.Since(a.opened) < reopenPause
}

// idle reports whether no backup is being written, which a reopening would cut off.
func (a *Appliance) idle() bool {
	if !a.sweeping.TryRLock() {
		return false
	}
	a.sweeping.RUnlock()
	return true
}

// unmoved is why a place is not in use: nil when it is, under way when that is only for
// trying. It asks no object store.
func (a *Appliance) unmoved(want place, lacks string) (*resource.Move, error) {
	if lacks != "" {
		return &resource.Move{
			Reason: resource.MoveNotConfigured, Text: lacks + "; until then blobs stay " + a.place.where(),
		}, nil
	}
	if want == a.place {
		return nil, nil //nolint:nilnil // it is in use
	}
	stats, err := a.meta.Stats()
	if err != nil {
		return nil, err
	}
	if stats.Blobs > 0 && want.location != a.place.location {
		return &resource.Move{Reason: resource.MoveHoldsBlobs, Text: fmt.Sprintf(
			"spec.storage asks for blobs %s, and %d blobs are %s: move them with skerry backup, and skerry restore into a "+
				"new data directory with the settings storage… of the new place, or put spec.storage back",
			want.where(), stats.Blobs, a.place.where())}, nil
	}
	return &resource.Move{
		Reason: resource.MoveUnderWay, UnderWay: true,
		Text: "spec.storage asks for blobs " + want.where() + ", which is being tried",
	}, nil
}

// try asks the object store of a place whether it can be used. It makes a bucket its
// own only where no blobs are left behind by that.
func (a *Appliance) try(ctx context.Context, want place) (*resource.Move, error) {
	good := &resource.Move{
		Reason: resource.MoveUnderWay, UnderWay: true,
		Text: "the registry reopens with blobs " + want.where(),
	}
	if want.storage.Kind == StorageLocal {
		return good, nil
	}
	stats, err := a.meta.Stats()
	if err != nil {
		return nil, err
	}
	owner, err := a.storageOwner(ctx)
	if err == nil {
		err = want.storage.own(ctx, owner, stats.Blobs == 0)
	}
	switch {
	case err == nil:
		return good, nil
	case errors.Is(err, blobstore.ErrNotFound):
		return &resource.Move{Reason: resource.MoveHoldsBlobs, Retried: true, Text: fmt.Sprintf(
			"spec.storage names another %q than the one that has the %d blobs of this registry: put it right, or copy "+
				"everything there first, skerry.json too", want.location, stats.Blobs)}, nil
	}
	return &resource.Move{
		Reason: resource.MoveUnreachable, Retried: true,
		Text: fmt.Sprintf("spec.storage asks for blobs %s, which cannot be used: %v; blobs stay %s", want.where(), err,
			a.place.where()),
	}, nil
}

// where is the place for people.
func (p place) where() string {
	if p.location == string(StorageLocal) {
		return "in the data directory"
	}
	return fmt.Sprintf("in %q", p.location)
}

// moveOf is what status says about spec.storage of a Config that rules, or would.
func (a *Appliance) moveOf(spec resource.Storage) (*resource.Move, error) {
	want, lacks, err := a.placeOf(spec)
	if err != nil {
		return nil, err
	}
	move, err := a.unmoved(want, lacks)
	if err != nil || move == nil || !move.UnderWay {
		return move, err
	}
	if last := a.verdict.Load(); last != nil && last.want == want && last.move != nil {
		return last.move, nil
	}
	return move, nil
}

// overruled says, where the settings choose the place, that spec.storage asks for
// another one in vain; "" when it does not.
func (a *Appliance) overruled(spec resource.Storage) string {
	if !a.place.bySettings || spec.Local() {
		return ""
	}
	return fmt.Sprintf("does nothing while storage is set in skerry.yaml, by --storage or SKERRY_STORAGE: blobs are in "+
		"%q; take the settings away if this object is to choose", a.place.location)
}
