package meta

import (
	"context"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"
)

// A Blob is what a repository may read (I7).
type Blob struct {
	Digest digest.Digest
	Size   int64
	Lease  time.Time // unreferenced, it is kept at least until then
}

// A blobRecord is a blob the registry knows.
type blobRecord struct {
	size    int64
	created int64
	lease   int64
	holders []NodeID // nodes that hold the bytes durably, ascending
	packed  []byte   // its digest
}

func (r blobRecord) pack() []byte {
	p := packer{make([]byte, 0, 32+2*len(r.holders)+len(r.packed))}
	p.uint(uint64(r.size))
	p.time(r.created)
	p.time(r.lease)
	p.uint(uint64(len(r.holders)))
	for _, h := range r.holders {
		p.uint(uint64(h))
	}
	p.raw(r.packed)
	return p.b
}

// unpackBlob reads a record; packed stays the transaction's.
func unpackBlob(v []byte) (r blobRecord, err error) {
	u := unpacker{b: v}
	r.size, r.created, r.lease = int64(u.uint()), u.time(), u.time()
	if n := u.count(1); n > 0 {
		r.holders = make([]NodeID, n)
		for i := range r.holders {
			r.holders[i] = u.node()
		}
	}
	r.packed = u.digest()
	if !u.ok() {
		return r, fmt.Errorf("blob record %x: %w", v, ErrCorrupt)
	}
	return r, nil
}

// unpackBlobHead reads what a pull asks for and leaves the rest.
func unpackBlobHead(v []byte) (size, lease int64, err error) {
	u := unpacker{b: v}
	size, _, lease = int64(u.uint()), u.time(), u.time()
	if u.bad {
		return 0, 0, fmt.Errorf("blob record %x: %w", v, ErrCorrupt)
	}
	return size, lease, nil
}

func (r blobRecord) blob() Blob {
	return Blob{Digest: unpackDigest(r.packed), Size: r.size, Lease: time.UnixMilli(r.lease)}
}

// findID looks a digest up.
func findID(tx *txn, kind byte, packed []byte) (id, bool) {
	var buf [1 + packedMax]byte
	buf[0] = kind
	return parseID(bucket(tx, bucketDigests).Get(buf[:1+copy(buf[1:], packed)]))
}

func getBlob(tx *txn, i id) (blobRecord, error) {
	v := bucket(tx, bucketBlobs).Get(keyID(i))
	if v == nil {
		return blobRecord{}, fmt.Errorf("blob %d: no record: %w", i, ErrCorrupt)
	}
	return unpackBlob(v)
}

// linked says whether repository r links blob i.
func linked(tx *txn, i id, r repoID) bool {
	return bucket(tx, bucketLinks).Get(keyLink(i, r)) != nil
}

// Blob returns d if repo may read it. [ErrNotFound] if it has no link to d,
// [ErrRepositoryUnknown] if there is no such repository.
func (db *DB) Blob(repo RepoName, d digest.Digest) (b Blob, err error) {
	var buf [packedMax]byte
	packed, err := appendDigest(buf[:0], d)
	if err != nil {
		return Blob{}, err
	}
	err = db.view(func(tx *txn) error {
		r, err := findRepo(tx, repo)
		if err != nil {
			return err
		}
		i, ok := findID(tx, kindBlob, packed)
		if !ok || !linked(tx, i, r) {
			return ErrNotFound
		}
		size, lease, err := unpackBlobHead(bucket(tx, bucketBlobs).Get(keyID(i)))
		b = Blob{Digest: d, Size: size, Lease: time.UnixMilli(lease)}
		return err
	})
	return b, err
}

// BlobAnywhere finds a repository that links d and that may(repo) allows, for a
// mount without a source. [ErrNotFound]. It asks may about the repositories in
// the order in which they were created.
func (db *DB) BlobAnywhere(d digest.Digest, may func(RepoName) bool) (repo RepoName, b Blob, err error) {
	packed, err := appendDigest(nil, d)
	if err != nil {
		return "", Blob{}, err
	}
	err = db.view(func(tx *txn) error {
		i, ok := findID(tx, kindBlob, packed)
		if !ok {
			return ErrNotFound
		}
		for rest := range under(bucket(tx, bucketLinks), keyID(i)) {
			r, _ := parseRepo(rest)
			rec, err := getRepo(tx, r)
			if err != nil {
				return err
			}
			if !may(RepoName(rec.Name)) {
				continue
			}
			blob, err := getBlob(tx, i)
			repo, b = RepoName(rec.Name), blob.blob()
			return err
		}
		return ErrNotFound
	})
	return repo, b, err
}

