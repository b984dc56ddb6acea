//go:build conformance

package conformance_test

import (
	"testing"

	"github.com/opencontainers/go-digest"
)

// A sentence is something the specification says about registries, and how to
// find out whether it holds.
type sentence struct {
	name  string
	check func(*repository)
}

// hold runs the sentences of a section side by side, each in a repository of its own.
func hold(t *testing.T, sentences ...sentence) {
	t.Helper()
	reg := open(t)
	for _, s := range sentences {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			s.check(reg.repo(t))
		})
	}
}

// forAlgorithms runs check for each digest algorithm that a registry must know
// (image-spec, "Registered algorithms").
func forAlgorithms(check func(*repository, digest.Algorithm)) func(*repository) {
	return func(r *repository) {
		for _, alg := range []digest.Algorithm{digest.SHA256, digest.SHA512} {
			r.t.Run(alg.String(), func(t *testing.T) { check(r.repo(t), alg) })
		}
	}
}
