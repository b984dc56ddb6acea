package meta

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Collect says how to collect.
type Collect struct {
	DryRun bool // say what would go; propose nothing
}

// A CollectReport says what a collection did, or would do.
type CollectReport struct {
	DryRun       bool          `json:"dryRun"`
	Manifests    int64         `json:"manifests"` // whose grace ended
	Blobs        int64         `json:"blobs"`     // condemned
	Bytes        int64         `json:"bytes"`
	Kept         int64         `json:"kept"`    // live blobs
	Waiting      int64         `json:"waiting"` // unreferenced, within the grace
	WaitingBytes int64         `json:"waitingBytes"`
	Mark         time.Duration `json:"markNanoseconds"`
}

// Collect ends the grace of deleted manifests, marks what the rest refers to and
// condemns what nothing does (DESIGN §6). It runs beside pushes and deletes. What
// was touched ([Store.Touch]) and is unreferenced has its lease renewed instead.
//
// Any error ends the run with nothing more condemned. One run at a time:
// [ErrConflict] while another goes on, or when another node began one.
func (s *Store) Collect(ctx context.Context, c Collect) (CollectReport, error) {
	if !s.collecting.TryLock() {
		return CollectReport{}, fmt.Errorf("collect: another collection runs: %w", ErrConflict)
	}
	defer s.collecting.Unlock()
	run := collection{store: s, report: CollectReport{DryRun: c.DryRun}}
	var err error
	if c.DryRun {
		err = run.rehearse(ctx)
	} else {
		s.touched.turn()
		if err = run.run(ctx); err == nil {
			s.touched.done()
		}
	}
	if err != nil {
		return run.report, fmt.Errorf("collect: %w", err)
	}
	return run.report, nil
}

// A collection is one run. It belongs to one goroutine.
type collection struct {
	store  *Store
	report CollectReport
	begun  gcBeginReply

	marked   bitmap
	garbage  []garbage
	renew    []uint64 // touched
	orphans  []uint64 // contents that nothing holds
	heldElse []uint64 // contents that were let go of and are held elsewhere
}

// garbage is an unreferenced blob whose lease has ended.
type garbage struct {
	id     uint64
	packed []byte
}

// rehearse decides as run does, at one instant and without a barrier.
func (c *collection) rehearse(ctx context.Context) error {
	now := c.store.now().UnixMilli()
	graves, _, err := c.expired(ctx, now)
	if err != nil {
		return err
	}
	c.report.Manifests = int64(len(graves))
	err = c.store.view(func(tx *txn) error {
		state, err := getState(tx)
		if err != nil {
			return err
		}
		c.begun.Ceiling = state.LastID
		now = max(now, state.Clock)
		return c.decide(ctx, tx, now)
	})
	return err
}

// run is the whole collection.
func (c *collection) run(ctx context.Context) error {
	if err := c.expire(ctx); err != nil {
		return err
	}
	if err := c.forsake(ctx); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	s := c.store
	if err := s.propose(ctx, typeGCBegin, gcBegin{s.stamp("")}, &c.begun); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	err := c.sweep(ctx)
	// Also after an error, so that pushes need not note what they refer to. If this fails too, the
	// next collection voids the epoch.
	end := s.propose(context.WithoutCancel(ctx), typeGCEnd, gcEnd{s.stamp(""), c.begun.Epoch}, nil)
	if end != nil {
		end = fmt.Errorf("end: %w", end)
	}
	return errors.Join(err, end)
}

// sweep marks, and condemns what is left.
func (c *collection) sweep(ctx context.Context) error {
	now := c.store.now().UnixMilli()
	// GCBegin has been applied here, so this read sees everything before it.
	if err := c.store.view(func(tx *txn) error { return c.decide(ctx, tx, now) }); err != nil {
		return fmt.Errorf("mark: %w", err)
	}
	if err := c.renewLeases(ctx); err != nil {
		return err
	}
	for chunk := range slices.Chunk(c.garbage, batch) {
		if err := c.condemn(ctx, condemn{Blobs: c.untouched(chunk)}); err != nil {
			return err
		}
	}
	for ids := range slices.Chunk(c.orphans, batch) {
		if err := c.condemn(ctx, condemn{Contents: ids}); err != nil {
			return err
		}
	}
	for ids := range slices.Chunk(c.heldElse, batch) {
		if err := c.condemn(ctx, condemn{Held: ids}); err != nil {
			return err
		}
	}
	return nil
}

// renewLeases keeps what was touched.
func (c *collection) renewLeases(ctx context.Context) error {
	for ids := range slices.Chunk(c.renew, batch) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := c.store.propose(ctx, typeRenewLeases, renewLeases{c.store.stamp(""), ids}, nil); err != nil {
			return fmt.Errorf("renew leases: %w", err)
		}
	}
	return nil
}

func (c *collection) condemn(ctx context.Context, cmd condemn) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	cmd.stamp, cmd.Epoch = c.store.stamp(""), c.begun.Epoch
	var reply condemnReply
	if err := c.store.propose(ctx, typeCondemn, cmd, &reply); err != nil {
		return fmt.Errorf("condemn: %w", err)
	}
	c.report.Blobs += reply.Blobs
	c.report.Bytes += reply.Bytes
	return nil
}

// untouched leaves out what a client was told of since the mark.
func (c *collection) untouched(chunk []garbage) (ids []uint64) {
	for _, g := range chunk {
		if !c.store.touched.has(unpackDigest(g.packed)) {
			ids = append(ids, g.id)
		}
	}
	return ids
}

