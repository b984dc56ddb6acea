package meta

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
)

// A Deleted is a manifest, with the tags it had, that can still be undeleted.
type Deleted struct {
	Repo      RepoName
	Digest    digest.Digest
	MediaType string
	Size      int64
	Tags      []Tag
	Time      time.Time
	Until     time.Time // its grace; a collection after it makes the deletion final
	Actor     string
	Reason    string // "delete", "prune"
}

// Reasons for which a manifest was deleted.
const (
	reasonDelete = "delete"
	reasonPrune  = "prune"
)

// graveTagsMax bounds the tags that come back with their manifest. A list beyond
// arrayMax could not be read again, and to set a hundred thousand tags in one
// transaction takes minutes.
const graveTagsMax = 10_000

// A graveRecord is a deleted manifest whose grace has not been ended. Until then
// it is a root for the collector.
type graveRecord struct {
	Manifest []byte   `cbor:"1,keyasint"`           // its manifestRecord
	Referrer []byte   `cbor:"2,keyasint,omitempty"` // its referrerRecord
	Tags     []string `cbor:"3,keyasint,omitempty"`
	Time     int64    `cbor:"4,keyasint"`
	Until    int64    `cbor:"5,keyasint"`
	Actor    string   `cbor:"6,keyasint,omitempty"`
	Reason   string   `cbor:"7,keyasint"`
}

// getGrave returns the record of a deleted manifest, found false if there is none.
func getGrave(tx *txn, r repoID, i id) (g graveRecord, found bool, err error) {
	v := bucket(tx, bucketGraves).Get(keyRepoID(r, i))
	if v == nil {
		return g, false, nil
	}
	return g, true, decode(v, &g)
}

func (g graveRecord) deleted(repo RepoName) (Deleted, error) {
	rec, _, err := unpackManifestHead(g.Manifest)
	d := Deleted{
		Repo: repo, Digest: unpackDigest(rec.packed), MediaType: rec.mediaType, Size: rec.size,
		Time: time.UnixMilli(g.Time), Until: time.UnixMilli(g.Until), Actor: g.Actor, Reason: g.Reason,
	}
	for _, t := range g.Tags {
		d.Tags = append(d.Tags, Tag(t))
	}
	return d, err
}

// DeletedManifests lists what was deleted in a repository and not yet collected,
// newest first. [ErrRepositoryUnknown].
func (db *DB) DeletedManifests(repo RepoName) (all []Deleted, err error) {
	err = db.view(func(tx *txn) error {
		r, err := findRepo(tx, repo)
		if err != nil {
			return err
		}
		for _, v := range under(bucket(tx, bucketGraves), keyRepo(r)) {
			var g graveRecord
			if err := decode(v, &g); err != nil {
				return err
			}
			d, err := g.deleted(repo)
			if err != nil {
				return err
			}
			all = append(all, d)
		}
		return nil
	})
	slices.SortStableFunc(all, func(a, b Deleted) int {
		return cmp.Or(b.Time.Compare(a.Time), cmp.Compare(a.Digest, b.Digest))
	})
	return all, err
}

// deleteTag is the command behind [Store.DeleteTag].
type deleteTag struct {
	stamp
	Repo string `cbor:"4,keyasint"`
	Tag  string `cbor:"5,keyasint"`
}

// DeleteTag removes the tag; the manifest stays. Within the grace the tag can be
// undeleted and its history read. [ErrNotFound], [ErrRepositoryUnknown],
// [*ImmutableError].
func (s *Store) DeleteTag(ctx context.Context, repo RepoName, tag Tag, actor string) error {
	c := deleteTag{s.stamp(actor), string(repo), string(tag)}
	if err := s.propose(ctx, typeDeleteTag, c, nil); err != nil {
		return fmt.Errorf("delete tag %s:%s: %w", repo, tag, err)
	}
	return nil
}

