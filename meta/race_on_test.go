//go:build race

package meta_test

// losses is how many power losses are tried, twice each. Under the race detector, which finds nothing
// in one goroutine, a few keep the harness itself honest.
const losses = 10