// expire makes final what was deleted long enough ago.
func (c *collection) expire(ctx context.Context) error {
	graves, tags, err := c.expired(ctx, c.store.now().UnixMilli())
	if err != nil {
		return err
	}
	propose := func(cmd expire) error {
		cmd.stamp = c.store.stamp("")
		var reply expireReply
		if err := c.store.propose(ctx, typeExpire, cmd, &reply); err != nil {
			return fmt.Errorf("end grace: %w", err)
		}
		c.report.Manifests += reply.Manifests
		return nil
	}
	for keys := range slices.Chunk(graves, batch) {
		if err := propose(expire{Graves: keys}); err != nil {
			return err
		}
	}
	for keys := range slices.Chunk(tags, batch) {
		if err := propose(expire{Tags: keys}); err != nil {
			return err
		}
	}
	return nil
}

// expired lists the keys of deleted manifests and tags whose grace has ended.
func (c *collection) expired(ctx context.Context, now int64) (graves, tags [][]byte, err error) {
	err = c.store.view(func(tx *txn) error {
		for k, v := range under(bucket(tx, bucketGraves), nil) {
			if err := ctx.Err(); err != nil {
				return err
			}
			var g graveRecord
			if err := decode(v, &g); err != nil {
				return err
			}
			if g.Until <= now {
				graves = append(graves, bytes.Clone(k))
			}
		}
		for k, v := range under(bucket(tx, bucketDropped), nil) {
			u := unpacker{b: v}
			if u.time() <= now {
				tags = append(tags, bytes.Clone(k))
			}
		}
		return nil
	})
	return graves, tags, err
}

// decide marks from every manifest, deleted ones within their grace included,
// and sorts what is not marked. A record that cannot be read ends the run: what
// it refers to would be unmarked.
func (c *collection) decide(ctx context.Context, tx *txn, now int64) error {
	start := time.Now()
	c.marked = newBitmap(c.begun.Ceiling)
	if err := c.markManifests(ctx, tx); err != nil {
		return err
	}
	if err := c.markGraves(tx, now); err != nil {
		return err
	}
	c.report.Mark = time.Since(start)
	if err := c.sortBlobs(ctx, tx, now); err != nil {
		return err
	}
	for k := range under(bucket(tx, bucketOrphans), nil) {
		i, _ := parseID(k)
		if c.marked.has(i) {
			c.heldElse = append(c.heldElse, uint64(i))
		} else {
			c.orphans = append(c.orphans, uint64(i))
		}
	}
	return nil
}

func (c *collection) markManifests(ctx context.Context, tx *txn) error {
	var refs []id
	n := 0
	for k, v := range under(bucket(tx, bucketManifests), nil) {
		if n++; n%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		_, i, ok := parseRepoID(k)
		var err error
		if refs, err = skimManifest(v, refs[:0]); err != nil || !ok {
			return fmt.Errorf("manifest %x: %w", k, errors.Join(ErrCorrupt, err))
		}
		c.marked.set(i)
		for _, ref := range refs {
			c.marked.set(ref)
		}
	}
	return nil
}

// markGraves marks what can be undeleted. In a rehearsal expired graves are
// still there and mark nothing.
func (c *collection) markGraves(tx *txn, now int64) error {
	var refs []id
	for k, v := range under(bucket(tx, bucketGraves), nil) {
		var g graveRecord
		if err := decode(v, &g); err != nil {
			return err
		}
		if c.report.DryRun && g.Until <= now {
			continue
		}
		_, i, ok := parseRepoID(k)
		var err error
		if refs, err = skimManifest(g.Manifest, refs[:0]); err != nil || !ok {
			return fmt.Errorf("deleted manifest %x: %w", k, ErrCorrupt)
		}
		c.marked.set(i)
		for _, ref := range refs {
			c.marked.set(ref)
		}
	}
	return nil
}

// sortBlobs says of each blob whether it stays, waits, is renewed or goes.
func (c *collection) sortBlobs(ctx context.Context, tx *txn, now int64) error {
	s := c.store
	n := 0
	for k, v := range under(bucket(tx, bucketBlobs), nil) {
		if n++; n%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		i, ok := parseID(k)
		if ok && c.marked.has(i) {
			c.report.Kept++
			continue
		}
		rec, err := unpackBlob(v)
		if err != nil || !ok {
			return fmt.Errorf("blob %x: %w", k, ErrCorrupt)
		}
		touched := s.touched.has(unpackDigest(rec.packed))
		if touched && rec.lease < now+s.graceNow().Milliseconds()/2 {
			c.renew = append(c.renew, uint64(i))
		}
		switch {
		case touched || rec.lease > now || uint64(i) > c.begun.Ceiling:
			c.report.Waiting++
			c.report.WaitingBytes += rec.size
		case c.report.DryRun:
			c.report.Blobs++
			c.report.Bytes += rec.size
		default:
			c.garbage = append(c.garbage, garbage{uint64(i), bytes.Clone(rec.packed)})
		}
	}
	return nil
}

// A bitmap has one bit for each id up to its ceiling.
type bitmap []uint64

func newBitmap(ceiling uint64) bitmap { return make(bitmap, ceiling/64+1) }

// set ignores ids above the ceiling: no collection of that ceiling touches them.
func (b bitmap) set(i id) {
	if w := uint64(i) / 64; w < uint64(len(b)) {
		b[w] |= 1 << (i % 64)
	}
}

func (b bitmap) has(i id) bool {
	w := uint64(i) / 64
	return w < uint64(len(b)) && b[w]&(1<<(i%64)) != 0
}