func (c *change) deleteTag(cmd deleteTag) (any, error) {
	r, err := findRepo(c.tx, RepoName(cmd.Repo))
	if err != nil {
		return nil, err
	}
	v := getTag(c.tx, r, Tag(cmd.Tag))
	if v == nil {
		return nil, ErrNotFound
	}
	if err := c.mutable(RepoName(cmd.Repo), Tag(cmd.Tag)); err != nil {
		return nil, err
	}
	i := unpackTagID(v)
	rec, _, err := unpackManifestHead(getManifest(c.tx, r, i))
	if err != nil {
		return nil, err
	}
	return nil, c.dropTag(r, Tag(cmd.Tag), i, bytes.Clone(rec.packed), cmd.stamp)
}

// dropTag removes a tag and remembers it for the grace.
func (c *change) dropTag(r repoID, t Tag, i id, packed []byte, s stamp) error {
	generation := c.lastGeneration(r, t) + 1
	if err := bucket(c.tx, bucketTags).Delete(keyTag(r, t)); err != nil {
		return err
	}
	if err := bucket(c.tx, bucketTagged).Delete(keyTagged(r, i, t)); err != nil {
		return err
	}
	c.state.Tags--
	var until packer
	until.time(c.now + s.Grace)
	if err := bucket(c.tx, bucketDropped).Put(keyTag(r, t), until.b); err != nil {
		return err
	}
	return c.addEvent(r, t, generation, eventRecord{Change: changeDelete, Digest: packed, Time: c.now, Actor: s.Actor})
}

// droppedUntil is when the grace of a deleted tag ends; false if it was not deleted.
func droppedUntil(tx *txn, r repoID, t Tag) (until int64, found bool) {
	v := bucket(tx, bucketDropped).Get(keyTag(r, t))
	u := unpacker{b: v}
	return u.time(), v != nil
}

// deleteManifest is the command behind [Store.DeleteManifest].
type deleteManifest struct {
	stamp
	Repo   string `cbor:"4,keyasint"`
	Digest []byte `cbor:"5,keyasint"`
}

// DeleteManifest removes the manifest and every tag on it; both can be undeleted
// within the grace (tags beyond the first 10,000 one by one). An index that lists
// it becomes sparse.
//
// [ErrNotFound], [ErrRepositoryUnknown], and [*ImmutableError] if one of the
// tags may not go: then none went.
func (s *Store) DeleteManifest(ctx context.Context, repo RepoName, d digest.Digest, actor string) error {
	packed, err := appendDigest(nil, d)
	if err != nil {
		return err
	}
	c := deleteManifest{s.stamp(actor), string(repo), packed}
	if err := s.propose(ctx, typeDeleteManifest, c, nil); err != nil {
		return fmt.Errorf("delete manifest %s in %s: %w", d, repo, err)
	}
	return nil
}

func (c *change) deleteManifest(cmd deleteManifest) (any, error) {
	r, err := findRepo(c.tx, RepoName(cmd.Repo))
	if err != nil {
		return nil, err
	}
	i, v, found := findManifest(c.tx, r, cmd.Digest)
	if !found {
		return nil, ErrNotFound
	}
	for _, t := range tagsOn(c.tx, r, i) {
		if err := c.mutable(RepoName(cmd.Repo), t); err != nil {
			return nil, err
		}
	}
	return nil, c.bury(r, i, v, reasonDelete, cmd.stamp)
}

// bury moves a manifest and its tags to the graveyard; v is its record.
func (c *change) bury(r repoID, i id, v []byte, reason string, s stamp) error {
	v = bytes.Clone(v) // the record's own memory goes with it
	rec, err := unpackManifest(v)
	if err != nil {
		return err
	}
	g := graveRecord{Manifest: v, Time: c.now, Until: c.now + s.Grace, Actor: s.Actor, Reason: reason}
	if len(rec.subject) > 0 {
		g.Referrer = bytes.Clone(bucket(c.tx, bucketReferrers).Get(keyReferrer(r, rec.subject, rec.packed)))
	}
	for _, t := range tagsOn(c.tx, r, i) {
		if len(g.Tags) < graveTagsMax {
			g.Tags = append(g.Tags, string(t))
		}
		if err := c.dropTag(r, t, i, rec.packed, s); err != nil {
			return err
		}
	}
	// The grave first: it keeps the repository's name from being forgotten.
	if err := bucket(c.tx, bucketGraves).Put(keyRepoID(r, i), encode(g)); err != nil {
		return err
	}
	return c.removeManifest(r, i, rec)
}
