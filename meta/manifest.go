package meta

import (
	"bytes"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"
	"go.etcd.io/bbolt"
)

// manifestMax is the largest manifest kept, in bytes (DESIGN §3).
const manifestMax = 4 << 20

// A Manifest is one manifest in one repository. Payload is the caller's own copy.
type Manifest struct {
	Digest       digest.Digest
	MediaType    string
	Payload      []byte
	ArtifactType string
	Subject      digest.Digest // "" without
	Pushed       time.Time     // first; pushing it again leaves it
	Actor        string        // who did
}

// A manifestRecord is a manifest in a repository. Its payload rests once, in mc.
type manifestRecord struct {
	refs         []id   // blobs, ascending, each once
	packed       []byte // its own digest
	size         int64  // of the payload
	mediaType    string
	artifactType string
	subject      []byte // packed, empty without
	pushed       int64
	put          int64 // the last push of it; the pruner's "younger" counts from here
	actor        string
	children     [][]byte // packed; whether they are here stands in ch
}

// References come first, as growing differences: the collector reads those of
// every manifest there is, and nothing else.
func (r manifestRecord) pack() []byte {
	p := packer{make([]byte, 0, 128+4*len(r.refs)+len(r.actor)+packedMax*len(r.children))}
	p.uint(uint64(len(r.refs)))
	last := id(0)
	for _, i := range r.refs {
		p.uint(uint64(i - last))
		last = i
	}
	p.raw(r.packed)
	p.uint(uint64(r.size))
	code := mediaTypeCode(r.mediaType)
	if p.uint(code); code == 0 {
		p.string(r.mediaType)
	}
	p.string(r.artifactType)
	if p.byte(0); len(r.subject) > 0 {
		p.b[len(p.b)-1] = 1
		p.raw(r.subject)
	}
	p.time(r.pushed)
	p.time(r.put)
	p.string(r.actor)
	p.uint(uint64(len(r.children)))
	for _, child := range r.children {
		p.raw(child)
	}
	return p.b
}

// unpackManifestHead reads all but references and children, which stay in u.
func unpackManifestHead(v []byte) (r manifestRecord, u unpacker, err error) {
	u = unpacker{b: v}
	for n := u.count(1); n > 0; n-- {
		u.uint()
	}
	r.packed, r.size = u.digest(), int64(u.uint())
	if code := u.uint(); code == 0 {
		r.mediaType = u.string()
	} else if r.mediaType = mediaTypeOf(code); r.mediaType == "" {
		u.fail()
	}
	r.artifactType = u.string()
	switch u.byte() {
	case 0:
	case 1:
		r.subject = u.digest()
	default:
		u.fail()
	}
	r.pushed, r.put, r.actor = u.time(), u.time(), u.string()
	if u.bad {
		return r, u, fmt.Errorf("manifest record %.200x: %w", v, ErrCorrupt)
	}
	return r, u, nil
}

// unpackManifest reads a whole record; packed digests stay the transaction's.
func unpackManifest(v []byte) (manifestRecord, error) {
	r, u, err := unpackManifestHead(v)
	if err != nil {
		return r, err
	}
	if n := u.count(1 + 32); n > 0 {
		r.children = make([][]byte, 0, n)
		for ; n > 0; n-- {
			r.children = append(r.children, u.digest())
		}
	}
	if !u.ok() {
		return r, fmt.Errorf("manifest record %.200x: %w", v, ErrCorrupt)
	}
	r.refs, err = unpackRefs(v, nil)
	return r, err
}

// unpackRefs appends the references of a record to refs.
func unpackRefs(v []byte, refs []id) ([]id, error) {
	u := unpacker{b: v}
	last := id(0)
	for n := u.count(1); n > 0; n-- {
		last += id(u.uint())
		refs = append(refs, last)
	}
	if u.bad {
		return nil, fmt.Errorf("references of manifest record %.200x: %w", v, ErrCorrupt)
	}
	return refs, nil
}

// skimManifest reads a whole record and keeps nothing but the references, which
// it appends to refs. The collector must not trust half of a damaged record.
func skimManifest(v []byte, refs []id) ([]id, error) {
	u := unpacker{b: v}
	last := id(0)
	for n := u.count(1); n > 0; n-- {
		last += id(u.uint())
		refs = append(refs, last)
	}
	u.digest()
	u.uint()
	if u.uint() == 0 {
		u.bytes(u.uint())
	}
	u.bytes(u.uint())
	if u.byte() != 0 {
		u.digest()
	}
	u.time()
	u.time()
	u.bytes(u.uint())
	for n := u.count(1 + 32); n > 0; n-- {
		u.digest()
	}
	if !u.ok() {
		return nil, fmt.Errorf("manifest record %.200x: %w", v, ErrCorrupt)
	}
	return refs, nil
}

// findManifest returns a manifest's id and record in a repository.
func findManifest(tx *txn, r repoID, packed []byte) (i id, v []byte, found bool) {
	i, found = findID(tx, kindManifest, packed)
	if !found {
		return 0, nil, false
	}
	v = getManifest(tx, r, i)
	return i, v, v != nil
}

// getManifest returns the record, nil if the repository does not hold it.
func getManifest(tx *txn, r repoID, i id) []byte {
	var buf [maxIDKey]byte
	return bucket(tx, bucketManifests).Get(appendID(appendRepo(buf[:0], r), i))
}

// getContent returns a manifest's payload; it stays the transaction's.
func getContent(tx *txn, i id, size int64) ([]byte, error) {
	var buf [8]byte
	v := bucket(tx, bucketContents).Get(appendID(buf[:0], i))
	if v == nil || int64(len(v)) != size {
		return nil, fmt.Errorf("content %d is %d bytes, want %d: %w", i, len(v), size, ErrCorrupt)
	}
	return v, nil
}

