package appliance

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"time"

	"skerry.dev/skerry/appliance/api"
	"skerry.dev/skerry/kube/resource"
	"skerry.dev/skerry/meta"
)

const (
	// inForceKind is what the metadata keeps the Config under that rules while
	// the object itself is Unmanaged.
	inForceKind = "ConfigInForce"
	// applyTries bounds how often an apply is tried again because somebody else
	// changed the object in between.
	applyTries = 5
)

// initObjects stores OpenShift's defaults of the objects that there must be, and
// takes over what the objects say. Where nothing can be written now the defaults
// are not stored, and hold all the same.
func (a *Appliance) initObjects(ctx context.Context) error {
	for _, k := range resource.Kinds() {
		if !k.Single() {
			continue
		}
		_, err := a.meta.Resource(k.Name, k.Namespace, resource.SingleName)
		if errors.Is(err, meta.ErrNotFound) {
			err = a.putDefault(ctx, k)
		}
		if errors.Is(err, meta.ErrFull) || errors.Is(err, meta.ErrUnavailable) {
			a.log.WarnContext(ctx, "object not stored, its default is in force", "object", k.Short, "err", err)
			continue
		}
		if err != nil {
			return err
		}
	}
	a.recallTransitions(ctx)
	a.enforcing.Lock()
	defer a.enforcing.Unlock()
	if a.takeOver(ctx) {
		a.httpSecret = a.rule.Load().HTTPSecret
		a.observe(ctx) // now that nothing waits for a restart
	}
	return nil
}

func (a *Appliance) putDefault(ctx context.Context, k resource.Kind) error {
	doc, err := k.Default(a.ephemeral())
	if err != nil {
		return err
	}
	_, err = a.apply(ctx, doc, false)
	return err
}

// object is a stored object; of a kind that must be there, at least its
// default, with version 0.
func (a *Appliance) object(k resource.Kind, name string) (meta.Resource, error) {
	r, err := a.meta.Resource(k.Name, k.Namespace, name)
	if !errors.Is(err, meta.ErrNotFound) {
		return r, err
	}
	if !k.Single() || name != resource.SingleName {
		return r, fmt.Errorf("%w: there is no %s/%s", err, k.Short, name)
	}
	doc, err := k.Default(a.ephemeral())
	return meta.Resource{Kind: k.Name, Name: name, Doc: doc}, err
}

// apply stores an object, if it changes anything. It is tried again when
// somebody else is quicker, unless the document says which version it is about.
func (a *Appliance) apply(ctx context.Context, doc []byte, dryRun bool) (applied api.Applied, err error) {
	for range applyTries {
		d, err := resource.Decode(doc)
		if err != nil {
			return applied, fmt.Errorf("%w:\n%w", api.ErrInvalid, err)
		}
		applied, err = a.applyOnce(ctx, d, dryRun)
		if !errors.Is(err, meta.ErrConflict) || d.Version != "" {
			return applied, err
		}
	}
	return applied, err
}

func (a *Appliance) applyOnce(ctx context.Context, d resource.Document, dryRun bool) (applied api.Applied, err error) {
	k := d.Kind
	applied.Object, applied.Result = k.Short+"/"+d.Name, "configured"
	old, err := a.meta.Resource(k.Name, k.Namespace, d.Name)
	if errors.Is(err, meta.ErrNotFound) {
		applied.Result, err = "created", nil
	}
	if err != nil {
		return applied, err
	}
	if have := strconv.FormatUint(old.Version, 10); d.Version != "" && d.Version != have {
		return applied, fmt.Errorf("%w: %s is at resourceVersion %s and the document is about %s: get it again, "+
			"or leave metadata.resourceVersion out to overwrite it", meta.ErrConflict, applied.Object, have, d.Version)
	}
	next, changes, err := d.Revise(old.Doc, resource.Stamp{UID: newUID(), Now: time.Now()})
	if err != nil {
		return applied, fmt.Errorf("%w: %w", api.ErrInvalid, err)
	}
	if applied.Changes = changes; len(changes) == 0 && old.Doc != nil {
		applied.Result = "unchanged"
	}
	stored := meta.Resource{Kind: k.Name, Namespace: k.Namespace, Name: d.Name, Version: old.Version, Doc: next}
	if applied.Result != "unchanged" && !dryRun {
		if err := a.keepInForce(ctx, k, old.Doc, next); err != nil {
			return applied, err
		}
		if stored, err = a.meta.PutResource(ctx, stored); err != nil {
			return applied, err
		}
		a.enforce(ctx)
	}
	view := view{since: a.since.of}
	if dryRun {
		view.since = sinceNow
	}
	shown, err := a.withStatus(stored, view)
	if err != nil {
		return applied, err
	}
	applied.Document = shown
	applied.Warnings, err = resource.Warnings(shown)
	return applied, err
}

