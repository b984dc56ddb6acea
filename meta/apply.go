package meta

import (
	"errors"
	"fmt"

	"go.etcd.io/bbolt"
)

// A stateRecord is the one record that nearly every command changes: what has
// been given out, what has been counted, and whether a collection runs.
type stateRecord struct {
	LastID       uint64 `cbor:"1,keyasint"` // the last id given to a blob or a manifest's content
	LastRepo     uint32 `cbor:"2,keyasint"` // the last repository id
	Clock        int64  `cbor:"3,keyasint"` // the latest time of any command
	Repositories int64  `cbor:"4,keyasint"` // those listed
	Manifests    int64  `cbor:"5,keyasint"` // a digest in two repositories counts twice
	Tags         int64  `cbor:"6,keyasint"`
	Blobs        int64  `cbor:"7,keyasint"`
	BlobBytes    int64  `cbor:"8,keyasint"`
	Epoch        uint64 `cbor:"9,keyasint"`  // log index at which the running collection began; 0 when none runs
	Ceiling      uint64 `cbor:"10,keyasint"` // LastID then: nothing younger is that collection's business
}

// stateKey is where it rests.
const stateKey = "state"

func getState(tx *txn) (s stateRecord, err error) {
	v := bucket(tx, bucketSystem).Get([]byte(stateKey))
	if v == nil {
		return s, nil
	}
	return s, decode(v, &s)
}

// A change is one command being applied.
type change struct {
	tx    *txn
	entry uint64 // its log index
	now   int64  // the command's time, but never before that of an earlier command
	state stateRecord
	guard guards

	members members // what was read of the nodes
}

// guards are the checks that stand between a race and a lost image. Production
// leaves all of them on; tests switch one off and watch their harness catch it.
type guards struct{ noBarrier, noLease, noCeiling, noMissing, noRecheck bool }

// apply applies one command. It is a function of the database and the command
// alone (I10): same log, same state, whatever the batches. An error means that
// the node must stop; what a client may be told is a result.
func apply(tx *bbolt.Tx, index uint64, command []byte) (result []byte, err error) {
	return guards{}.apply(tx, index, command)
}

func (g guards) apply(tx *bbolt.Tx, index uint64, command []byte) ([]byte, error) {
	t, body, err := splitCommand(command)
	if err != nil {
		return nil, err
	}
	c := &change{tx: &txn{Tx: tx}, entry: index, guard: g}
	if c.state, err = getState(c.tx); err != nil {
		return nil, err
	}
	before := c.state
	reply, err := c.dispatch(t, body)
	if err == nil {
		err = c.raiseLevel(levelOf(t))
	}
	res, err := encodeResult(reply, err)
	if err != nil {
		return nil, fmt.Errorf("apply command type %d: %w", t, err)
	}
	if c.state != before {
		if err := bucket(c.tx, bucketSystem).Put([]byte(stateKey), encode(c.state)); err != nil {
			return nil, err
		}
	}
	return res, nil
}

// dispatch is the one switch over what can happen.
//
//nolint:funlen // one case for each command and nothing else
func (c *change) dispatch(t commandType, body []byte) (reply any, err error) {
	switch t {
	case typeLinkBlob:
		return run(c, body, c.linkBlob)
	case typeMountBlob:
		return run(c, body, c.mountBlob)
	case typeUnlinkBlob:
		return run(c, body, c.unlinkBlob)
	case typePutManifest:
		return run(c, body, c.putManifest)
	case typeDeleteTag:
		return run(c, body, c.deleteTag)
	case typeDeleteManifest:
		return run(c, body, c.deleteManifest)
	case typeUndelete:
		return run(c, body, c.undeleteManifest)
	case typeUndeleteTag:
		return run(c, body, c.undeleteTag)
	case typeSetTagRules:
		return run(c, body, c.setTagRules)
	case typePutAccount:
		return run(c, body, c.putAccount)
	case typeDeleteAccount:
		return run(c, body, c.deleteAccount)
	case typePutResource:
		return run(c, body, c.putResource)
	case typeDeleteResource:
		return run(c, body, c.deleteResource)
	case typeInitSecret:
		return run(c, body, c.initSecret)
	case typeGCBegin:
		return run(c, body, c.gcBegin)
	case typeRenewLeases:
		return run(c, body, c.renewLeases)
	case typeCondemn:
		return run(c, body, c.condemn)
	case typeGCEnd:
		return run(c, body, c.gcEnd)
	case typeExpire:
		return run(c, body, c.expire)
	case typeSwept:
		return run(c, body, c.swept)
	case typePruneTag:
		return run(c, body, c.pruneTag)
	case typePruneManifests:
		return run(c, body, c.pruneManifests)
	case typePutSecret:
		return run(c, body, c.putSecret)
	case typeDeleteSecret:
		return run(c, body, c.deleteSecret)
	case typeTakeLock:
		return run(c, body, c.takeLock)
	case typeDropLock:
		return run(c, body, c.dropLock)
	case typeCreateToken:
		return run(c, body, c.createToken)
	case typeDeleteToken:
		return run(c, body, c.deleteToken)
	case typeGrant:
		return run(c, body, c.grant)
	case typeRevoke:
		return run(c, body, c.revoke)
	case typePutNode, typeSetNodeState, typeAddHolder, typeDropHolder, typeSweptBy:
		return c.dispatchNodes(t, body)
	}
	return nil, errCommand
}

// dispatchNodes is the part of it that is about nodes.
func (c *change) dispatchNodes(t commandType, body []byte) (reply any, err error) {
	switch t { //nolint:exhaustive // dispatch has the others
	case typePutNode:
		return run(c, body, c.putNode)
	case typeSetNodeState:
		return run(c, body, c.setNodeState)
	case typeAddHolder:
		return run(c, body, c.addHolder)
	case typeDropHolder:
		return run(c, body, c.dropHolder)
	case typeSweptBy:
		return run(c, body, c.sweptBy)
	}
	return nil, errCommand
}

// timeMax bounds times and graces, in milliseconds (some 35,000 years), so that
// no sum of two overflows.
const timeMax = 1 << 50

// run decodes a command's body and applies it. A function that returns a
// refusal has written nothing: commands of a batch share one transaction, so
// there is no taking back.
func run[T stamped](c *change, body []byte, f func(T) (any, error)) (any, error) {
	var cmd T
	if err := decode(body, &cmd); err != nil {
		return nil, errors.Join(errCommand, err)
	}
	s := cmd.stamped()
	if s.Time < 0 || s.Time > timeMax || s.Grace < 0 || s.Grace > timeMax {
		return nil, ErrName
	}
	c.now = max(c.state.Clock, s.Time)
	c.state.Clock = c.now
	return f(cmd)
}

// protect keeps a running collection from condemning i: it marked before this
// command referred to it.
func (c *change) protect(i id) error {
	if c.state.Epoch == 0 || uint64(i) > c.state.Ceiling || c.guard.noBarrier {
		return nil
	}
	return bucket(c.tx, bucketBarrier).Put(keyID(i), nothing())
}

// nothing is the value of a key that says everything. Not nil: a nil value
// reads as absent within the transaction that put it.
func nothing() []byte { return []byte{} }
