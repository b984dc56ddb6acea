package meta

import (
	"bytes"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"
)

// TagInfo is where a tag points now.
type TagInfo struct {
	Tag        Tag
	Digest     digest.Digest
	MediaType  string
	Size       int64 // of the manifest, bytes
	Generation int64 // counts the tag's changes, from 1
	Time       time.Time
	Actor      string
}

// A tagRecord is where a tag points, and by which change.
type tagRecord struct {
	id         id
	generation int64
	time       int64
	actor      string
}

func (r tagRecord) pack() []byte {
	p := packer{make([]byte, 0, 24+len(r.actor))}
	p.uint(uint64(r.id))
	p.uint(uint64(r.generation))
	p.time(r.time)
	p.string(r.actor)
	return p.b
}

func unpackTag(v []byte) (r tagRecord, err error) {
	u := unpacker{b: v}
	r = tagRecord{id(u.uint()), int64(u.uint()), u.time(), u.string()}
	if !u.ok() {
		return r, fmt.Errorf("tag record %x: %w", v, ErrCorrupt)
	}
	return r, nil
}

// unpackTagID reads which manifest a tag names and leaves the rest.
func unpackTagID(v []byte) id {
	u := unpacker{b: v}
	return id(u.uint())
}

// getTag returns a tag's record, nil if there is none.
func getTag(tx *txn, r repoID, t Tag) []byte {
	var buf [4 + tagMax]byte
	return bucket(tx, bucketTags).Get(append(appendRepo(buf[:0], r), t...))
}

// findTag returns the record of a tag and that of its manifest.
func findTag(tx *txn, repo RepoName, t Tag) (v []byte, i id, manifest []byte, err error) {
	r, err := findRepo(tx, repo)
	if err != nil {
		return nil, 0, nil, err
	}
	if v = getTag(tx, r, t); v == nil {
		return nil, 0, nil, ErrNotFound
	}
	i = unpackTagID(v)
	if manifest = getManifest(tx, r, i); manifest == nil {
		return nil, 0, nil, fmt.Errorf("tag %s:%s names no manifest: %w", repo, t, ErrCorrupt)
	}
	return v, i, manifest, nil
}

// ResolveTag says where a tag points. [ErrNotFound], [ErrRepositoryUnknown].
func (db *DB) ResolveTag(repo RepoName, tag Tag) (info TagInfo, err error) {
	err = db.view(func(tx *txn) error {
		info, err = tagInfo(tx, repo, tag)
		return err
	})
	return info, err
}

func tagInfo(tx *txn, repo RepoName, tag Tag) (TagInfo, error) {
	v, i, manifest, err := findTag(tx, repo, tag)
	if err != nil {
		return TagInfo{}, err
	}
	rec, err := unpackTag(v)
	if err != nil {
		return TagInfo{}, err
	}
	m, size, err := readManifest(tx, i, manifest, false)
	return TagInfo{
		Tag: tag, Digest: m.Digest, MediaType: m.MediaType, Size: size,
		Generation: rec.generation, Time: time.UnixMilli(rec.time), Actor: rec.actor,
	}, err
}

// TagManifest resolves a tag and reads its manifest in one transaction: the hot
// path of a pull. [ErrNotFound], [ErrRepositoryUnknown].
func (db *DB) TagManifest(repo RepoName, tag Tag) (Manifest, error) {
	m, _, err := db.tagManifest(repo, tag, true)
	return m, err
}

// StatTag is [DB.TagManifest] without Payload but with its size in bytes.
func (db *DB) StatTag(repo RepoName, tag Tag) (m Manifest, size int64, err error) {
	return db.tagManifest(repo, tag, false)
}

func (db *DB) tagManifest(repo RepoName, tag Tag, withPayload bool) (m Manifest, size int64, err error) {
	err = db.view(func(tx *txn) error {
		_, i, manifest, err := findTag(tx, repo, tag)
		if err != nil {
			return err
		}
		m, size, err = readManifest(tx, i, manifest, withPayload)
		return err
	})
	return m, size, err
}

// Tags lists the tags after last, sorted bytewise, at most n; more says whether
// others follow. A page costs its length. [ErrRepositoryUnknown].
func (db *DB) Tags(repo RepoName, last string, n int) (tags []Tag, more bool, err error) {
	err = db.view(func(tx *txn) error {
		r, err := findRepo(tx, repo)
		if err != nil {
			return err
		}
		tags, more = page[Tag](bucket(tx, bucketTags), keyRepo(r), []byte(last), n)
		return nil
	})
	return tags, more, err
}

// mayTag refuses a push that would move an immutable tag.
func (c *change) mayTag(cmd putManifest) error {
	r, err := findRepo(c.tx, RepoName(cmd.Repo))
	if err != nil || len(cmd.Tags) == 0 {
		return nil // no repository, no tag that could move
	}
	i, found := findID(c.tx, kindManifest, cmd.Digest)
	for _, t := range cmd.Tags {
		v := getTag(c.tx, r, Tag(t))
		if v == nil || found && unpackTagID(v) == i {
			continue
		}
		if err := c.mutable(RepoName(cmd.Repo), Tag(t)); err != nil {
			return err
		}
	}
	return nil
}

// setTag points a tag at manifest i, unless it does already.
func (c *change) setTag(r repoID, t Tag, i id, packed []byte, how changeCode, actor string) error {
	generation := c.lastGeneration(r, t) + 1
	if v := getTag(c.tx, r, t); v != nil {
		old := unpackTagID(v)
		if old == i {
			return nil
		}
		if err := bucket(c.tx, bucketTagged).Delete(keyTagged(r, old, t)); err != nil {
			return err
		}
	} else {
		c.state.Tags++
		if err := bucket(c.tx, bucketDropped).Delete(keyTag(r, t)); err != nil {
			return err
		}
	}
	rec := tagRecord{id: i, generation: generation, time: c.now, actor: actor}
	if err := bucket(c.tx, bucketTags).Put(keyTag(r, t), rec.pack()); err != nil {
		return err
	}
	if err := bucket(c.tx, bucketTagged).Put(keyTagged(r, i, t), nothing()); err != nil {
		return err
	}
	return c.addEvent(r, t, generation, eventRecord{Change: how, Digest: packed, Time: c.now, Actor: actor})
}

// tagsOn lists the tags that point at manifest i.
func tagsOn(tx *txn, r repoID, i id) (tags []Tag) {
	for rest := range under(bucket(tx, bucketTagged), keyRepoID(r, i)) {
		tags = append(tags, Tag(bytes.Clone(rest)))
	}
	return tags
}
