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
