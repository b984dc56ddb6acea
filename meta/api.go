package meta

// THROWAWAY FILE: the agreed face of this package, so that its users can be
// written at the same time. Its owner moves every name into the file of its
// noun, with the implementation, and deletes this file.

import (
	"context"
	"iter"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// A Resource is a Kubernetes-shaped configuration object; Doc is its JSON.
type Resource struct {
	Kind, Namespace, Name string
	Version               uint64 // log index of the last change; 0 in a Put means "whatever is there"
	Doc                   []byte
}

// A Deleted is a manifest, with the tags it had, that can still be undeleted.
type Deleted struct {
	Repo      RepoName
	Digest    digest.Digest
	MediaType string
	Size      int64
	Tags      []Tag
	Time      time.Time
	Until     time.Time
	Actor     string
	Reason    string // "delete", "prune"
}

// ---- reads (on *DB; each is one short read transaction) ----

// Referrers lists descriptors of manifests in repo whose subject is subject, sorted by digest, after
// last; artifactType "" means all. An unknown repository or subject gives none.
func (db *DB) Referrers(repo RepoName, subject digest.Digest, artifactType string, last digest.Digest, n int) (refs []ocispec.Descriptor, more bool, err error) {
	panic("implement")
}

func (db *DB) Resource(kind, namespace, name string) (Resource, error)  { panic("implement") } // ErrNotFound
func (db *DB) Resources(kind string) ([]Resource, error)                { panic("implement") }
func (db *DB) DeletedManifests(repo RepoName) ([]Deleted, error)        { panic("implement") } // newest first
func (db *DB) Stats() (Stats, error)                                    { panic("implement") }
func (db *DB) Trash(after uint64, n int) (items []TrashItem, err error) { panic("implement") }
func (db *DB) Check(ctx context.Context) iter.Seq2[Problem, error] {
	return func(func(Problem, error) bool) {}
}

// Stats counts without walking. Sizes in bytes.
type Stats struct {
	Repositories, Manifests, Tags, Blobs int64
	BlobBytes                            int64 // sum of the sizes of known blobs, each once
	DatabaseBytes, FreeBytes             int64
	AppliedIndex, DurableIndex           uint64
}

// A TrashItem is a blob whose bytes this node may unlink: nothing refers to it (I3).
type TrashItem struct {
	ID     uint64
	Digest digest.Digest
	Size   int64
}

// A Problem is one broken invariant.
type Problem struct {
	Invariant string // "I2", "tag", …
	Where     string // bucket and key, readable
	What      string
}

// ---- writes (store.go and the noun's file) ----

// MountBlob links into repo a blob that from links, checked when applied. ErrNotFound.
func (s *Store) MountBlob(ctx context.Context, repo, from RepoName, d digest.Digest, actor string) (Blob, error) {
	panic("implement")
}

// UnlinkBlob takes the blob out of repo (DELETE blob). ErrNotFound. *ReferencedError? No: a blob that a
// manifest of repo still references may not be unlinked: ErrConflict.
func (s *Store) UnlinkBlob(ctx context.Context, repo RepoName, d digest.Digest, actor string) error {
	panic("implement")
}

// DeleteTag removes the tag; the manifest stays. ErrNotFound, *ImmutableError.
func (s *Store) DeleteTag(ctx context.Context, repo RepoName, tag Tag, actor string) error {
	panic("implement")
}

// DeleteManifest removes the manifest and every tag on it; both can be undeleted within the grace.
// ErrNotFound, *ImmutableError.
func (s *Store) DeleteManifest(ctx context.Context, repo RepoName, d digest.Digest, actor string) error {
	panic("implement")
}

// UndeleteManifest brings a deleted manifest and the tags it had back (a tag that was set again
// meanwhile keeps its new target). ErrNotFound when the grace has passed.
func (s *Store) UndeleteManifest(ctx context.Context, repo RepoName, d digest.Digest, actor string) (Deleted, error) {
	panic("implement")
}

// UndeleteTag sets a deleted tag to where it pointed, undeleting the manifest if need be. ErrNotFound, ErrConflict (tag exists).
func (s *Store) UndeleteTag(ctx context.Context, repo RepoName, tag Tag, actor string) (TagInfo, error) {
	panic("implement")
}

func (s *Store) SetTagRules(ctx context.Context, rules []TagRule, actor string) error {
	panic("implement")
}
func (s *Store) PutResource(ctx context.Context, r Resource) (Resource, error)   { panic("implement") } // ErrConflict
func (s *Store) DeleteResource(ctx context.Context, kind, ns, name string) error { panic("implement") }

// Touch notes that a client was told that d exists, so that its lease is renewed before the next
// collection decides. Memory only, bounded, cheap: it is on the path of HEAD.
func (s *Store) Touch(b Blob) { panic("implement") }

// Collect: mark and condemn (DESIGN §6, engines.md §4.5). It also ends the grace of deleted manifests.
// DryRun proposes nothing. Any error ends the run with nothing more condemned.
func (s *Store) Collect(ctx context.Context, c Collect) (CollectReport, error) { panic("implement") }

type Collect struct{ DryRun bool }
type CollectReport struct {
	DryRun       bool          `json:"dryRun"`
	Manifests    int64         `json:"manifests"` // whose grace ended
	Blobs        int64         `json:"blobs"`
	Bytes        int64         `json:"bytes"`
	Kept         int64         `json:"kept"`    // live blobs
	Waiting      int64         `json:"waiting"` // unreferenced, within the grace
	WaitingBytes int64         `json:"waitingBytes"`
	Mark         time.Duration `json:"markNanoseconds"`
}

// Swept tells that the bytes of these trash items are gone from this node.
func (s *Store) Swept(ctx context.Context, ids []uint64) error { panic("implement") }

// Prune: retention as OpenShift's pruner (reference/openshift.md D7, D9), over tag histories.
func (s *Store) Prune(ctx context.Context, p Prune) (PruneReport, error) { panic("implement") }

type Prune struct {
	KeepTagRevisions int                                       // per tag; 3 in OpenShift
	KeepYoungerThan  time.Duration                             // 60 m in OpenShift
	InUse            func(repo RepoName, d digest.Digest) bool // nil: nothing is known to run
	DryRun           bool
	Actor            string
}
type PruneReport struct {
	DryRun    bool         `json:"dryRun"`
	Revisions []PrunedItem `json:"revisions"` // history items dropped
	Manifests []PrunedItem `json:"manifests"` // manifests deleted (undelete within the grace)
}
type PrunedItem struct {
	Repo   RepoName      `json:"repository"`
	Tag    Tag           `json:"tag,omitempty"`
	Digest digest.Digest `json:"digest"`
	Size   int64         `json:"size"`
	Why    string        `json:"why"`
}
