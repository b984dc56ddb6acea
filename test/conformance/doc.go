// Package conformance is the OCI distribution specification written as tests.
// It knows a registry by its URL alone and judges it by its answers, sentence
// by sentence: every MUST and SHOULD that speaks about a registry, in v1.1.1 and
// on the specification's main branch.
//
// Each top-level test is one section of the specification, each subtest one
// sentence or one kind of content, and each quotes what it checks. Every
// subtest has a repository of its own, so all of them may run at once and in any
// order. README.md maps sections to tests, and names what is demanded beyond the
// specification because Skerry promises it.
//
// The suite is built with the tag conformance. It starts bin/skerry, or judges
// the registry that these variables name:
//
//	SKERRY_CONFORMANCE_URL       https://registry.example.org:5000
//	SKERRY_CONFORMANCE_USER      empty for a registry that asks for no login
//	SKERRY_CONFORMANCE_PASSWORD
//	SKERRY_CONFORMANCE_CA        a PEM file; empty for the system's own
package conformance
