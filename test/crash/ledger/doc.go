// Package ledger works a registry and remembers what it acknowledged.
//
// A [Ledger] belongs to one [Worker], which pushes, moves tags and deletes until
// the registry dies. [Ledger.Verify] then compares what the next start serves:
// everything acknowledged must be there, byte for byte; what was under way may
// have happened or not, but nothing else.
//
// How the registry dies is the business of the tests that use it. The package
// needs the build tag crash.
package ledger
