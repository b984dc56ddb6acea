package meta

import (
	"context"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"
)

// Prune says what retention keeps: `oc adm prune images`, over tag histories.
type Prune struct {
	KeepTagRevisions int           // per tag; 3 in OpenShift
	KeepYoungerThan  time.Duration // 60 m in OpenShift
	// InUse says what runs somewhere; nil: nothing is known to run. It is asked
	// when it is decided, outside of any transaction; what begins to run after
	// that is protected by KeepYoungerThan alone.
	InUse  func(repo RepoName, d digest.Digest) bool
	DryRun bool // say what would go; propose nothing
	Actor  string
}

// A PruneReport says what retention did, or would do.
type PruneReport struct {
	DryRun    bool         `json:"dryRun"`
	Revisions []PrunedItem `json:"revisions"` // history items dropped
	Manifests []PrunedItem `json:"manifests"` // manifests deleted (undelete within the grace)
	// Problems are repositories of which a record could not be read: nothing of
	// them was pruned.
	Problems []Problem `json:"problems,omitempty"`
}

// A PrunedItem is a revision of a tag, or a manifest, and why it went.
type PrunedItem struct {
	Repo   RepoName      `json:"repository"`
	Tag    Tag           `json:"tag,omitempty"`
	Digest digest.Digest `json:"digest"`
	Size   int64         `json:"size"` // of the manifest; 0 when it was gone already
	Why    string        `json:"why"`
}

// Prune applies retention to every repository, in the order of their names.
//
// Of a tag's history it keeps what is young, where the tag points now, the
// newest KeepTagRevisions, and what is in use. Of the manifests it keeps what a
// remaining line of an existing tag's history names, what is young or in use,
// and, of whatever is kept, the children and the referrers. The others are
// deleted; they can be undeleted within the grace. Each deletion is decided again
// when it is applied: a manifest that was pushed, tagged or referred to meanwhile
// stays.
//
// A repository with a record that cannot be read loses nothing and is reported.
// An error ends the run; the report says how far it came.
func (s *Store) Prune(ctx context.Context, p Prune) (PruneReport, error) {
	report := PruneReport{DryRun: p.DryRun}
	last := ""
	for {
		names, more, err := s.Repositories(last, pruneRepositories)
		if err != nil {
			return report, fmt.Errorf("prune: %w", err)
		}
		for _, name := range names {
			if err := ctx.Err(); err != nil {
				return report, fmt.Errorf("prune: %w", err)
			}
			if err := s.pruneRepository(ctx, p, name, &report); err != nil {
				return report, fmt.Errorf("prune %s: %w", name, err)
			}
			last = string(name)
		}
		if !more {
			return report, nil
		}
	}
}

// pruneRepositories is how many names are read at once.
const pruneRepositories = 1000

// pruneRepository decides over one repository and proposes what it decided.
func (s *Store) pruneRepository(ctx context.Context, p Prune, name RepoName, report *PruneReport) error {
	shelf, err := s.readShelf(name)
	if err != nil {
		return err
	}
	if shelf == nil { // it went away meanwhile
		return nil
	}
	if len(shelf.problems) > 0 {
		report.Problems = append(report.Problems, shelf.problems...)
		return nil
	}
	cut := shelf.decide(p, s.now())
	if p.DryRun {
		for _, r := range cut.revisions {
			report.Revisions = append(report.Revisions, r.items...)
		}
		for _, m := range cut.manifests {
			report.Manifests = append(report.Manifests, m.item)
		}
		return nil
	}
	for _, r := range cut.revisions {
		c := pruneTag{s.stamp(p.Actor), string(name), string(r.tag), r.generations}
		if err := s.propose(ctx, typePruneTag, c, nil); err != nil {
			return fmt.Errorf("drop revisions of tag %s: %w", r.tag, err)
		}
		report.Revisions = append(report.Revisions, r.items...)
	}
	return s.pruneManifests(ctx, p, name, cut.manifests, report)
}

