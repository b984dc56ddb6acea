package meta

import (
	"encoding/binary"
	"fmt"

	"go.etcd.io/bbolt"
)

// A bucketName names one bucket of the database. FORMAT.md says what each holds.
type bucketName uint8

// The buckets, in the order of FORMAT.md.
const (
	bucketSystem    bucketName = iota // the version of this format, and the stateRecord
	bucketNames                       // repository name → repository id
	bucketListed                      // name of a repository that holds a manifest → repository id
	bucketRepos                       // repository id → repoRecord
	bucketDigests                     // kind and packed digest → id
	bucketBlobs                       // id → blobRecord
	bucketLinks                       // id, repository id → nothing
	bucketManifests                   // repository id, id → manifestRecord
	bucketContents                    // id → payload of the manifest
	bucketOrphans                     // id of a content that a repository let go of → its packed digest
	bucketTags                        // repository id, tag → tagRecord
	bucketHistory                     // repository id, tag, 0, ^generation → eventRecord
	bucketTagged                      // repository id, id, tag → nothing
	bucketDropped                     // repository id, deleted tag → until
	bucketReferrers                   // repository id, packed subject, packed digest → referrerRecord
	bucketChildren                    // repository id, packed child, id of the index → childPresent or childSparse
	bucketGraves                      // repository id, id → graveRecord
	bucketRules                       // position → ruleRecord
	bucketAccounts                    // name → accountRecord
	bucketSecrets                     // name → value
	bucketLocks                       // name → lockRecord
	bucketResources                   // kind, 0, namespace, 0, name → resourceRecord
	bucketBarrier                     // id that a write referred to while a collection runs → nothing
	bucketTrash                       // id of a condemned blob → trashRecord
	bucketTokens                      // name → tokenRecord
	bucketBindings                    // kind, 0, subject, 0, role, 0, pattern → bindingRecord
	bucketNodes                       // node id → nodeRecord
	bucketCount
)

// String is what the bucket is called in the file.
func (b bucketName) String() string {
	return [bucketCount]string{
		bucketSystem:    "sys",
		bucketNames:     "rn",
		bucketListed:    "rl",
		bucketRepos:     "r",
		bucketDigests:   "dg",
		bucketBlobs:     "b",
		bucketLinks:     "l",
		bucketManifests: "m",
		bucketContents:  "mc",
		bucketOrphans:   "mo",
		bucketTags:      "t",
		bucketHistory:   "th",
		bucketTagged:    "tm",
		bucketDropped:   "td",
		bucketReferrers: "ref",
		bucketChildren:  "ch",
		bucketGraves:    "g",
		bucketRules:     "rule",
		bucketAccounts:  "acc",
		bucketSecrets:   "sec",
		bucketLocks:     "lock",
		bucketResources: "res",
		bucketBarrier:   "gp",
		bucketTrash:     "trash",
		bucketTokens:    "tok",
		bucketBindings:  "role",
		bucketNodes:     "node",
	}[b]
}

// appendFill is for buckets whose keys only grow: bbolt splits pages in the middle unless told so.
const appendFill = 0.95

// formatVersion is the version of this format, kept in sys under formatKey. A
// change that an older program would misread raises it.
const (
	formatVersion = 1
	formatKey     = "format"
)

// createBuckets makes an empty database of this format, or adds to one that is
// there the buckets it does not have yet. [ErrFormat].
func createBuckets(tx *bbolt.Tx) error {
	for name := range bucketCount {
		if _, err := tx.CreateBucketIfNotExists([]byte(name.String())); err != nil {
			return fmt.Errorf("create bucket %s: %w", name, err)
		}
	}
	system := tx.Bucket([]byte(bucketSystem.String()))
	v := system.Get([]byte(formatKey))
	if v == nil {
		return system.Put([]byte(formatKey), []byte{formatVersion})
	}
	if len(v) != 1 || v[0] != formatVersion {
		return fmt.Errorf("%w: version %x, this program knows %d", ErrFormat, v, formatVersion)
	}
	r, err := getCluster(&txn{Tx: tx})
	if err == nil && r.level > Level {
		err = fmt.Errorf("%w: it holds what commands of level %d wrote, this program knows %d", ErrFormat, r.level, Level)
	}
	return err
}

