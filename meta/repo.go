package meta

import (
	"bytes"
	"fmt"

	"go.etcd.io/bbolt"
)

// A repoRecord is a repository. It is created by the first link or manifest and
// forgotten when nothing is left that its name could stand for.
type repoRecord struct {
	Name    string `cbor:"1,keyasint"`
	Created int64  `cbor:"2,keyasint"`
	Links   uint64 `cbor:"3,keyasint"` // links are keyed by blob: counting them would mean reading all
}

// findRepo returns the id of a repository, or [ErrRepositoryUnknown].
func findRepo(tx *txn, name RepoName) (repoID, error) {
	v := bucket(tx, bucketNames).Get([]byte(name))
	if v == nil {
		return 0, ErrRepositoryUnknown
	}
	r, ok := parseRepo(v)
	if !ok {
		return 0, fmt.Errorf("repository %s: %w", name, ErrCorrupt)
	}
	return r, nil
}

func getRepo(tx *txn, r repoID) (rec repoRecord, err error) {
	v := bucket(tx, bucketRepos).Get(keyRepo(r))
	if v == nil {
		return rec, fmt.Errorf("repository %d: no record: %w", r, ErrCorrupt)
	}
	return rec, decode(v, &rec)
}

// ensureRepo returns the id of a repository, creating it if need be.
func (c *change) ensureRepo(name RepoName) (repoID, error) {
	if v := bucket(c.tx, bucketNames).Get([]byte(name)); v != nil {
		return findRepo(c.tx, name)
	}
	c.state.LastRepo++
	r := repoID(c.state.LastRepo)
	if err := bucket(c.tx, bucketNames).Put([]byte(name), keyRepo(r)); err != nil {
		return 0, err
	}
	return r, c.putRepo(r, repoRecord{Name: string(name), Created: c.now})
}

func (c *change) putRepo(r repoID, rec repoRecord) error {
	return appending(c.tx, bucketRepos).Put(keyRepo(r), encode(rec))
}

// countLinks adds n to the repository's links.
func (c *change) countLinks(r repoID, n int) error {
	rec, err := getRepo(c.tx, r)
	if err != nil {
		return err
	}
	rec.Links += uint64(n)
	return c.putRepo(r, rec)
}

// list shows a repository in the catalog; unlist takes it out.
func (c *change) list(r repoID) error {
	rec, err := getRepo(c.tx, r)
	if err != nil {
		return err
	}
	c.state.Repositories++
	return bucket(c.tx, bucketListed).Put([]byte(rec.Name), keyRepo(r))
}

func (c *change) unlist(r repoID) error {
	rec, err := getRepo(c.tx, r)
	if err != nil {
		return err
	}
	c.state.Repositories--
	return bucket(c.tx, bucketListed).Delete([]byte(rec.Name))
}

// forgetIfEmpty drops the name of a repository that holds no manifest and no
// link, and of which nothing can be undeleted.
func (c *change) forgetIfEmpty(r repoID) error {
	for _, name := range []bucketName{bucketManifests, bucketGraves, bucketDropped} {
		if hasPrefix(bucket(c.tx, name), keyRepo(r)) {
			return nil
		}
	}
	rec, err := getRepo(c.tx, r)
	if err != nil || rec.Links > 0 {
		return err
	}
	if err := bucket(c.tx, bucketNames).Delete([]byte(rec.Name)); err != nil {
		return err
	}
	return bucket(c.tx, bucketRepos).Delete(keyRepo(r))
}

// Repositories lists the names after last of repositories that hold a manifest,
// sorted bytewise, at most n; more says whether others follow. A page costs its
// length.
func (db *DB) Repositories(last string, n int) (names []RepoName, more bool, err error) {
	err = db.view(func(tx *txn) error {
		names, more = page[RepoName](bucket(tx, bucketListed), nil, []byte(last), n)
		return nil
	})
	return names, more, err
}

// page lists up to n keys under prefix that follow last, both without the
// prefix, and says whether others follow. The names share one allocation.
func page[T ~string](b *bbolt.Bucket, prefix, last []byte, n int) (names []T, more bool) {
	var all []byte
	var ends []int
	for k := range following(b, prefix, last) {
		if more = len(ends) >= n; more {
			break
		}
		all = append(all, k...)
		ends = append(ends, len(all))
	}
	joined, start := string(all), 0
	names = make([]T, len(ends))
	for i, end := range ends {
		names[i] = T(joined[start:end])
		start = end
	}
	return names, more
}

// following walks the keys under prefix that follow last, in order, without the
// prefix. An empty last is before all. Keys and values belong to the transaction.
func following(b *bbolt.Bucket, prefix, last []byte) func(yield func(rest, v []byte) bool) {
	return func(yield func(rest, v []byte) bool) {
		c := b.Cursor()
		start := append(bytes.Clone(prefix), last...)
		k, v := c.Seek(start)
		if len(last) > 0 && bytes.Equal(k, start) {
			k, v = c.Next()
		}
		for ; k != nil && bytes.HasPrefix(k, prefix); k, v = c.Next() {
			if !yield(k[len(prefix):], v) {
				return
			}
		}
	}
}

// hasPrefix says whether any key begins with prefix.
func hasPrefix(b *bbolt.Bucket, prefix []byte) bool {
	k, _ := b.Cursor().Seek(prefix)
	return k != nil && bytes.HasPrefix(k, prefix)
}

// under walks all keys under prefix. The bucket must not change meanwhile.
func under(b *bbolt.Bucket, prefix []byte) func(yield func(rest, v []byte) bool) {
	return following(b, prefix, nil)
}