// Known says whether the registry knows d: in any repository, under any lease.
// [DB.HeldBy] says whether a node should have its bytes.
func (db *DB) Known(d digest.Digest) (known bool, err error) {
	packed, err := appendDigest(nil, d)
	if err != nil {
		return false, err
	}
	err = db.view(func(tx *txn) error {
		_, known = findID(tx, kindBlob, packed)
		return nil
	})
	return known, err
}

// linkBlob is the command behind [Store.LinkBlob].
type linkBlob struct {
	stamp
	Repo   string `cbor:"4,keyasint"`
	Digest []byte `cbor:"5,keyasint"`
	Size   int64  `cbor:"6,keyasint"`
	Node   NodeID `cbor:"7,keyasint"`
}

// LinkBlob records that this node durably holds d (size bytes) and that repo may
// read it. The bytes, and the name they rest under, must be synced before. A
// blob that is known already has its lease renewed; [ErrConflict] if it is known
// with another size, [ErrNode] if this node was removed from the cluster.
func (s *Store) LinkBlob(ctx context.Context, repo RepoName, d digest.Digest, size int64, actor string) error {
	packed, err := appendDigest(nil, d)
	if err != nil {
		return err
	}
	c := linkBlob{s.stamp(actor), string(repo), packed, size, s.Self()}
	if err := s.propose(ctx, typeLinkBlob, c, nil); err != nil {
		return fmt.Errorf("link blob %s in %s: %w", d, repo, err)
	}
	return nil
}

func (c *change) linkBlob(cmd linkBlob) (any, error) {
	if !validRepoName(cmd.Repo) || !validPacked(cmd.Digest) || cmd.Size < 0 {
		return nil, ErrName
	}
	if ok, err := c.members.alive(c.tx, cmd.Node); err != nil {
		return nil, err
	} else if !ok {
		return nil, ErrNode
	}
	i, known := findID(c.tx, kindBlob, cmd.Digest)
	rec := blobRecord{size: cmd.Size, created: c.now, packed: cmd.Digest}
	if known {
		var err error
		if rec, err = getBlob(c.tx, i); err != nil {
			return nil, err
		}
		if rec.size != cmd.Size {
			return nil, ErrConflict
		}
	} else if err := c.newID(kindBlob, cmd.Digest, &i); err != nil {
		return nil, err
	} else {
		c.state.Blobs++
		c.state.BlobBytes += cmd.Size
	}
	if err := c.hold(&rec, cmd.Node); err != nil {
		return nil, err
	}
	rec.lease = max(rec.lease, c.now+cmd.Grace)
	if err := c.putBlob(i, rec); err != nil {
		return nil, err
	}
	r, err := c.ensureRepo(RepoName(cmd.Repo))
	if err != nil {
		return nil, err
	}
	return nil, c.link(i, r)
}

// newID gives a digest the next id.
func (c *change) newID(kind byte, packed []byte, i *id) error {
	c.state.LastID++
	*i = id(c.state.LastID)
	return bucket(c.tx, bucketDigests).Put(keyDigest(kind, packed), keyID(*i))
}

func (c *change) putBlob(i id, rec blobRecord) error {
	return appending(c.tx, bucketBlobs).Put(keyID(i), rec.pack())
}

// link lets r read blob i, and keeps a running collection from condemning it.
func (c *change) link(i id, r repoID) error {
	if err := c.protect(i); err != nil {
		return err
	}
	if linked(c.tx, i, r) {
		return nil
	}
	if err := appending(c.tx, bucketLinks).Put(keyLink(i, r), nothing()); err != nil {
		return err
	}
	return c.countLinks(r, 1)
}

// renewLease keeps blob i for the command's grace from now.
func (c *change) renewLease(i id, grace int64) error {
	rec, err := getBlob(c.tx, i)
	if err != nil || rec.lease >= c.now+grace {
		return err
	}
	rec.lease = c.now + grace
	return c.putBlob(i, rec)
}