// readManifest puts a manifest together: v is its record.
func readManifest(tx *txn, i id, v []byte, withPayload bool) (m Manifest, size int64, err error) {
	rec, _, err := unpackManifestHead(v)
	if err != nil {
		return m, 0, err
	}
	m = Manifest{
		Digest: unpackDigest(rec.packed), MediaType: rec.mediaType, ArtifactType: rec.artifactType,
		Subject: unpackDigest(rec.subject), Pushed: time.UnixMilli(rec.pushed), Actor: rec.actor,
	}
	if withPayload {
		payload, err := getContent(tx, i, rec.size)
		if err != nil {
			return m, 0, err
		}
		m.Payload = append([]byte{}, payload...)
	}
	return m, rec.size, nil
}

// Manifest returns a manifest by its digest. [ErrNotFound], [ErrRepositoryUnknown].
func (db *DB) Manifest(repo RepoName, d digest.Digest) (Manifest, error) {
	m, _, err := db.manifest(repo, d, true)
	return m, err
}

// StatManifest is [DB.Manifest] without Payload but with its size in bytes.
func (db *DB) StatManifest(repo RepoName, d digest.Digest) (m Manifest, size int64, err error) {
	return db.manifest(repo, d, false)
}

func (db *DB) manifest(repo RepoName, d digest.Digest, withPayload bool) (m Manifest, size int64, err error) {
	var buf [packedMax]byte
	packed, err := appendDigest(buf[:0], d)
	if err != nil {
		return m, 0, err
	}
	err = db.view(func(tx *txn) error {
		r, err := findRepo(tx, repo)
		if err != nil {
			return err
		}
		i, v, found := findManifest(tx, r, packed)
		if !found {
			return ErrNotFound
		}
		m, size, err = readManifest(tx, i, v, withPayload)
		return err
	})
	return m, size, err
}

// insertManifest makes repository r hold manifest i: everything that follows
// from a manifest but its tags. referrer is its entry among its subject's
// referrers.
func (c *change) insertManifest(r repoID, i id, rec manifestRecord, referrer []byte) error {
	manifests := bucket(c.tx, bucketManifests)
	if !hasPrefix(manifests, keyRepo(r)) {
		if err := c.list(r); err != nil {
			return err
		}
	}
	if err := manifests.Put(keyRepoID(r, i), rec.pack()); err != nil {
		return err
	}
	c.state.Manifests++
	if err := c.setChildState(r, rec.packed, childPresent); err != nil {
		return err
	}
	return c.index(r, i, rec, referrer)
}

// removeManifest undoes insertManifest. Tags must be gone before.
func (c *change) removeManifest(r repoID, i id, rec manifestRecord) error {
	if err := c.unindex(r, i, rec); err != nil {
		return err
	}
	if err := c.setChildState(r, rec.packed, childSparse); err != nil {
		return err
	}
	manifests := bucket(c.tx, bucketManifests)
	if err := manifests.Delete(keyRepoID(r, i)); err != nil {
		return err
	}
	c.state.Manifests--
	if hasPrefix(manifests, keyRepo(r)) {
		return nil
	}
	return c.unlist(r)
}

// index enters a manifest where its subject and its children are looked up.
func (c *change) index(r repoID, i id, rec manifestRecord, referrer []byte) error {
	children := bucket(c.tx, bucketChildren)
	for _, child := range rec.children {
		state := childSparse
		if _, _, found := findManifest(c.tx, r, child); found {
			state = childPresent
		}
		if err := putNew(children, keyChild(r, child, i), []byte{state}); err != nil {
			return err
		}
	}
	if len(rec.subject) == 0 {
		return nil
	}
	return putNew(bucket(c.tx, bucketReferrers), keyReferrer(r, rec.subject, rec.packed), referrer)
}

// unindex undoes index.
func (c *change) unindex(r repoID, i id, rec manifestRecord) error {
	children := bucket(c.tx, bucketChildren)
	for _, child := range rec.children {
		if err := children.Delete(keyChild(r, child, i)); err != nil {
			return err
		}
	}
	if len(rec.subject) == 0 {
		return nil
	}
	return bucket(c.tx, bucketReferrers).Delete(keyReferrer(r, rec.subject, rec.packed))
}

// What ch says of an index's child: the repository holds it, or the index is
// sparse there. Kept true by every insert and remove, so that I2 has a record
// to be checked against.
const (
	childPresent byte = iota
	childSparse
)

func keyChild(r repoID, packed []byte, parent id) []byte {
	return appendID(keySubject(r, packed), parent)
}

func keyReferrer(r repoID, subject, packed []byte) []byte {
	return append(keySubject(r, subject), packed...)
}

// setChildState tells every index of the repository that names the child.
func (c *change) setChildState(r repoID, packed []byte, state byte) error {
	children := bucket(c.tx, bucketChildren)
	prefix := keySubject(r, packed)
	var keys [][]byte // collected first: a bucket must not change under its cursor
	for rest := range under(children, prefix) {
		keys = append(keys, append(bytes.Clone(prefix), rest...))
	}
	for _, k := range keys {
		if err := children.Put(k, []byte{state}); err != nil {
			return err
		}
	}
	return nil
}

// putNew writes unless the same stands there, which would dirty a page for nothing.
func putNew(b *bbolt.Bucket, key, value []byte) error {
	if old := b.Get(key); old != nil && bytes.Equal(old, value) {
		return nil
	}
	return b.Put(key, value)
}
