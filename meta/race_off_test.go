//go:build !race

package meta_test

// losses is how many power losses are tried, twice each.
const losses = 100
