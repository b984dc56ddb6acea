// Package point names the instants of the durable sequences at which a crash
// is worth trying.
//
// Production code calls [At] between two steps of such a sequence. In an
// ordinary build the call is empty and costs nothing; built with the tag
// crashpoints, it kills the process at the point that the environment variable
// SKERRY_CRASH_AT names, so that test/crash can reopen what was left.
//
// Every package may import this one; it imports nothing of ours.
package point
