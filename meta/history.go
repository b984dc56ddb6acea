package meta

import (
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"
)

// historyMax is how many changes of a tag are remembered; the oldest go first.
const historyMax = 100

// A TagEvent is one line of a tag's history, newest first: ImageStream
// status.tags[].items.
type TagEvent struct {
	Generation int64
	Digest     digest.Digest // where the tag pointed after the change; of a delete, before it
	Time       time.Time
	Actor      string
	Change     Change
}

// A Change is what happened to a tag.
type Change string

// The changes there are.
const (
	ChangePush     Change = "push"
	ChangeDelete   Change = "delete"
	ChangeUndelete Change = "undelete"
)

// A changeCode is a Change as it is written.
type changeCode uint8

const (
	changePush changeCode = iota + 1
	changeDelete
	changeUndelete
)

func (c changeCode) change() Change {
	switch c {
	case changePush:
		return ChangePush
	case changeDelete:
		return ChangeDelete
	case changeUndelete:
		return ChangeUndelete
	}
	return ""
}

// An eventRecord is one change of a tag. Its digest is written out: it outlives
// the manifest.
type eventRecord struct {
	Change changeCode `cbor:"1,keyasint"`
	Digest []byte     `cbor:"2,keyasint"`
	Time   int64      `cbor:"3,keyasint"`
	Actor  string     `cbor:"4,keyasint,omitempty"`
}

// History lists what happened to a tag, newest first: at most 100 changes, also
// those of a tag deleted within the grace. [ErrNotFound], [ErrRepositoryUnknown].
func (db *DB) History(repo RepoName, tag Tag) (events []TagEvent, err error) {
	err = db.view(func(tx *txn) error {
		r, err := findRepo(tx, repo)
		if err != nil {
			return err
		}
		for generation, v := range history(tx, r, tag) {
			var rec eventRecord
			if err := decode(v, &rec); err != nil {
				return err
			}
			events = append(events, TagEvent{
				Generation: generation, Digest: unpackDigest(rec.Digest),
				Time: time.UnixMilli(rec.Time), Actor: rec.Actor, Change: rec.Change.change(),
			})
		}
		if len(events) == 0 {
			return ErrNotFound
		}
		return nil
	})
	return events, err
}

// history walks a tag's events, newest first: generation and record.
func history(tx *txn, r repoID, t Tag) func(yield func(int64, []byte) bool) {
	return func(yield func(int64, []byte) bool) {
		for rest, v := range under(bucket(tx, bucketHistory), keyHistory(r, t)) {
			if len(rest) != 8 || !yield(generationOf(rest), v) {
				return
			}
		}
	}
}

// lastGeneration is that of the newest event, 0 without one.
func (c *change) lastGeneration(r repoID, t Tag) int64 {
	for generation := range history(c.tx, r, t) {
		return generation
	}
	return 0
}

// lastEvent returns the newest event of a tag that has one.
func (c *change) lastEvent(r repoID, t Tag) (rec eventRecord, err error) {
	for _, v := range history(c.tx, r, t) {
		return rec, decode(v, &rec)
	}
	return rec, fmt.Errorf("tag %s has no history: %w", t, ErrCorrupt)
}

// addEvent writes an event and drops those that are too old to be remembered.
func (c *change) addEvent(r repoID, t Tag, generation int64, rec eventRecord) error {
	events := bucket(c.tx, bucketHistory)
	if err := events.Put(keyEvent(r, t, generation), encode(rec)); err != nil {
		return fmt.Errorf("history of tag %s: %w", t, err)
	}
	return c.forgetEvents(r, t, generation-historyMax)
}

// forgetEvents drops the events of generation last and older.
func (c *change) forgetEvents(r repoID, t Tag, last int64) error {
	if last < 1 {
		return nil
	}
	var old []int64
	for generation := range history(c.tx, r, t) {
		if generation <= last {
			old = append(old, generation)
		}
	}
	for _, generation := range old {
		if err := bucket(c.tx, bucketHistory).Delete(keyEvent(r, t, generation)); err != nil {
			return err
		}
	}
	return nil
}
