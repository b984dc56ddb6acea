package meta

import (
	"bytes"

	"go.etcd.io/bbolt"
)

// Collection, as the state machine sees it.
//
//	GCBegin   opens an epoch. From here on every command that refers to a blob
//	          or to a manifest's content notes its id in gp (change.protect).
//	(mark)    whoever collects reads m and g at or after that index and proposes
//	Condemn   with what nothing referred to. Ids in gp, ids given out after
//	          GCBegin, and blobs whose lease lasts are skipped.
//	GCEnd     forgets gp.
//
// A reference is either older than GCBegin, then the mark has seen it, or
// younger, then its id is in gp: nothing referred to is condemned (I2, I3),
// however commands and mark interleave. An epoch that was not ended is void as
// soon as another begins.

// batchMax bounds the items of one command; batch is how many are proposed at
// once. Each item may dirty several pages far apart, and pushes wait for the
// transaction: a hundred take about a megabyte and a few milliseconds.
const (
	batchMax = 1000
	batch    = 100
)

// gcBegin begins a collection and voids the one that may be running.
type gcBegin struct{ stamp }

type gcBeginReply struct {
	Epoch   uint64 `cbor:"1,keyasint"`
	Ceiling uint64 `cbor:"2,keyasint"` // ids above it are none of this collection's business
}

func (c *change) gcBegin(gcBegin) (any, error) {
	c.state.Epoch, c.state.Ceiling = c.entry, c.state.LastID
	_, err := emptied(c.tx, bucketBarrier)
	return gcBeginReply{c.state.Epoch, c.state.Ceiling}, err
}

// gcEnd ends a collection.
type gcEnd struct {
	stamp
	Epoch uint64 `cbor:"4,keyasint"`
}

func (c *change) gcEnd(cmd gcEnd) (any, error) {
	if c.state.Epoch != cmd.Epoch {
		return nil, ErrConflict
	}
	c.state.Epoch, c.state.Ceiling = 0, 0
	_, err := emptied(c.tx, bucketBarrier)
	return nil, err
}

// renewLeases keeps blobs for the grace from now: clients were told they exist.
type renewLeases struct {
	stamp
	IDs []uint64 `cbor:"4,keyasint"`
}

