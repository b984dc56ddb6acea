package meta

import (
	"context"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"
)

// undeleteManifest is the command behind [Store.UndeleteManifest].
type undeleteManifest struct {
	stamp
	Repo   string `cbor:"4,keyasint"`
	Digest []byte `cbor:"5,keyasint"`
}

// UndeleteManifest brings a deleted manifest and the tags it had back (a tag that
// was set again meanwhile keeps its new target), and returns what the deletion
// had been. [ErrNotFound] when the grace has passed, [ErrRepositoryUnknown].
func (s *Store) UndeleteManifest(
	ctx context.Context, repo RepoName, d digest.Digest, actor string,
) (Deleted, error) {
	packed, err := appendDigest(nil, d)
	if err != nil {
		return Deleted{}, err
	}
	var g graveRecord
	c := undeleteManifest{s.stamp(actor), string(repo), packed}
	if err := s.propose(ctx, typeUndelete, c, &g); err != nil {
		return Deleted{}, fmt.Errorf("undelete manifest %s in %s: %w", d, repo, err)
	}
	return g.deleted(repo)
}

func (c *change) undeleteManifest(cmd undeleteManifest) (any, error) {
	r, err := findRepo(c.tx, RepoName(cmd.Repo))
	if err != nil {
		return nil, err
	}
	i, g, err := c.findGrave(r, cmd.Digest)
	if err != nil {
		return nil, err
	}
	if err := c.exhume(r, i, g); err != nil {
		return nil, err
	}
	for _, name := range g.Tags {
		t := Tag(name)
		if getTag(c.tx, r, t) != nil {
			continue
		}
		if err := c.setTag(r, t, i, cmd.Digest, changeUndelete, cmd.Actor); err != nil {
			return nil, err
		}
	}
	return g, nil
}

// findGrave returns a deleted manifest whose grace lasts.
func (c *change) findGrave(r repoID, packed []byte) (id, graveRecord, error) {
	i, found := findID(c.tx, kindManifest, packed)
	if !found {
		return 0, graveRecord{}, ErrNotFound
	}
	g, found, err := getGrave(c.tx, r, i)
	if err != nil {
		return 0, g, err
	}
	if !found || g.Until <= c.now {
		return 0, g, ErrNotFound
	}
	return i, g, nil
}

// exhume undoes bury, but for the tags. The blobs are there, since a grave is a
// root for the collector; links that were dropped meanwhile are set again.
func (c *change) exhume(r repoID, i id, g graveRecord) error {
	rec, err := unpackManifest(g.Manifest)
	if err != nil {
		return err
	}
	for _, ref := range rec.refs {
		if err := c.link(ref, r); err != nil {
			return err
		}
	}
	if err := c.protect(i); err != nil {
		return err
	}
	rec.put = c.now // as young as a push: not the pruner's at once
	if err := c.insertManifest(r, i, rec, g.Referrer); err != nil {
		return err
	}
	return bucket(c.tx, bucketGraves).Delete(keyRepoID(r, i))
}

// undeleteTag is the command behind [Store.UndeleteTag].
type undeleteTag struct {
	stamp
	Repo string `cbor:"4,keyasint"`
	Tag  string `cbor:"5,keyasint"`
}

type undeleteTagReply struct {
	Digest     []byte `cbor:"1,keyasint"`
	MediaType  string `cbor:"2,keyasint"`
	Size       int64  `cbor:"3,keyasint"`
	Generation int64  `cbor:"4,keyasint"`
	Time       int64  `cbor:"5,keyasint"`
}

// UndeleteTag sets a deleted tag to where it pointed, undeleting the manifest if
// need be, but not the manifest's other tags. [ErrNotFound] when the grace has
// passed, [ErrConflict] if the tag exists, [ErrRepositoryUnknown].
func (s *Store) UndeleteTag(ctx context.Context, repo RepoName, tag Tag, actor string) (TagInfo, error) {
	var reply undeleteTagReply
	c := undeleteTag{s.stamp(actor), string(repo), string(tag)}
	if err := s.propose(ctx, typeUndeleteTag, c, &reply); err != nil {
		return TagInfo{}, fmt.Errorf("undelete tag %s:%s: %w", repo, tag, err)
	}
	return TagInfo{
		Tag: tag, Digest: unpackDigest(reply.Digest), MediaType: reply.MediaType, Size: reply.Size,
		Generation: reply.Generation, Time: time.UnixMilli(reply.Time), Actor: actor,
	}, nil
}

func (c *change) undeleteTag(cmd undeleteTag) (any, error) {
	r, err := findRepo(c.tx, RepoName(cmd.Repo))
	if err != nil {
		return nil, err
	}
	t := Tag(cmd.Tag)
	if getTag(c.tx, r, t) != nil {
		return nil, ErrConflict
	}
	if until, found := droppedUntil(c.tx, r, t); !found || until <= c.now {
		return nil, ErrNotFound
	}
	last, err := c.lastEvent(r, t)
	if err != nil {
		return nil, err
	}
	i, v, found := findManifest(c.tx, r, last.Digest)
	if !found {
		var g graveRecord
		if i, g, err = c.findGrave(r, last.Digest); err != nil {
			return nil, err
		}
		if err := c.exhume(r, i, g); err != nil {
			return nil, err
		}
		v = getManifest(c.tx, r, i)
	}
	rec, _, err := unpackManifestHead(v)
	if err != nil {
		return nil, err
	}
	reply := undeleteTagReply{
		Digest: last.Digest, MediaType: rec.mediaType, Size: rec.size, Generation: c.lastGeneration(r, t) + 1, Time: c.now,
	}
	return reply, c.setTag(r, t, i, last.Digest, changeUndelete, cmd.Actor)
}
