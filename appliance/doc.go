// Package appliance is the whole: it configures, wires and runs the parts, and
// does what no part can do alone.
//
//	main → cli → setting                               what can be set
//	           → appliance → registry · api            what clients see
//	                       → peer · replicate          what other nodes see, and copies of blobs there
//	                       → auth · kube/resource      shared by what clients see
//	                       → blobstore · meta · raft · tls
//
// The foundations in the last row know nothing of each other. [Open] joins
// them, top to bottom, in the order in which they need each other; Run owns
// every goroutine; Close is Open in reverse.
//
// A push:
//
//	POST, PATCH, PUT blob   registry → blobstore: one pass of write and hash; fsync, rename, fsync
//	                        registry → meta.Store → raft: LinkBlob, one entry    → 201
//	PUT manifest            registry → meta.Store → raft: PutManifest with its tags, one entry;
//	                        apply refuses it unless every reference is linked    → 201
//
// A pull:
//
//	GET manifest by tag     registry → meta.DB: one read transaction
//	GET blob                registry → meta.DB: may this repository read it?  → blobstore: open, send
//
// With other nodes there is more to both. Here the parts that do it meet, in cluster….go:
//
//	PUT blob                replicate: hints to the nodes that are to have a copy; they fetch it from here (peer)
//	PUT manifest            replicate: wait until every blob has its copies; raft: the command goes to who leads (peer)
//	GET manifest by tag     raft: a read index of who leads (peer), or the answer says that it may be stale
//	GET blob                replicate: from here, or from who has it (peer), kept if it belongs here
//	PATCH, PUT blob         peer: to the node that has the upload
//
// What joins bytes and metadata is here: garbage collection ([blobstore] alone
// does not know what is referenced, [meta] alone has no files), scrubbing,
// checking, backup and restore, and what the disk's pressure means for writes.
// So are the configuration objects' effects: a request passes the gate that they
// set before it reaches the registry. So are the probes, and the one registry of the metrics in which every part
// measures itself.
package appliance