func (c *change) renewLeases(cmd renewLeases) (any, error) {
	if len(cmd.IDs) > batchMax {
		return nil, ErrName
	}
	for _, i := range cmd.IDs {
		if bucket(c.tx, bucketBlobs).Get(keyID(id(i))) == nil {
			continue
		}
		if err := c.renewLease(id(i), cmd.Grace); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// condemn drops what the mark of an epoch found unreferenced: blobs, and
// contents that no repository holds a manifest of.
type condemn struct {
	stamp
	Epoch    uint64   `cbor:"4,keyasint"`
	Blobs    []uint64 `cbor:"5,keyasint,omitempty"`
	Contents []uint64 `cbor:"6,keyasint,omitempty"`
	Held     []uint64 `cbor:"7,keyasint,omitempty"` // contents that were let go of and are held elsewhere
}

type condemnReply struct {
	Blobs int64 `cbor:"1,keyasint"`
	Bytes int64 `cbor:"2,keyasint"`
}

func (c *change) condemn(cmd condemn) (any, error) {
	if cmd.Epoch == 0 || c.state.Epoch != cmd.Epoch {
		return nil, ErrConflict
	}
	if len(cmd.Blobs)+len(cmd.Contents)+len(cmd.Held) > batchMax {
		return nil, ErrName
	}
	var reply condemnReply
	for _, i := range cmd.Blobs {
		size, dropped, err := c.condemnBlob(id(i))
		if err != nil {
			return nil, err
		}
		if dropped {
			reply.Blobs++
			reply.Bytes += size
		}
	}
	for _, i := range cmd.Contents {
		if err := c.condemnContent(id(i)); err != nil {
			return nil, err
		}
	}
	for _, i := range cmd.Held {
		if c.spared(id(i)) {
			continue
		}
		if err := bucket(c.tx, bucketOrphans).Delete(keyID(id(i))); err != nil {
			return nil, err
		}
	}
	return reply, nil
}

// spared says whether the epoch's mark cannot speak for i.
func (c *change) spared(i id) bool {
	return uint64(i) > c.state.Ceiling && !c.guard.noCeiling || bucket(c.tx, bucketBarrier).Get(keyID(i)) != nil
}

// condemnBlob forgets a blob and every link to it. Its bytes become trash.
func (c *change) condemnBlob(i id) (size int64, dropped bool, err error) {
	v := bucket(c.tx, bucketBlobs).Get(keyID(i))
	if v == nil || c.spared(i) {
		return 0, false, nil
	}
	rec, err := unpackBlob(v)
	if err != nil || rec.lease > c.now && !c.guard.noLease {
		return 0, false, err
	}
	packed := bytes.Clone(rec.packed)
	holders, err := c.members.living(c.tx, rec.holders)
	if err != nil {
		return 0, false, err
	}
	var repos []repoID
	for rest := range under(bucket(c.tx, bucketLinks), keyID(i)) {
		r, _ := parseRepo(rest)
		repos = append(repos, r)
	}
	for _, r := range repos {
		if err := c.unlink(i, r); err != nil {
			return 0, false, err
		}
	}
	c.state.Blobs--
	c.state.BlobBytes -= rec.size
	if err := bucket(c.tx, bucketDigests).Delete(keyDigest(kindBlob, packed)); err != nil {
		return 0, false, err
	}
	if err := bucket(c.tx, bucketBlobs).Delete(keyID(i)); err != nil {
		return 0, false, err
	}
	return rec.size, true, c.discard(i, packed, rec.size, holders)
}

// condemnContent drops the payload of a manifest that no repository holds.
func (c *change) condemnContent(i id) error {
	orphans := bucket(c.tx, bucketOrphans)
	packed := bytes.Clone(orphans.Get(keyID(i)))
	if packed == nil || c.spared(i) {
		return nil
	}
	for _, drop := range []struct {
		b   *bbolt.Bucket
		key []byte
	}{
		{bucket(c.tx, bucketDigests), keyDigest(kindManifest, packed)},
		{bucket(c.tx, bucketContents), keyID(i)},
		{orphans, keyID(i)},
	} {
		if err := drop.b.Delete(drop.key); err != nil {
			return err
		}
	}
	return nil
}

// expire makes deletions final whose grace has ended.
type expire struct {
	stamp
	Graves [][]byte `cbor:"4,keyasint,omitempty"` // keys of g
	Tags   [][]byte `cbor:"5,keyasint,omitempty"` // keys of td
}

type expireReply struct {
	Manifests int64 `cbor:"1,keyasint"`
}

func (c *change) expire(cmd expire) (any, error) {
	if len(cmd.Graves)+len(cmd.Tags) > batchMax {
		return nil, ErrName
	}
	var reply expireReply
	for _, key := range cmd.Graves {
		expired, err := c.expireGrave(key)
		if err != nil {
			return nil, err
		}
		if expired {
			reply.Manifests++
		}
	}
	for _, key := range cmd.Tags {
		if err := c.expireTag(key); err != nil {
			return nil, err
		}
	}
	return reply, nil
}

// expireGrave purges one deleted manifest. Its content becomes an orphan: the
// mark says whether another repository holds it.
func (c *change) expireGrave(key []byte) (bool, error) {
	r, i, ok := parseRepoID(key)
	if !ok {
		return false, nil
	}
	g, found, err := getGrave(c.tx, r, i)
	if err != nil || !found || g.Until > c.now {
		return false, err
	}
	rec, _, err := unpackManifestHead(g.Manifest)
	if err != nil {
		return false, err
	}
	if err := bucket(c.tx, bucketOrphans).Put(keyID(i), rec.packed); err != nil {
		return false, err
	}
	if err := c.protect(i); err != nil { // from the collection of another node
		return false, err
	}
	if err := bucket(c.tx, bucketGraves).Delete(key); err != nil {
		return false, err
	}
	return true, c.forgetIfEmpty(r)
}

// expireTag forgets a deleted tag, and with it its history.
func (c *change) expireTag(key []byte) error {
	if len(key) < 4 {
		return nil
	}
	r, _ := parseRepo(key[:4])
	t := Tag(key[4:])
	until, found := droppedUntil(c.tx, r, t)
	if !found || until > c.now {
		return nil
	}
	if err := c.forgetEvents(r, t, c.lastGeneration(r, t)); err != nil {
		return err
	}
	if err := bucket(c.tx, bucketDropped).Delete(key); err != nil {
		return err
	}
	return c.forgetIfEmpty(r)
}
