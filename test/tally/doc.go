// Command tally runs stages of the Makefile and counts their tests.
//
//	tally [-summary FILE] STAGE[+STAGE...]...
//
// Each STAGE is a make target; those joined by "+" run at the same time, the
// arguments one after another. A target is run as "make STAGE JSON=-json", so
// that the go test commands in it report events, which tally reads. What passed
// is told in one line per package, what failed with its whole output. The last
// line, which also goes to FILE, is
//
//	N passed, N failed
//
// and the exit status is 1 when anything failed. A stage without test events
// counts as one test, passed when its exit status is 0.
//
// Every way to fail is counted at least once: a test that fails, that never
// finishes because its process panicked or ran out of time, a package that does
// not build or whose process fails outside any test, and a stage that fails
// although all its tests passed. A skipped test and a test stage without tests
// prove nothing, so they are failures too.
package main