// A txn is a transaction, with the buckets that it has opened: opening one is a
// search of its own.
type txn struct {
	*bbolt.Tx
	opened [bucketCount]*bbolt.Bucket
}

// bucket opens a bucket.
func bucket(tx *txn, name bucketName) *bbolt.Bucket {
	if tx.opened[name] == nil {
		tx.opened[name] = tx.Bucket([]byte(name.String()))
	}
	return tx.opened[name]
}

// appending opens a bucket whose new keys are the largest. Where they are so only
// within a repository (m), full pages would be split again and again.
func appending(tx *txn, name bucketName) *bbolt.Bucket {
	b := bucket(tx, name)
	b.FillPercent = appendFill // not kept in the file: set again in each transaction
	return b
}

// emptied opens a bucket after dropping all that is in it.
func emptied(tx *txn, name bucketName) (*bbolt.Bucket, error) {
	key := []byte(name.String())
	if err := tx.DeleteBucket(key); err != nil {
		return nil, err
	}
	var err error
	tx.opened[name], err = tx.CreateBucket(key)
	return tx.opened[name], err
}

// A repoID names a repository in keys. Ids are never used again.
type repoID uint32

// An id names a blob, or a manifest's content. Ids are dense (the collector's
// bitmap has one bit each), grow, and are never used again.
type id uint64

// maxIDKey is the longest fixed part of a key: a repository id and an id.
const maxIDKey = 4 + 8

func appendRepo(b []byte, r repoID) []byte { return binary.BigEndian.AppendUint32(b, uint32(r)) }
func appendID(b []byte, i id) []byte       { return binary.BigEndian.AppendUint64(b, uint64(i)) }

func keyID(i id) []byte               { return appendID(nil, i) }
func keyRepo(r repoID) []byte         { return appendRepo(nil, r) }
func keyRepoID(r repoID, i id) []byte { return appendID(appendRepo(make([]byte, 0, maxIDKey), r), i) }

func keyLink(i id, r repoID) []byte          { return appendRepo(appendID(make([]byte, 0, maxIDKey), i), r) }
func keyTag(r repoID, t Tag) []byte          { return append(appendRepo(nil, r), t...) }
func keyTagged(r repoID, i id, t Tag) []byte { return append(keyRepoID(r, i), t...) }

// keyHistory is the prefix of a tag's history. No tag contains a zero byte, so
// no tag's history lies within another's.
func keyHistory(r repoID, t Tag) []byte { return append(keyTag(r, t), 0) }

// keyEvent sorts newer generations first.
func keyEvent(r repoID, t Tag, generation int64) []byte {
	return binary.BigEndian.AppendUint64(keyHistory(r, t), ^uint64(generation))
}

// keySubject is the prefix of a subject's referrers, or of a child's parents.
func keySubject(r repoID, packed []byte) []byte { return append(appendRepo(nil, r), packed...) }

func parseID(b []byte) (id, bool) {
	if len(b) != 8 {
		return 0, false
	}
	return id(binary.BigEndian.Uint64(b)), true
}

func parseRepo(b []byte) (repoID, bool) {
	if len(b) != 4 {
		return 0, false
	}
	return repoID(binary.BigEndian.Uint32(b)), true
}

func parseRepoID(b []byte) (repoID, id, bool) {
	if len(b) != maxIDKey {
		return 0, 0, false
	}
	return repoID(binary.BigEndian.Uint32(b)), id(binary.BigEndian.Uint64(b[4:])), true
}

func parseLink(b []byte) (id, repoID, bool) {
	if len(b) != maxIDKey {
		return 0, 0, false
	}
	return id(binary.BigEndian.Uint64(b)), repoID(binary.BigEndian.Uint32(b[8:])), true
}

// generationOf reads the generation at the end of an event's key.
func generationOf(key []byte) int64 {
	return int64(^binary.BigEndian.Uint64(key[len(key)-8:]))
}

// The same digest may name a blob and a manifest; they live and die apart, so
// each has an id of its own, told apart by the first byte of the key in dg.
const (
	kindBlob     = 'b'
	kindManifest = 'm'
)

// keyDigest is the key of a packed digest in dg.
func keyDigest(kind byte, packed []byte) []byte {
	return append(append(make([]byte, 0, 1+packedMax), kind), packed...)
}
