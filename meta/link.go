package meta

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
)

// mountBlob is the command behind [Store.MountBlob].
type mountBlob struct {
	stamp
	Repo   string `cbor:"4,keyasint"`
	From   string `cbor:"5,keyasint"`
	Digest []byte `cbor:"6,keyasint"`
}

type mountBlobReply struct {
	Size  int64 `cbor:"1,keyasint"`
	Lease int64 `cbor:"2,keyasint"`
}

// MountBlob links into repo a blob that from links, checked when it is applied,
// and renews its lease. [ErrNotFound] if from does not link it (then).
func (s *Store) MountBlob(ctx context.Context, repo, from RepoName, d digest.Digest, actor string) (Blob, error) {
	packed, err := appendDigest(nil, d)
	if err != nil {
		return Blob{}, err
	}
	var reply mountBlobReply
	c := mountBlob{s.stamp(actor), string(repo), string(from), packed}
	if err := s.propose(ctx, typeMountBlob, c, &reply); err != nil {
		return Blob{}, fmt.Errorf("mount blob %s from %s in %s: %w", d, from, repo, err)
	}
	return Blob{Digest: d, Size: reply.Size, Lease: time.UnixMilli(reply.Lease)}, nil
}

func (c *change) mountBlob(cmd mountBlob) (any, error) {
	if !validRepoName(cmd.Repo) || !validRepoName(cmd.From) || !validPacked(cmd.Digest) {
		return nil, ErrName
	}
	from, err := findRepo(c.tx, RepoName(cmd.From))
	if err != nil {
		return nil, ErrNotFound
	}
	i, known := findID(c.tx, kindBlob, cmd.Digest)
	if !known || !linked(c.tx, i, from) {
		return nil, ErrNotFound
	}
	if err := c.renewLease(i, cmd.Grace); err != nil {
		return nil, err
	}
	r, err := c.ensureRepo(RepoName(cmd.Repo))
	if err != nil {
		return nil, err
	}
	if err := c.link(i, r); err != nil {
		return nil, err
	}
	rec, err := getBlob(c.tx, i)
	return mountBlobReply{rec.size, rec.lease}, err
}

// unlinkBlob is the command behind [Store.UnlinkBlob].
type unlinkBlob struct {
	stamp
	Repo   string `cbor:"4,keyasint"`
	Digest []byte `cbor:"5,keyasint"`
}

// UnlinkBlob takes the blob out of repo; its bytes stay for the grace.
// [ErrNotFound], [ErrRepositoryUnknown], and [ErrConflict] while a manifest of
// repo refers to it (I2).
//
// There are no reference counts, so it reads the references of every manifest
// of the repository: some 0.1 ms per thousand of them (BenchmarkUnlinkBlob).
func (s *Store) UnlinkBlob(ctx context.Context, repo RepoName, d digest.Digest, actor string) error {
	packed, err := appendDigest(nil, d)
	if err != nil {
		return err
	}
	c := unlinkBlob{s.stamp(actor), string(repo), packed}
	if err := s.propose(ctx, typeUnlinkBlob, c, nil); err != nil {
		return fmt.Errorf("unlink blob %s from %s: %w", d, repo, err)
	}
	return nil
}

func (c *change) unlinkBlob(cmd unlinkBlob) (any, error) {
	r, err := findRepo(c.tx, RepoName(cmd.Repo))
	if err != nil {
		return nil, err
	}
	i, known := findID(c.tx, kindBlob, cmd.Digest)
	if !known || !linked(c.tx, i, r) {
		return nil, ErrNotFound
	}
	if used, err := refersTo(c.tx, r, i); err != nil {
		return nil, err
	} else if used {
		return nil, ErrConflict
	}
	if err := c.renewLease(i, cmd.Grace); err != nil {
		return nil, err
	}
	return nil, c.unlink(i, r)
}

// unlink drops the link, and the repository if that was all there was to it.
func (c *change) unlink(i id, r repoID) error {
	if err := bucket(c.tx, bucketLinks).Delete(keyLink(i, r)); err != nil {
		return err
	}
	if err := c.countLinks(r, -1); err != nil {
		return err
	}
	return c.forgetIfEmpty(r)
}

// refersTo says whether any manifest of the repository refers to blob i.
func refersTo(tx *txn, r repoID, i id) (bool, error) {
	var refs []id
	for _, v := range under(bucket(tx, bucketManifests), keyRepo(r)) {
		var err error
		if refs, err = unpackRefs(v, refs[:0]); err != nil {
			return false, err
		}
		if _, found := slices.BinarySearch(refs, i); found {
			return true, nil
		}
	}
	return false, nil
}
