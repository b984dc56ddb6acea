// Package blobstoretest holds what every implementation of a blob store must
// do, as a test: [Run]. The local one is [skerry.dev/skerry/blobstore].
//
// The suite asks only what callers can see. What a particular medium adds,
// such as power cuts, full disks and rotten bytes, is for the tests of the
// implementation.
package blobstoretest
