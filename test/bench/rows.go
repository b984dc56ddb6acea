package main

import "context"

// A Row is one line of the table: what is done, and what is hoped for.
type Row struct {
	Name string `json:"name"`
	What string `json:"what"`
	Unit Unit   `json:"unit"`
	// Ratio is how often distribution's figure must hold ours; 0: no such aim.
	Ratio float64 `json:"ratioAim,omitempty"`
	// Most is what our own figure may be at most, in the unit's base; 0: no such aim.
	Most float64 `json:"mostAim,omitempty"`
	// Sized: the figure depends on Sizes, and so the aim holds only for the full ones.
	Sized bool `json:"-"`
}

// A Unit says what a row's figure is. Less is better for all of them.
type Unit string

const (
	perOp   Unit = "CPU s/op" // server CPU per operation
	wait    Unit = "s"        // what somebody waited for
	memory  Unit = "B"        // bytes, of memory or of a file
	perPush Unit = "sync/op"  // calls that wait for the disk
)

// A group is rows that share servers and content.
type group struct {
	name string
	rows []string
	run  func(*Bench, context.Context) error
}

func groups() []group {
	return []group{
		{"small requests", []string{
			"ping", "manifest-tag", "manifest-digest", "manifest-head", "blob-head", "blob-4k",
			"blob-head-latency", "blob-4k-latency", "manifest-latency",
		}, (*Bench).small},
		{"small pushes", []string{"push-image", "push-image-4", "push-tag", "push-syncs"}, (*Bench).pushes},
		{"tags", []string{"tags-page", "manifest-of-many"}, (*Bench).tags},
		{"catalog", []string{"catalog-page", "catalog-page-spread"}, (*Bench).catalog},
		{"large blobs", []string{"large-push", "large-push-patch", "large-pull"}, (*Bench).large},
		{"large blobs over TLS", []string{"large-push-tls", "large-pull-tls"}, (*Bench).largeTLS},
		{"start", []string{"start-first", "start-empty", "idle", "idle-cpu"}, (*Bench).starts},
		{"start with content", []string{
			"start-many", "start-many-killed", "start-many-cold", "idle-many", "idle-many-cpu",
		}, (*Bench).startsMany},
		{"program", []string{"binary"}, (*Bench).binary},
	}
}

// rows is the table from top to bottom. The aims are the project's own.
func rows(s Sizes) []Row {
	tags, repos, large, manifests := count(s.Tags), count(s.Repositories), size(float64(s.Large)), count(s.Manifests)
	return []Row{
		{Name: "ping", What: "GET /v2/", Unit: perOp, Ratio: 5},
		{Name: "manifest-tag", What: "GET manifest by tag", Unit: perOp, Ratio: 7.5},
		{Name: "manifest-digest", What: "GET manifest by digest", Unit: perOp, Ratio: 6.5},
		{Name: "manifest-head", What: "HEAD manifest by tag", Unit: perOp},
		{Name: "blob-head", What: "HEAD blob", Unit: perOp, Ratio: 9},
		{Name: "blob-4k", What: "GET 4 KiB blob", Unit: perOp, Ratio: 55},
		{Name: "blob-head-latency", What: "HEAD blob, one client: p50", Unit: wait},
		{Name: "blob-4k-latency", What: "GET 4 KiB blob, one client: p50", Unit: wait},
		{Name: "manifest-latency", What: "GET manifest by tag, one client: p50", Unit: wait},

		{Name: "push-image", What: "push 2 blobs + 1 manifest, durable", Unit: perOp, Ratio: 3},
		{Name: "push-image-4", What: "the same, 4 clients", Unit: perOp, Ratio: 3},
		{Name: "push-tag", What: "one more tag", Unit: perOp, Ratio: 4},
		{Name: "push-syncs", What: "fsync and fdatasync per pushed image", Unit: perPush},

		{Name: "tags-page", What: "page of 100 of " + tags + " tags", Unit: perOp, Ratio: 60, Sized: true},
		{Name: "manifest-of-many", What: "GET manifest among " + tags + " tags", Unit: perOp, Ratio: 8, Sized: true},
		{Name: "catalog-page", What: "page of 100 of " + repos + " repositories", Unit: perOp, Ratio: 50, Sized: true},
		{Name: "catalog-page-spread", What: "the same in 100 namespaces", Unit: perOp},

		{Name: "large-push", What: "push " + large + ", one PUT", Unit: perOp, Ratio: 1.5, Sized: true},
		{Name: "large-push-patch", What: "push " + large + ", streamed PATCH", Unit: perOp, Sized: true},
		{Name: "large-pull", What: "pull " + large, Unit: perOp, Ratio: 1.5, Sized: true},
		{Name: "large-push-tls", What: "push " + large + " over TLS, one PUT", Unit: perOp, Sized: true},
		{Name: "large-pull-tls", What: "pull " + large + " over TLS", Unit: perOp, Ratio: 1.3, Sized: true},

		{Name: "start-first", What: "exec to ready, first start", Unit: wait, Most: 0.050},
		{Name: "start-empty", What: "exec to ready, empty", Unit: wait, Most: 0.050},
		{Name: "start-many", What: "exec to ready, " + manifests + " manifests", Unit: wait, Most: 1, Sized: true},
		{Name: "start-many-killed", What: "the same after kill -9", Unit: wait, Most: 1, Sized: true},
		{Name: "start-many-cold", What: "the same, nothing in the page cache", Unit: wait, Sized: true},
		{Name: "idle", What: "RSS idle, empty", Unit: memory, Most: 45e6},
		{Name: "idle-many", What: "RSS idle, " + manifests + " manifests", Unit: memory},
		{Name: "idle-cpu", What: "CPU per second, idle, empty", Unit: perOp},
		{Name: "idle-many-cpu", What: "CPU per second, idle, " + manifests + " manifests", Unit: perOp},
		{Name: "binary", What: "size of the program", Unit: memory, Most: 80e6},
	}
}
