// Package blobstore keeps content-addressed blobs on this node's disk.
//
// A [Store] is a directory. Bytes arrive in an [Upload], which hashes them
// while they are written; [Upload.Commit] checks the hash, makes the bytes
// durable and only then gives them the name of their digest. So a file under
// blobs/ always held the right bytes when it got its name, whatever crashed:
//
//	Create ─▶ Write, ReadFrom ─▶ Close ⇄ Resume ─▶ Commit ─▶ Pin … Release
//	           one hash, no copy                    sync file, rename, sync directory
//
// What rots later is found by [Store.Verify], which moves it to quarantine
// where nothing serves it; committing the same digest again heals it.
//
// A blob is kept from [Store.Remove] by pins: Commit returns one, so that the
// metadata has time to learn of the blob before a sweep could take it for
// garbage.
//
// [Store.Usage] says how full the disk is. A ballast file is given up by
// [Store.Relieve] when nothing else is left, so that deletes, which must write
// before they free anything, still work on a full disk.
//
// The package knows nothing of repositories, tags, permissions or other nodes,
// and starts no goroutine: whoever opens a Store calls PurgeUploads, Verify and
// Relieve at the times it finds right. It takes no lock on its directory; two
// processes must not open the same one.
//
// FORMAT.md describes the directory and what each crash leaves in it.
// Everything that writes, syncs or renames is in durable.go. [Store.Collectors] are its
// metrics.
package blobstore
