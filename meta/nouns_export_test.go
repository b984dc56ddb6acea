package meta

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/fxamacker/cbor/v2"
	"go.etcd.io/bbolt"
)

// ApplyWithout is the state machine with one guard removed.
func ApplyWithout(guard string) func(tx *bbolt.Tx, index uint64, command []byte) ([]byte, error) {
	switch guard {
	case "":
		return apply
	case "barrier":
		return guards{noBarrier: true}.apply
	case "lease":
		return guards{noLease: true}.apply
	case "ceiling":
		return guards{noCeiling: true}.apply
	case "missing":
		return guards{noMissing: true}.apply
	case "recheck":
		return guards{noRecheck: true}.apply
	}
	panic("no guard " + guard)
}

// Allows says whether a command of a level to come may be proposed.
func (s *Store) Allows() error { return s.allowed(60, stamp{}) }

// Kind says what a command does, for tests that step in before it is applied.
func Kind(command []byte) string {
	t, _, err := splitCommand(command)
	if err != nil {
		return err.Error()
	}
	return map[commandType]string{
		typeGCBegin: "begin", typeCondemn: "condemn", typeGCEnd: "end", typeExpire: "expire",
		typeRenewLeases: "renew", typePruneTag: "pruneTag", typePruneManifests: "pruneManifests",
	}[t]
}

// TimeOf is the time that a command carries.
func TimeOf(command []byte) time.Time {
	var fields map[int64]cbor.RawMessage
	var ms int64
	_, body, err := splitCommand(command)
	if err := errors.Join(err, decode(body, &fields), decode(fields[1], &ms)); err != nil {
		panic(err)
	}
	return time.UnixMilli(ms)
}

// CondemnCommand condemns a blob by hand.
func (db *DB) CondemnCommand(s *Store, packedOf []byte) []byte {
	var i id
	var epoch uint64
	_ = db.view(func(tx *txn) error {
		i, _ = findID(tx, kindBlob, packedOf)
		state, err := getState(tx)
		epoch = state.Epoch
		return err
	})
	return encodeCommand(typeCondemn, condemn{stamp: s.stamp(""), Epoch: epoch, Blobs: []uint64{uint64(i)}})
}

// BeginCommand begins a collection by hand.
func BeginCommand(s *Store) []byte { return encodeCommand(typeGCBegin, gcBegin{s.stamp("")}) }

// Pack packs a digest as keys do.
var Pack = appendDigest

// Transcode decodes a command and encodes it again.
func Transcode(command []byte) ([]byte, error) {
	t, body, err := splitCommand(command)
	if err != nil {
		return nil, err
	}
	switch t {
	case typeLinkBlob:
		return transcode[linkBlob](t, body)
	case typeMountBlob:
		return transcode[mountBlob](t, body)
	case typeUnlinkBlob:
		return transcode[unlinkBlob](t, body)
	case typePutManifest:
		return transcode[putManifest](t, body)
	case typeDeleteTag:
		return transcode[deleteTag](t, body)
	case typeDeleteManifest:
		return transcode[deleteManifest](t, body)
	case typeUndelete:
		return transcode[undeleteManifest](t, body)
	case typeUndeleteTag:
		return transcode[undeleteTag](t, body)
	case typeSetTagRules:
		return transcode[setTagRules](t, body)
	case typePutAccount:
		return transcode[putAccount](t, body)
	case typeDeleteAccount:
		return transcode[deleteAccount](t, body)
	case typePutResource:
		return transcode[putResource](t, body)
	case typeDeleteResource:
		return transcode[deleteResource](t, body)
	case typeInitSecret:
		return transcode[initSecret](t, body)
	case typeGCBegin:
		return transcode[gcBegin](t, body)
	case typeRenewLeases:
		return transcode[renewLeases](t, body)
	case typeCondemn:
		return transcode[condemn](t, body)
	case typeGCEnd:
		return transcode[gcEnd](t, body)
	case typeExpire:
		return transcode[expire](t, body)
	case typeSwept:
		return transcode[swept](t, body)
	case typePruneTag:
		return transcode[pruneTag](t, body)
	case typePruneManifests:
		return transcode[pruneManifests](t, body)
	case typePutSecret:
		return transcode[putSecret](t, body)
	case typeDeleteSecret:
		return transcode[deleteSecret](t, body)
	case typeTakeLock:
		return transcode[takeLock](t, body)
	case typeDropLock:
		return transcode[dropLock](t, body)
	case typeCreateToken:
		return transcode[createToken](t, body)
	case typeDeleteToken:
		return transcode[deleteToken](t, body)
	case typeGrant, typeRevoke:
		return transcode[binding](t, body)
	case typePutNode:
		return transcode[putNode](t, body)
	case typeSetNodeState:
		return transcode[setNodeState](t, body)
	case typeAddHolder:
		return transcode[addHolder](t, body)
	case typeDropHolder:
		return transcode[dropHolder](t, body)
	case typeSweptBy:
		return transcode[sweptBy](t, body)
	}
	return nil, errCommand
}