// keepInForce remembers the Config that rules on, when it becomes Unmanaged. It
// is stored first: a crash in between leaves a copy that nothing reads.
func (a *Appliance) keepInForce(ctx context.Context, k resource.Kind, old, next []byte) error {
	if k.Name != resource.ConfigKind || old == nil {
		return nil
	}
	before, err := resource.ReadConfig(old)
	if err != nil {
		return err
	}
	after, err := resource.ReadConfig(next)
	if err != nil || before.State == resource.Unmanaged || after.State != resource.Unmanaged {
		return err
	}
	_, err = a.meta.PutResource(ctx, meta.Resource{Kind: inForceKind, Name: resource.SingleName, Doc: old})
	return err
}

// inForce is the Config that rules: the object, or while it is Unmanaged the
// last one that was not.
func (a *Appliance) inForce() (resource.Config, error) {
	k, _ := resource.KindOf(resource.ConfigKind)
	r, err := a.object(k, resource.SingleName)
	if err != nil {
		return resource.Config{}, err
	}
	c, err := resource.ReadConfig(r.Doc)
	if err != nil || c.State != resource.Unmanaged {
		return c, err
	}
	r, err = a.meta.Resource(inForceKind, "", resource.SingleName)
	if errors.Is(err, meta.ErrNotFound) {
		r.Doc, err = k.Default(a.ephemeral())
	}
	if err != nil {
		return resource.Config{}, err
	}
	return resource.ReadConfig(r.Doc)
}

// Object implements [api.Operator].
func (o operator) Object(_ context.Context, kind, name string) ([]byte, error) {
	k, r, err := o.find(kind, name)
	if err != nil {
		return nil, err
	}
	doc, err := o.a.withStatus(r, view{since: o.a.since.of})
	if err != nil {
		return nil, fmt.Errorf("%s/%s: %w", k.Short, name, err)
	}
	return doc, nil
}

// Reveal implements [api.Operator].
func (o operator) Reveal(ctx context.Context, q api.ObjectName, actor string) ([]byte, error) {
	k, r, err := o.find(q.Kind, q.Name)
	if err != nil {
		return nil, err
	}
	o.a.log.InfoContext(ctx, "secret values shown", "object", k.Short+"/"+q.Name, "actor", actor)
	return o.a.withStatus(r, view{since: o.a.since.of, reveal: true})
}

func (o operator) find(kind, name string) (resource.Kind, meta.Resource, error) {
	k, ok := resource.KindOf(kind)
	if !ok {
		return k, meta.Resource{}, fmt.Errorf("%w: kind %q", meta.ErrNotFound, kind)
	}
	r, err := o.a.object(k, name)
	return k, r, err
}

// Objects implements [api.Operator].
func (o operator) Objects(_ context.Context, kind string) ([][]byte, error) {
	k, ok := resource.KindOf(kind)
	if !ok {
		return nil, fmt.Errorf("%w: kind %q", meta.ErrNotFound, kind)
	}
	var all []meta.Resource
	var err error
	if k.Single() {
		all = make([]meta.Resource, 1)
		all[0], err = o.a.object(k, resource.SingleName)
	} else {
		all, err = o.a.meta.Resources(k.Name)
	}
	docs := make([][]byte, len(all))
	for i := range all {
		if err == nil {
			docs[i], err = o.a.withStatus(all[i], view{since: o.a.since.of})
		}
	}
	return docs, err
}

// ApplyObject implements [api.Operator].
func (o operator) ApplyObject(ctx context.Context, q api.ApplyRequest, actor string) (api.Applied, error) {
	applied, err := o.a.apply(ctx, []byte(q.Document), q.DryRun)
	if err == nil && !q.DryRun && applied.Result != "unchanged" {
		o.a.log.InfoContext(ctx, "object applied", "object", applied.Object, "result", applied.Result, "actor", actor)
	}
	applied.DryRun = q.DryRun
	return applied, err
}

// DeleteObject implements [api.Operator].
func (o operator) DeleteObject(ctx context.Context, q api.ObjectName, actor string) error {
	k, r, err := o.find(q.Kind, q.Name)
	if err != nil {
		return err
	}
	if err := o.a.meta.DeleteResource(ctx, r.Kind, r.Namespace, r.Name); err != nil {
		return err
	}
	o.a.log.InfoContext(ctx, "object deleted", "object", k.Short+"/"+q.Name, "actor", actor)
	if k.Single() {
		err = o.a.putDefault(ctx, k)
	}
	o.a.enforce(ctx)
	if errors.Is(err, meta.ErrFull) { // the default holds also where it is not stored
		return nil
	}
	return err
}

// newUID is a random UUID, version 4.
func newUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// publicName is what clients elsewhere call this node.
func (a *Appliance) publicName() string {
	return cmp.Or(append(append([]string(nil), a.cfg.Names...), a.cfg.Node)...)
}
