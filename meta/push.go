package meta

import (
	"context"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
)

// PutManifest is one push.
type PutManifest struct {
	Repo      RepoName
	Digest    digest.Digest // of Payload
	MediaType string
	Payload   []byte // at most 4 MiB
	Tags      []Tag
	Actor     string

	// What the payload says, parsed by the caller (registry.ParseManifest):
	Blobs        []digest.Digest // config and layers that must be linked in Repo
	Manifests    []digest.Digest // children of an index
	Subject      digest.Digest
	ArtifactType string
	Annotations  map[string]string // given back by Referrers
}

// putManifest is the command behind [Store.PutManifest].
type putManifest struct {
	stamp
	Repo         string            `cbor:"4,keyasint"`
	Digest       []byte            `cbor:"5,keyasint"`
	MediaType    string            `cbor:"6,keyasint"`
	Payload      []byte            `cbor:"7,keyasint"`
	Tags         []string          `cbor:"8,keyasint,omitempty"`
	Blobs        [][]byte          `cbor:"9,keyasint,omitempty"`
	Manifests    [][]byte          `cbor:"10,keyasint,omitempty"`
	Subject      []byte            `cbor:"11,keyasint,omitempty"`
	ArtifactType string            `cbor:"12,keyasint,omitempty"`
	Annotations  map[string]string `cbor:"13,keyasint,omitempty"`
}

// command packs the push.
func (p PutManifest) command(s stamp) (c putManifest, err error) {
	c = putManifest{
		stamp: s, Repo: string(p.Repo), MediaType: p.MediaType, Payload: p.Payload,
		ArtifactType: p.ArtifactType, Annotations: p.Annotations,
	}
	for _, t := range p.Tags {
		c.Tags = append(c.Tags, string(t))
	}
	if c.Digest, err = appendDigest(nil, p.Digest); err != nil {
		return c, err
	}
	if c.Blobs, err = packDigests(p.Blobs); err != nil {
		return c, err
	}
	if c.Manifests, err = packDigests(p.Manifests); err != nil {
		return c, err
	}
	if p.Subject != "" {
		c.Subject, err = appendDigest(nil, p.Subject)
	}
	return c, err
}

// PutManifest stores the manifest and moves its tags, in one agreed step: after
// it all tags point at the manifest, or nothing was written. Pushing what is
// there already changes no time, no actor and no history. Children of an index
// that the repository does not hold are allowed (sparse index) and remembered as
// such; so is a subject that is not there. It undeletes nothing: a deleted
// manifest pushed again is a new push.
//
// [*MissingError] names every blob that Repo does not link, [*ImmutableError] a
// tag that may not move, [ErrName] what is out of grammar or limits, or a Digest
// that is not Payload's.
func (s *Store) PutManifest(ctx context.Context, c PutManifest) error {
	cmd, err := c.command(s.stamp(c.Actor))
	if err == nil {
		err = s.propose(ctx, typePutManifest, cmd, nil)
	}
	if err != nil {
		return fmt.Errorf("put manifest %s in %s: %w", c.Digest, c.Repo, err)
	}
	return nil
}

// valid checks what the state machine relies on, whoever proposed it.
func (p putManifest) valid() bool {
	if !validRepoName(p.Repo) || len(p.Payload) > manifestMax || !names(p.Digest, p.Payload) { // I6
		return false
	}
	if len(p.Subject) > 0 && !validPacked(p.Subject) {
		return false
	}
	bad := func(packed []byte) bool { return !validPacked(packed) }
	return !slices.ContainsFunc(p.Blobs, bad) && !slices.ContainsFunc(p.Manifests, bad) &&
		!slices.ContainsFunc(p.Tags, func(t string) bool { return !validTag(t) })
}