func transcode[T stamped](t commandType, body []byte) ([]byte, error) {
	var cmd T
	if err := decode(body, &cmd); err != nil {
		return nil, err
	}
	return encodeCommand(t, cmd), nil
}

// Records returns the keys and values of a bucket.
func (db *DB) Records(name string) (keys, values [][]byte, err error) {
	err = db.view(func(tx *txn) error {
		for k, v := range under(tx.Bucket([]byte(name)), nil) {
			keys, values = append(keys, bytes.Clone(k)), append(values, bytes.Clone(v))
		}
		return nil
	})
	return keys, values, err
}

// Write puts a record past all rules; nil deletes it.
func (db *DB) Write(name string, key, value []byte) error {
	db.writing.Lock()
	defer db.writing.Unlock()
	return db.update(1<<20, func(tx *bbolt.Tx) error {
		if value == nil {
			return tx.Bucket([]byte(name)).Delete(key)
		}
		return tx.Bucket([]byte(name)).Put(key, value)
	})
}

// Drop takes a whole bucket away.
func (db *DB) Drop(name string) error {
	return db.offLog(func(tx *txn) error { return tx.DeleteBucket([]byte(name)) })
}

// Buckets lists every bucket.
func Buckets() (names []string) {
	for name := range bucketCount {
		names = append(names, name.String())
	}
	return names
}

// RefersTo says whether a manifest of the repository refers to a blob.
func (db *DB) RefersTo(repo RepoName, packed []byte) (used bool, err error) {
	err = db.view(func(tx *txn) error {
		r, err := findRepo(tx, repo)
		if err != nil {
			return err
		}
		i, _ := findID(tx, kindBlob, packed)
		used, err = refersTo(tx, r, i)
		return err
	})
	return used, err
}

// RecordReaders read the same manifest record, packed by hand and in CBOR: what
// the collector needs of it, and what a pull does.
func RecordReaders() map[string]func() error {
	rec := manifestRecord{
		refs: []id{70, 71, 1000, 1001, 1_000_000, 1_000_001}, size: 1200, mediaType: mediaTypeOf(1),
		packed: append([]byte{codeSHA256}, make([]byte, 32)...),
		pushed: 1_800_000_000_000, put: 1_800_000_000_000, actor: "ci",
	}
	type inCBOR struct {
		Refs      []id   `cbor:"1,keyasint"`
		Packed    []byte `cbor:"2,keyasint"`
		Size      int64  `cbor:"3,keyasint"`
		MediaType uint64 `cbor:"4,keyasint"`
		Pushed    int64  `cbor:"5,keyasint"`
		Put       int64  `cbor:"6,keyasint"`
		Actor     string `cbor:"7,keyasint"`
	}
	packed := rec.pack()
	other := encode(inCBOR{rec.refs, rec.packed, rec.size, 1, rec.pushed, rec.put, rec.actor})
	var refs []id
	return map[string]func() error{
		fmt.Sprintf("mark/packed-%dB", len(packed)): func() (err error) {
			refs, err = skimManifest(packed, refs[:0])
			return err
		},
		fmt.Sprintf("pull/packed-%dB", len(packed)): func() error { _, _, err := unpackManifestHead(packed); return err },
		fmt.Sprintf("both/cbor-%dB", len(other)):    func() error { var r inCBOR; return decode(other, &r) },
	}
}

