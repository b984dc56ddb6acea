package meta

import (
	"errors"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"
)

var (
	// ErrRepositoryUnknown says that nothing is kept under a repository's name:
	// no manifest, no blob link, no history, nothing that can be undeleted.
	ErrRepositoryUnknown = errors.New("meta: repository unknown")

	// ErrNotFound says that the tag, manifest, blob or object asked for is not there.
	ErrNotFound = errors.New("meta: not found")

	// ErrName says that a repository name, a tag or a digest is out of the grammar
	// of the distribution spec, or an argument is out of its limits.
	ErrName = errors.New("meta: invalid name")

	// ErrConflict says that a conditional write found something else than it expected.
	ErrConflict = errors.New("meta: conflict")

	// ErrUnavailable says that a command could not be agreed in time (no leader,
	// closing). Nothing is known about its effect: the caller may try again.
	ErrUnavailable = errors.New("meta: unavailable")

	// ErrUnsettled says that a command may have been agreed upon, or may be yet. Until
	// that is known its effect must be expected.
	ErrUnsettled = errors.New("meta: it is not known whether the change was made")

	// ErrNode says that a node is none of the cluster: it never registered, or was
	// removed for good.
	ErrNode = errors.New("meta: no node of this cluster")

	// ErrLevel says that the cluster has nodes of an older version of the program,
	// which could not apply the command, or that a node's program is older than
	// commands that were applied already. Nothing was written.
	ErrLevel = errors.New("meta: the cluster has nodes of different versions")

	// ErrFormat says that the database was written by a version of the program
	// that this one does not understand.
	ErrFormat = errors.New("meta: unknown database format")

	// ErrCorrupt says that the database holds what no command can have written.
	// [DB.Check] tells more.
	ErrCorrupt = errors.New("meta: corrupt record")
)

// A MissingError says which blobs of a manifest its repository does not hold
// (I2). Nothing was written.
type MissingError struct {
	Digests []digest.Digest // in the order of the manifest
}

// Error names every missing digest.
func (e *MissingError) Error() string {
	names := make([]string, len(e.Digests))
	for i, d := range e.Digests {
		names[i] = d.String()
	}
	return "meta: missing in repository: " + strings.Join(names, ", ")
}

// An ImmutableError says that a tag may not be moved or deleted, and by which rule.
type ImmutableError struct {
	Repo RepoName
	Tag  Tag
	Rule TagRule
}

// Error names the tag and the rule.
func (e *ImmutableError) Error() string {
	return fmt.Sprintf("meta: tag %s:%s is immutable by rule %q %q", e.Repo, e.Tag, e.Rule.Repositories, e.Rule.Tags)
}

// An UnknownError says which blobs are not known, because they were condemned or
// never linked: their bytes are to be dropped. It is [ErrNotFound], and all else
// that was asked for was done.
type UnknownError struct {
	Digests []digest.Digest // in the order in which they were given
}

// Error says how many there are, and names the first.
func (e *UnknownError) Error() string {
	return fmt.Sprintf("meta: %d unknown blobs, the first is %s", len(e.Digests), e.Digests[0])
}

// Is makes it ErrNotFound.
func (e *UnknownError) Is(target error) bool { return target == ErrNotFound }