func (c *change) putManifest(cmd putManifest) (any, error) {
	if !cmd.valid() {
		return nil, ErrName
	}
	// Every refusal comes before the first write.
	refs, err := c.resolve(RepoName(cmd.Repo), cmd.Blobs)
	if err != nil {
		return nil, err
	}
	if err := c.mayTag(cmd); err != nil {
		return nil, err
	}
	r, err := c.ensureRepo(RepoName(cmd.Repo))
	if err != nil {
		return nil, err
	}
	i, err := c.storeContent(cmd.Digest, cmd.Payload)
	if err != nil {
		return nil, err
	}
	for _, ref := range append(refs, i) {
		if err := c.protect(ref); err != nil {
			return nil, err
		}
	}
	if err := c.storeManifest(r, i, cmd, refs); err != nil {
		return nil, err
	}
	for _, t := range cmd.Tags {
		if err := c.setTag(r, Tag(t), i, cmd.Digest, changePush, cmd.Actor); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// resolve returns the ids of a manifest's blobs, or a [*MissingError] (I2).
func (c *change) resolve(repo RepoName, blobs [][]byte) (refs []id, err error) {
	r, err := findRepo(c.tx, repo)
	known := err == nil
	missing := &MissingError{}
	for _, packed := range blobs {
		i, found := findID(c.tx, kindBlob, packed)
		switch {
		case known && found && linked(c.tx, i, r):
			refs = append(refs, i)
		case c.guard.noMissing && found:
			refs = append(refs, i)
		case c.guard.noMissing:
			refs = append(refs, id(c.state.LastID+1))
		default:
			missing.Digests = append(missing.Digests, unpackDigest(packed))
		}
	}
	if len(missing.Digests) > 0 {
		return nil, missing
	}
	slices.Sort(refs)
	return slices.Compact(refs), nil
}

// storeContent keeps a manifest's bytes once, whatever the repositories.
func (c *change) storeContent(packed, payload []byte) (i id, err error) {
	if i, found := findID(c.tx, kindManifest, packed); found {
		return i, nil
	}
	if err := c.newID(kindManifest, packed, &i); err != nil {
		return 0, err
	}
	return i, appending(c.tx, bucketContents).Put(keyID(i), payload)
}

// storeManifest inserts the manifest, or says of the one that is there that it
// was pushed again.
func (c *change) storeManifest(r repoID, i id, cmd putManifest, refs []id) error {
	rec := manifestRecord{
		refs: refs, packed: cmd.Digest, size: int64(len(cmd.Payload)),
		mediaType: cmd.MediaType, artifactType: cmd.ArtifactType, subject: cmd.Subject,
		pushed: c.now, put: c.now, actor: cmd.Actor, children: cmd.Manifests,
	}
	referrer := encode(referrerRecord{
		MediaType: cmd.MediaType, Size: int64(len(cmd.Payload)),
		ArtifactType: cmd.ArtifactType, Annotations: cmd.Annotations,
	})
	v := getManifest(c.tx, r, i)
	if v == nil {
		if err := c.insertManifest(r, i, rec, referrer); err != nil {
			return err
		}
		return bucket(c.tx, bucketGraves).Delete(keyRepoID(r, i)) // pushed again, nothing is left to undelete
	}
	old, err := unpackManifest(v)
	if err != nil {
		return err
	}
	rec.pushed, rec.actor = old.pushed, old.actor
	// The same bytes say the same, but a later version may read more out of them.
	if err := c.unindexChanged(r, i, old, rec); err != nil {
		return err
	}
	if err := c.index(r, i, rec, referrer); err != nil {
		return err
	}
	return putNew(bucket(c.tx, bucketManifests), keyRepoID(r, i), rec.pack())
}

// unindexChanged takes out the entries of old when those of rec are others.
func (c *change) unindexChanged(r repoID, i id, old, rec manifestRecord) error {
	if slices.EqualFunc(old.children, rec.children, slices.Equal) && slices.Equal(old.subject, rec.subject) {
		return nil
	}
	return c.unindex(r, i, old)
}
