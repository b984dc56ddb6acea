// Package registry is the /v2/ surface: the OCI distribution protocol over
// [meta.Store], which knows, and [blobstore.Store], which holds the bytes.
//
// # Two handlers, one repository
//
//	request ──▶ front ──────────────────────────────▶ repository ──▶ meta, blobs
//	              │  manifests, blobs, uploads,          ▲
//	              │  referrers, tags, catalog, ping      │ as distribution.Repository
//	              └─▶ distribution's App ────────────────┘
//	                 DELETE of blobs, and paths the front does not know
//
// The front parses the path once into a valid target, asks the [Authorizer], and
// calls one method of repository. Distribution's App stands behind it over the same
// repository type, so there is one push and one delete, not two. In the tests App is
// the oracle: it serves every route and both sides answer the same script.
// appliance/doc/adr/0001-embed-distribution-at-the-namespace.md says why.
//
// # What a push promises
//
// A blob's 201 is sent after its bytes are synced and the metadata knows that this
// repository may read them; the pin taken by the commit keeps the collector away in
// between. A manifest and all its tags are one agreed command, which checks again
// that everything referenced is linked.
//
// An upload that is not over yet belongs to the actor who began it, in the repository
// where it began. To everybody else its id names nothing.
//
// # What this package does not know
//
// Who a caller is ([Authorizer] does), how other nodes are reached ([Cluster] does), and
// what keeps content alive.
//
// # Caveats
//
//   - Distribution finds its parts in process-wide maps, and logs through logrus' standard
//     logger. distribution.go is the only file that touches either; when several handlers
//     live in one process, App's log lines go to the one made last.
//   - A body is not bounded in time but in progress: [Handler] ends one that brings less
//     than 1 KiB/s for a minute. A server's ReadTimeout would cut long uploads; leave it 0.
//   - Mount the handler so that it sees the path as it was sent: [net/http.ServeMux] cleans
//     paths and redirects before a registry could refuse them.
package registry
