package meta

import (
	"encoding/binary"
	"fmt"

	"go.etcd.io/bbolt"
)

// A bucketName names one bucket of the database. FORMAT.md says what each holds.
type bucketName string

const (
	bucketSystem    bucketName = "sys"   // the version of this format, and the stateRecord
	bucketNames     bucketName = "rn"    // repository name → repository id
	bucketListed    bucketName = "rl"    // name of a repository that holds a manifest → repository id
	bucketRepos     bucketName = "r"     // repository id → repoRecord
	bucketDigests   bucketName = "dg"    // kind and packed digest → id
	bucketBlobs     bucketName = "b"     // id → blobRecord
	bucketLinks     bucketName = "l"     // id, repository id → nothing
	bucketManifests bucketName = "m"     // repository id, id → manifestRecord
	bucketContents  bucketName = "mc"    // id → payload of the manifest
	bucketOrphans   bucketName = "mo"    // id of a content that a repository let go of → its packed digest
	bucketTags      bucketName = "t"     // repository id, tag → tagRecord
	bucketHistory   bucketName = "th"    // repository id, tag, 0, ^generation → eventRecord
	bucketTagged    bucketName = "tm"    // repository id, id, tag → nothing
	bucketDropped   bucketName = "td"    // repository id, deleted tag → until
	bucketReferrers bucketName = "ref"   // repository id, packed subject, packed digest → referrerRecord
	bucketChildren  bucketName = "ch"    // repository id, packed child, id of the index → childPresent or childSparse
	bucketGraves    bucketName = "g"     // repository id, id → graveRecord
	bucketRules     bucketName = "rule"  // position → ruleRecord
	bucketAccounts  bucketName = "acc"   // name → accountRecord
	bucketSecrets   bucketName = "sec"   // name → value
	bucketResources bucketName = "res"   // kind, 0, namespace, 0, name → resourceRecord
	bucketBarrier   bucketName = "gp"    // id that a write referred to while a collection runs → nothing
	bucketTrash     bucketName = "trash" // id of a condemned blob → trashRecord
	appendFill                 = 0.95    // bbolt splits pages in the middle unless told that keys only grow
)

// buckets lists every bucket of ours, in the order of FORMAT.md.
func buckets() []bucketName {
	return []bucketName{
		bucketSystem, bucketNames, bucketListed, bucketRepos, bucketDigests, bucketBlobs, bucketLinks,
		bucketManifests, bucketContents, bucketOrphans, bucketTags, bucketHistory, bucketTagged, bucketDropped,
		bucketReferrers, bucketChildren, bucketGraves, bucketRules, bucketAccounts, bucketSecrets,
		bucketResources, bucketBarrier, bucketTrash,
	}
}

// formatVersion is the version of this format, kept in sys under formatKey. A
// change that an older program would misread raises it.
const (
	formatVersion = 1
	formatKey     = "format"
)

// createBuckets makes an empty database of this format, or adds to one that is
// there the buckets it does not have yet. [ErrFormat].
func createBuckets(tx *bbolt.Tx) error {
	for _, name := range buckets() {
		if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
			return fmt.Errorf("create bucket %s: %w", name, err)
		}
	}
	system := bucket(tx, bucketSystem)
	v := system.Get([]byte(formatKey))
	if v == nil {
		return system.Put([]byte(formatKey), []byte{formatVersion})
	}
	if len(v) != 1 || v[0] != formatVersion {
		return fmt.Errorf("%w: version %x, this program knows %d", ErrFormat, v, formatVersion)
	}
	return nil
}

// bucket opens a bucket for reading. Names are constants short enough to stay
// on the stack.
func bucket(tx *bbolt.Tx, name bucketName) *bbolt.Bucket { return tx.Bucket([]byte(name)) }

// appending opens a bucket whose new keys are the largest. Where they are so only
// within a repository (m), full pages would be split again and again.
func appending(tx *bbolt.Tx, name bucketName) *bbolt.Bucket {
	b := tx.Bucket([]byte(name))
	b.FillPercent = appendFill // not kept in the file: set again in each transaction
	return b
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