// pruneManifests proposes deletions in their order, which is parents first.
func (s *Store) pruneManifests(
	ctx context.Context, p Prune, name RepoName, all []prunedManifest, report *PruneReport,
) error {
	for len(all) > 0 {
		chunk := all[:min(len(all), batch)]
		all = all[len(chunk):]
		c := pruneManifests{stamp: s.stamp(p.Actor), Repo: string(name)}
		for _, m := range chunk {
			c.Manifests = append(c.Manifests, prunableManifest{m.packed, m.put})
		}
		var reply pruneManifestsReply
		if err := s.propose(ctx, typePruneManifests, c, &reply); err != nil {
			return fmt.Errorf("delete manifests: %w", err)
		}
		for _, at := range reply.Deleted {
			if at < uint64(len(chunk)) {
				report.Manifests = append(report.Manifests, chunk[at].item)
			}
		}
	}
	return nil
}

// pruneTag drops lines of a tag's history.
type pruneTag struct {
	stamp
	Repo        string  `cbor:"4,keyasint"`
	Tag         string  `cbor:"5,keyasint"`
	Generations []int64 `cbor:"6,keyasint"`
}

func (c *change) pruneTag(cmd pruneTag) (any, error) {
	r, err := findRepo(c.tx, RepoName(cmd.Repo))
	if err != nil {
		return nil, nil // gone with its history
	}
	last := c.lastGeneration(r, Tag(cmd.Tag))
	for _, generation := range cmd.Generations {
		if generation >= last {
			continue // where the tag points, or the line that says it was deleted
		}
		if err := bucket(c.tx, bucketHistory).Delete(keyEvent(r, Tag(cmd.Tag), generation)); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// pruneManifests deletes manifests, each if it still may go.
type pruneManifests struct {
	stamp
	Repo      string             `cbor:"4,keyasint"`
	Manifests []prunableManifest `cbor:"5,keyasint"` // parents and subjects before children and referrers
}

// A prunableManifest was last pushed when it was decided upon at Put.
type prunableManifest struct {
	Digest []byte `cbor:"1,keyasint"`
	Put    int64  `cbor:"2,keyasint"`
}

type pruneManifestsReply struct {
	Deleted []uint64 `cbor:"1,keyasint"` // positions in the command
}

func (c *change) pruneManifests(cmd pruneManifests) (any, error) {
	var reply pruneManifestsReply
	if len(cmd.Manifests) > batchMax {
		return nil, ErrName
	}
	r, err := findRepo(c.tx, RepoName(cmd.Repo))
	if err != nil {
		return reply, nil
	}
	for at, m := range cmd.Manifests {
		i, v, found := findManifest(c.tx, r, m.Digest)
		if !found {
			continue
		}
		may, err := c.mayPrune(r, i, v, m.Put)
		if err != nil {
			return nil, err
		}
		if !may {
			continue
		}
		if err := c.bury(r, i, v, reasonPrune, cmd.stamp); err != nil {
			return nil, err
		}
		reply.Deleted = append(reply.Deleted, uint64(at))
	}
	return reply, nil
}

// mayPrune checks again what the decision rested on: not pushed since, no tag,
// no index that lists it, no subject that is here.
func (c *change) mayPrune(r repoID, i id, v []byte, put int64) (bool, error) {
	rec, _, err := unpackManifestHead(v)
	if err != nil {
		return false, err
	}
	if c.guard.noRecheck {
		return true, nil
	}
	if rec.put != put || len(tagsOn(c.tx, r, i)) > 0 {
		return false, nil
	}
	if hasPrefix(bucket(c.tx, bucketChildren), keySubject(r, rec.packed)) {
		return false, nil
	}
	if len(rec.subject) > 0 {
		if _, _, here := findManifest(c.tx, r, rec.subject); here {
			return false, nil
		}
	}
	return true, nil
}