// Dirty is how much was written since the last checkpoint.
func (db *DB) Dirty() int64 { return db.dirty.Load() }

// BucketBytes is what each bucket takes on the disk, and all of them.
func (db *DB) BucketBytes() (sizes map[string]int64, total int64, err error) {
	sizes = map[string]int64{}
	err = db.view(func(tx *txn) error {
		for name := range bucketCount {
			s := bucket(tx, name).Stats()
			if size := int64(s.BranchAlloc + s.LeafAlloc); size > 0 {
				sizes[name.String()] = size
				total += size
			}
		}
		return nil
	})
	return sizes, total, err
}

// CommandNames are the names that FORMAT.md gives to the types of commands.
func CommandNames() map[int]string {
	return map[int]string{
		int(typeLinkBlob): "LinkBlob", int(typeMountBlob): "MountBlob", int(typeUnlinkBlob): "UnlinkBlob",
		int(typePutManifest): "PutManifest", int(typeDeleteTag): "DeleteTag",
		int(typeDeleteManifest): "DeleteManifest", int(typeUndelete): "Undelete",
		int(typeUndeleteTag): "UndeleteTag", int(typeSetTagRules): "SetTagRules",
		int(typePutAccount): "PutAccount", int(typeDeleteAccount): "DeleteAccount",
		int(typePutResource): "PutResource", int(typeDeleteResource): "DeleteResource",
		int(typeInitSecret): "InitSecret", int(typeGCBegin): "GCBegin", int(typeRenewLeases): "RenewLeases",
		int(typeCondemn): "Condemn", int(typeGCEnd): "GCEnd", int(typeExpire): "Expire", int(typeSwept): "Swept",
		int(typePruneTag): "PruneTag", int(typePruneManifests): "PruneManifests",
		int(typePutSecret): "PutSecret", int(typeDeleteSecret): "DeleteSecret",
		int(typeTakeLock): "TakeLock", int(typeDropLock): "DropLock",
		int(typeCreateToken): "CreateToken", int(typeDeleteToken): "DeleteToken",
		int(typeGrant): "Grant", int(typeRevoke): "Revoke",
		int(typePutNode): "PutNode", int(typeSetNodeState): "SetNodeState", int(typeAddHolder): "AddHolder",
		int(typeDropHolder): "DropHolder", int(typeSweptBy): "SweptBy",
	}
}

// OversizedCommands ask for one more than the limit, of a database with id 1.
func OversizedCommands(s *Store, epoch uint64) [][]byte {
	ids := make([]uint64, batchMax+1)
	keys, digests := make([][]byte, batchMax+1), make([][]byte, batchMax+1)
	for i := range ids {
		ids[i], keys[i], digests[i] = 1, keyRepoID(1, 1), append([]byte{codeSHA256}, make([]byte, 32)...)
	}
	return [][]byte{
		encodeCommand(typeRenewLeases, renewLeases{s.stamp(""), ids}),
		encodeCommand(typeSwept, swept{s.stamp(""), ids}),
		encodeCommand(typeSweptBy, sweptBy{s.stamp(""), ids, 1}),
		encodeCommand(typeAddHolder, addHolder{s.stamp(""), 1, digests}),
		encodeCommand(typeDropHolder, dropHolder{s.stamp(""), 1, digests, nil}),
		encodeCommand(typeCondemn, condemn{stamp: s.stamp(""), Epoch: epoch, Blobs: ids}),
		encodeCommand(typeExpire, expire{stamp: s.stamp(""), Graves: keys}),
		encodeCommand(typePruneManifests, pruneManifests{
			stamp: s.stamp(""), Repo: "a", Manifests: make([]prunableManifest, batchMax+1),
		}),
	}
}
