// Package crash kills the real binary and looks at what is left.
//
// Package ledger remembers what the registry acknowledged while workers push,
// move tags and delete. After each kill the registry is started again on the
// same data, and everything in the ledger must be there, byte for byte; what
// was under way when it died may have happened or not, but nothing else.
//
//	kill_test.go    SIGKILL at random moments under load, round after round
//	points_test.go  SIGKILL at each named point of each durable sequence
//	notice_test.go  shows that the ledger notices what is lost
//
// The tests need the build tag crash and bin/skerry: make crash.
package crash
