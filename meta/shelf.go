package meta

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"
)

// A shelf is a repository as retention looks at it: a copy, taken in one read.
type shelf struct {
	name      RepoName
	manifests map[string]*shelved // by packed digest
	order     []*shelved          // by id
	tags      []shelvedTag
	problems  []Problem
}

type shelved struct {
	packed   []byte
	size     int64
	put      int64
	subject  []byte
	children [][]byte
	kept     bool
}

type shelvedTag struct {
	tag    Tag
	events []shelvedEvent // newest first
}

type shelvedEvent struct {
	generation int64
	eventRecord
}

// readShelf copies what retention needs; nil if there is no such repository.
func (s *Store) readShelf(name RepoName) (sh *shelf, err error) {
	err = s.view(func(tx *txn) error {
		r, err := findRepo(tx, name)
		if errors.Is(err, ErrRepositoryUnknown) {
			return nil
		}
		if err != nil {
			return err
		}
		sh = &shelf{name: name, manifests: map[string]*shelved{}}
		sh.readManifests(tx, r)
		sh.readTags(tx, r)
		return nil
	})
	return sh, err
}

// problem notes what could not be read. The repository then keeps everything,
// since what the record refers to is not known.
func (sh *shelf) problem(where string, err error) {
	where = string(sh.name) + " " + where
	sh.problems = append(sh.problems, Problem{Invariant: "record", Where: where, What: err.Error()})
}

func (sh *shelf) readManifests(tx *txn, r repoID) {
	for k, v := range under(bucket(tx, bucketManifests), keyRepo(r)) {
		rec, err := unpackManifest(v)
		if err != nil {
			sh.problem(fmt.Sprintf("manifest %x", k), err)
			continue
		}
		m := &shelved{
			packed: bytes.Clone(rec.packed), size: rec.size, put: rec.put, subject: bytes.Clone(rec.subject),
		}
		for _, child := range rec.children {
			m.children = append(m.children, bytes.Clone(child))
		}
		sh.manifests[string(m.packed)] = m
		sh.order = append(sh.order, m)
	}
}

func (sh *shelf) readTags(tx *txn, r repoID) {
	for k := range under(bucket(tx, bucketTags), keyRepo(r)) {
		t := shelvedTag{tag: Tag(bytes.Clone(k))}
		for generation, v := range history(tx, r, t.tag) {
			e := shelvedEvent{generation: generation}
			if err := decode(v, &e.eventRecord); err != nil {
				sh.problem(fmt.Sprintf("tag %s generation %d", t.tag, generation), err)
				continue
			}
			t.events = append(t.events, e)
		}
		sh.tags = append(sh.tags, t)
	}
}

// A cut is what retention decided.
type cut struct {
	revisions []prunedRevisions
	manifests []prunedManifest
}

type prunedRevisions struct {
	tag         Tag
	generations []int64
	items       []PrunedItem
}

type prunedManifest struct {
	packed []byte
	put    int64
	item   PrunedItem
}

// decide applies the rules of p.
func (sh *shelf) decide(p Prune, now time.Time) cut {
	cutoff := now.Add(-p.KeepYoungerThan).UnixMilli()
	inUse := func(packed []byte) bool { return p.InUse != nil && p.InUse(sh.name, unpackDigest(packed)) }
	var c cut
	var kept [][]byte
	for _, t := range sh.tags {
		dropped, named := sh.decideTag(t, p.KeepTagRevisions, cutoff, inUse)
		kept = append(kept, named...)
		if len(dropped.generations) > 0 {
			c.revisions = append(c.revisions, dropped)
		}
	}
	for _, m := range sh.order {
		if m.put > cutoff || inUse(m.packed) {
			kept = append(kept, m.packed)
		}
	}
	sh.keep(kept)
	c.manifests = sh.rest()
	return c
}

// decideTag sorts the lines of one tag's history into those dropped and the
// digests that the others name.
func (sh *shelf) decideTag(
	t shelvedTag, revisions int, cutoff int64, inUse func([]byte) bool,
) (dropped prunedRevisions, named [][]byte) {
	dropped.tag = t.tag
	i := -1 // revision: a line that says the tag was deleted is none
	for _, e := range t.events {
		if e.Change != changeDelete {
			i++
		}
		m := sh.manifests[string(e.Digest)]
		why := ""
		switch {
		case e.Time > cutoff || i == 0 && e.Change != changeDelete:
		case e.Change == changeDelete:
			why = "deletion is old"
		case m == nil:
			why = "manifest is gone"
		case i < revisions || inUse(e.Digest):
		default:
			why = fmt.Sprintf("revision %d is not among the newest %d, old and not in use", i, revisions)
		}
		if why == "" {
			if e.Change != changeDelete {
				named = append(named, e.Digest)
			}
			continue
		}
		item := PrunedItem{Repo: sh.name, Tag: t.tag, Digest: unpackDigest(e.Digest), Why: why}
		if m != nil {
			item.Size = m.size
		}
		dropped.generations = append(dropped.generations, e.generation)
		dropped.items = append(dropped.items, item)
	}
	return dropped, named
}

// keep keeps the named manifests and all that is reached from them, over
// children and referrers. Each manifest is visited once, however often it is
// reached.
func (sh *shelf) keep(named [][]byte) {
	referrers := map[string][][]byte{}
	for _, m := range sh.order {
		if len(m.subject) > 0 {
			referrers[string(m.subject)] = append(referrers[string(m.subject)], m.packed)
		}
	}
	for len(named) > 0 {
		m := sh.manifests[string(named[len(named)-1])]
		named = named[:len(named)-1]
		if m == nil || m.kept {
			continue
		}
		m.kept = true
		named = append(named, m.children...)
		named = append(named, referrers[string(m.packed)]...)
	}
}

// rest lists what is not kept, each after every manifest that lists it or that
// it refers to: when it is applied, these must be gone.
func (sh *shelf) rest() (all []prunedManifest) {
	waits := map[string]int{} // before how many others a manifest has to wait
	followers := map[string][]*shelved{}
	follow := func(first, then []byte) {
		a, b := sh.manifests[string(first)], sh.manifests[string(then)]
		if a != nil && b != nil && !a.kept && !b.kept {
			waits[string(then)]++
			followers[string(first)] = append(followers[string(first)], b)
		}
	}
	for _, m := range sh.order {
		for _, child := range m.children {
			follow(m.packed, child)
		}
		follow(m.subject, m.packed)
	}
	var ready []*shelved
	for _, m := range sh.order {
		if !m.kept && waits[string(m.packed)] == 0 {
			ready = append(ready, m)
		}
	}
	for len(ready) > 0 { // digests allow no cycle, so all come up
		m := ready[0]
		ready = ready[1:]
		all = append(all, sh.pruned(m))
		for _, f := range followers[string(m.packed)] {
			if waits[string(f.packed)]--; waits[string(f.packed)] == 0 {
				ready = append(ready, f)
			}
		}
	}
	return slices.Clip(all)
}

func (sh *shelf) pruned(m *shelved) prunedManifest {
	return prunedManifest{m.packed, m.put, PrunedItem{
		Repo: sh.name, Digest: unpackDigest(m.packed), Size: m.size,
		Why: "in no tag's history, old and not in use",
	}}
}
