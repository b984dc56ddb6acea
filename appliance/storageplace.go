package appliance

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"skerry.dev/skerry/kube/resource"
	"skerry.dev/skerry/meta"
)

// A place is where blobs are, and how it came to that. It is immutable.
type place struct {
	storage    Storage
	location   string // that of storage, but for an absent one
	kind       string // what OpenShift calls it
	trustedCA  string // the ConfigMap that storage.CA is of
	bySettings bool   // whatever the Config object says
	absent     error  // why it is only known where it is; nil else
}

// keptKind is what the metadata keeps the storage under that spec.storage has last
// brought into use. It holds on until another one is seen to work, so that neither a
// mistake in the objects nor a start in bad times makes blobs unreachable.
const keptKind = "StorageInForce"

// A keptPlace is a place as the metadata keeps it.
type keptPlace struct {
	Kind, TrustedCA string
	Storage         Storage
}

// settled is a place whose storage says where it is.
func settled(s Storage) place {
	kinds := map[StorageKind]string{StorageS3: "S3", StorageGCS: "GCS", StorageAzure: "Azure"}
	return place{storage: s, location: s.Location(), kind: kinds[s.Kind]}
}

// openPlace opens where the blobs are: by the settings if they name an object store,
// else where they have been, and where spec.storage was seen to work.
func (a *Appliance) openPlace(ctx context.Context) error {
	p, err := a.findPlace(ctx)
	if err != nil {
		return err
	}
	a.place = p
	if p.storage.Kind == StorageLocal {
		return nil // openDisk did it
	}
	if p.absent != nil {
		a.log.ErrorContext(ctx, "blobs are out of reach", "location", p.location, "err", p.absent)
	}
	if err := a.blobs.Close(); err != nil {
		return err
	}
	a.blobs, a.bucket, err = openBytes(ctx, p.storage, p.absent, a.disk())
	if err != nil && !p.bySettings { // what worked once does not now: that is no reason not to start (I8)
		a.place.absent = fmt.Errorf("the storage of spec.storage cannot be opened: %w", err)
		a.blobs, a.bucket, err = openBytes(ctx, p.storage, a.place.absent, a.disk())
	}
	if err != nil {
		a.blobs = nil
		return fmt.Errorf("open blobs: %w", err)
	}
	return nil
}

func (a *Appliance) findPlace(ctx context.Context) (place, error) {
	if s := a.cfg.Storage; s.Kind != StorageLocal {
		p := settled(s)
		p.bySettings = true
		return p, a.dir.checkLocation(s)
	}
	was, kept, err := a.wasPlace()
	if err != nil {
		return place{}, err
	}
	if from := a.cfg.from; from != nil && a.moveTo(ctx, *from.next, was) {
		return *from.next, nil
	}
	if was == string(StorageLocal) {
		return settled(Storage{Kind: StorageLocal}), nil
	}
	if kept != nil && kept.location == was {
		return *kept, nil
	}
	return a.unprovenPlace(ctx, was)
}

// wasPlace is where the blobs have been, and what the metadata kept of it, if anything.
// What is written down in the data directory counts: metadata may come from a backup
// whose blobs were restored elsewhere.
func (a *Appliance) wasPlace() (was string, kept *place, err error) {
	if was, err = a.dir.location(); err != nil {
		return "", nil, err
	}
	if kept, err = a.readKept(); err != nil {
		return "", nil, err
	}
	switch {
	case was != "":
	case kept != nil && a.dir.holdsNoBlobs():
		was, err = kept.location, a.dir.setLocation(kept.location)
	default:
		was = string(StorageLocal)
	}
	return was, kept, err
}

// unprovenPlace is the place for blobs that are in an object store which the settings
// have named once, or those of the node that a backup is of: what spec.storage says, if
// that is where they are.
func (a *Appliance) unprovenPlace(ctx context.Context, was string) (place, error) {
	want, lacks, err := a.wanted()
	switch {
	case err != nil:
		return place{}, err
	case want.storage.Kind == StorageLocal && lacks == "":
		return place{}, a.dir.elsewhere(was, want.location)
	case want.location == was && lacks == "":
		if err := a.keep(ctx, want); err != nil {
			a.log.WarnContext(ctx, "the storage in use is not remembered", "err", err)
		}
		return want, nil
	}
	kind, _, _ := strings.Cut(was, " ")
	return place{
		storage: Storage{Kind: StorageKind(kind)}, location: was, kind: want.kind,
		absent: fmt.Errorf("the blobs are in %q, and %s", was,
			cmp.Or(lacks, "spec.storage says "+want.location+": put it right, or set storage… in skerry.yaml")),
	}, nil
}

// moveTo makes next the place of blobs, if none would be left behind, and reports
// whether it did. It is called while nobody writes. The metadata is first: until the
// directory says so, too, nothing believes it, and nothing is lost where no blobs are.
func (a *Appliance) moveTo(ctx context.Context, next place, was string) bool {
	stats, err := a.meta.Stats()
	if err == nil && next.location != was && stats.Blobs > 0 {
		return false // pushed in the last moment; status says why it is not done
	}
	if err == nil {
		err = a.keep(ctx, next)
	}
	if err == nil && next.location != was {
		err = a.dir.setLocation(next.location)
	}
	if err != nil {
		a.log.WarnContext(ctx, "spec.storage is not taken over", "err", err)
		return false
	}
	a.log.InfoContext(ctx, "storage of blobs", "was", was, "is", next.location)
	return true
}

// keep remembers a place that spec.storage has chosen.
func (a *Appliance) keep(ctx context.Context, p place) error {
	doc, err := json.Marshal(keptPlace{p.kind, p.trustedCA, p.storage})
	if err != nil {
		return fmt.Errorf("write the storage in use: %w", err)
	}
	_, err = a.meta.PutResource(ctx, meta.Resource{Kind: keptKind, Name: resource.SingleName, Doc: doc})
	return err
}

func (a *Appliance) readKept() (*place, error) {
	r, err := a.meta.Resource(keptKind, "", resource.SingleName)
	if errors.Is(err, meta.ErrNotFound) {
		return nil, nil //nolint:nilnil // spec.storage never chose one
	}
	if err != nil {
		return nil, err
	}
	var k keptPlace
	if err := json.Unmarshal(r.Doc, &k); err != nil {
		return nil, fmt.Errorf("read the storage in use: %w", err)
	}
	p := settled(k.Storage)
	p.kind, p.trustedCA = k.Kind, k.TrustedCA
	return &p, nil
}
