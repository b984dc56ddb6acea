// Package object keeps content-addressed blobs in an object store: S3 and what
// speaks its protocol, Google Cloud Storage, or Azure, through the storage
// drivers of distribution.
//
// A [Store] means what a [blobstore.Store] means, method by method, and its
// uploads are such a store's: they are received, hashed and resumed on the
// local disk. Commit compares the hash and sends the bytes on; the blob has
// its name when the object store has all of it:
//
//	Create ─▶ Write, ReadFrom ─▶ Close ⇄ Resume ─▶ Commit ─▶ Pin … Release
//	          one hash, local disk                 put, stat, drop the local file
//
// What is not acknowledged is either still on the local disk, to be committed
// again, or was never whole. What a process that was killed leaves half sent
// is found again and dropped by [Store.PurgeUploads].
//
// Bytes read are not kept: every read asks the object store, and is bounded in
// time. A store that does not answer is [blobstore.ErrUnavailable], one that
// does not do as it is asked (credentials, bucket) [blobstore.ErrRefused]. [Open]
// asks nothing, so that a registry starts while its store is away;
// [Store.Reach] tells how it is.
//
// One bucket and prefix belong to one registry: a scrub removes what the
// metadata does not know, which must not be another's. The first write leaves
// the registry's name there, and a store that finds another name neither
// writes nor removes.
//
// FORMAT.md describes the bucket. The package knows nothing of repositories
// and permissions, and starts no goroutine.
package object
