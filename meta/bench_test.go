package meta_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"skerry.dev/skerry/meta"
)

// filled is a database of n pushed images over repos repositories: each manifest
// of 1.2 KB has two blobs of its own and refers to four of its repository's.
type filled struct {
	*world
	repos int
	next  uint64
	old   map[int][]digest.Digest // some blobs of each repository
}

func fill(b testing.TB, n, repos int) *filled {
	b.Helper()
	f := &filled{world: newWorld(b), repos: repos, old: map[int][]digest.Digest{}}
	f.push(n, 512, func() {})
	return f
}

// push fills in n more images, batch commands to a transaction, and calls then
// after each.
func (f *filled) push(n, batch int, then func()) {
	w := f.world
	b := f.t
	b.Helper()
	var indexes []uint64
	var commands [][]byte
	flush := func() {
		if _, err := w.db.Apply(indexes, commands, nil); err != nil {
			b.Fatal(err)
		}
		indexes, commands = indexes[:0], commands[:0]
		then()
	}
	collect := collector(func(c []byte) {
		w.index++
		indexes, commands = append(indexes, w.index), append(commands, c)
	})
	s := meta.NewStore(w.db, collect, meta.StoreConfig{Grace: grace, Now: w.now})
	for i := range n {
		f.pushOne(s, i%f.repos)
		if len(commands) >= batch {
			flush()
		}
	}
	flush()
}

// A collector takes commands instead of agreeing upon them.
type collector func(c []byte)

func (c collector) Propose(_ context.Context, command []byte) ([]byte, error) {
	c(command)
	return nil, nil
}

func (f *filled) digest() digest.Digest {
	f.next++
	return digest.FromBytes(binary.BigEndian.AppendUint64(nil, f.next))
}

func repoName(i int) meta.RepoName { return meta.RepoName(fmt.Sprintf("team%03d/app%05d", i%100, i)) }

// pushOne links two new blobs and puts a manifest that refers to six.
func (f *filled) pushOne(s *meta.Store, repo int) {
	name := repoName(repo)
	blobs := append([]digest.Digest{f.digest(), f.digest()}, f.old[repo]...)
	for _, d := range blobs[:2] {
		if err := s.LinkBlob(context.Background(), name, d, 1<<20, "ci"); err != nil {
			f.t.Fatal(err)
		}
	}
	if len(f.old[repo]) < 4 {
		f.old[repo] = append(f.old[repo], blobs[:2]...)
	}
	payload := make([]byte, 1200)
	binary.BigEndian.PutUint64(payload, f.next)
	err := s.PutManifest(context.Background(), meta.PutManifest{
		Repo: name, Digest: digest.FromBytes(payload), MediaType: ocispec.MediaTypeImageManifest,
		Payload: payload, Tags: []meta.Tag{meta.Tag(fmt.Sprintf("v%d", f.next))}, Actor: "ci", Blobs: blobs,
	})
	if err != nil {
		f.t.Fatal(err)
	}
}

func benchFilled(b *testing.B) *filled {
	b.Helper()
	f := fill(b, 20_000, 500)
	b.ReportAllocs()
	return f
}

// loop is b.Loop that also reports CPU time: the one figure that holds on a
// machine that is shared.
func loop(b *testing.B, f func()) {
	b.Helper()
	used := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	runtime.GC()
	before := used()
	for b.Loop() {
		f()
	}
	b.ReportMetric(float64((used()-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
}

func BenchmarkTagManifest(b *testing.B) {
	f := benchFilled(b)
	tags, _, err := f.Tags(repoName(7), "", 1)
	f.must(err)
	loop(b, func() {
		if _, err := f.TagManifest(repoName7, tags[0]); err != nil {
			b.Fatal(err)
		}
	})
}

const repoName7 = meta.RepoName("team007/app00007")

func BenchmarkStatTag(b *testing.B) {
	f := benchFilled(b)
	tags, _, err := f.Tags(repoName7, "", 1)
	f.must(err)
	loop(b, func() {
		if _, _, err := f.StatTag(repoName7, tags[0]); err != nil {
			b.Fatal(err)
		}
	})
}

func BenchmarkManifest(b *testing.B) {
	f := benchFilled(b)
	tags, _, err := f.Tags(repoName7, "", 1)
	f.must(err)
	info, err := f.ResolveTag(repoName7, tags[0])
	f.must(err)
	loop(b, func() {
		if _, err := f.Manifest(repoName7, info.Digest); err != nil {
			b.Fatal(err)
		}
	})
}

func BenchmarkBlob(b *testing.B) {
	f := benchFilled(b)
	d := f.old[7][0]
	loop(b, func() {
		blob, err := f.Blob(repoName7, d)
		if err != nil {
			b.Fatal(err)
		}
		f.Touch(blob)
	})
}

// BenchmarkPutManifest is the state machine's part of one push: two links and a
// manifest, each a transaction of its own as on an idle node.
func BenchmarkPutManifest(b *testing.B) {
	f := benchFilled(b)
	ctx, cancel := context.WithCancel(context.Background())
	running := make(chan error)
	go func() { running <- f.db.Run(ctx) }() // checkpoints, as in life
	defer func() { cancel(); f.must(<-running) }()
	rng := rand.New(rand.NewPCG(1, 1))
	loop(b, func() {
		f.pushOne(f.Store, rng.IntN(f.repos))
	})
}

func BenchmarkTagsPage100of10000(b *testing.B) {
	w := newWorld(b)
	for i := range 100 {
		var tags []meta.Tag
		for j := range 100 {
			tags = append(tags, meta.Tag(fmt.Sprintf("v%05d", i*100+j)))
		}
		w.push(manifest("a", fmt.Sprint(i), tags))
	}
	b.ReportAllocs()
	loop(b, func() {
		if tags, _, err := w.Tags("a", "v05000", 100); err != nil || len(tags) != 100 {
			b.Fatal(len(tags), err)
		}
	})
}

func BenchmarkRepositoriesPage(b *testing.B) {
	w := newWorld(b)
	for i := range 5000 {
		w.push(manifest(repoName(i), "one", nil))
	}
	b.ReportAllocs()
	loop(b, func() {
		if names, _, err := w.Repositories("team050/app", 100); err != nil || len(names) != 100 {
			b.Fatal(len(names), err)
		}
	})
}

// BenchmarkUnlinkBlob is what asking whether a blob may be unlinked costs, among
// 10,000 manifests of which none refers to it.
func BenchmarkUnlinkBlob(b *testing.B) {
	f := fill(b, 10_000, 1)
	packed, err := meta.Pack(nil, f.blob(repoName(0), "x"))
	f.must(err)
	b.ReportAllocs()
	loop(b, func() {
		if used, err := f.RefersTo(repoName(0), packed); err != nil || used {
			b.Fatal(used, err)
		}
	})
}

func BenchmarkCollectDryRun(b *testing.B) {
	f := benchFilled(b)
	loop(b, func() {
		if _, err := f.Collect(context.Background(), meta.Collect{DryRun: true}); err != nil {
			b.Fatal(err)
		}
	})
}

// BenchmarkRecord is why some records are packed by hand (FORMAT.md).
func BenchmarkRecord(b *testing.B) {
	for name, read := range meta.RecordReaders() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			loop(b, func() {
				if err := read(); err != nil {
					b.Fatal(err)
				}
			})
		})
	}
}

// BenchmarkFill says what an image costs on the disk, with as many of them as
// -benchtime asks for (500000x gives the table of FORMAT.md): bytes kept, bytes
// written, and how long the database then takes to open.
func BenchmarkFill(b *testing.B) {
	dir := b.TempDir()
	open := func() *meta.DB {
		db, err := meta.OpenDB(meta.DBConfig{Dir: dir})
		if err != nil {
			b.Fatal(err)
		}
		return db
	}
	w := &world{t: b, db: open(), clock: time.UnixMilli(1_800_000_000_000)}
	f := &filled{world: w, repos: max(1, min(20_000, b.N/10)), old: map[int][]digest.Digest{}}
	written := int64(0)
	start := time.Now()
	f.push(b.N, 32*3, func() {
		if dirty := w.db.Dirty(); dirty > 32<<20 {
			written += dirty
			f.must(w.db.Checkpoint(0, nil))
		}
	})
	b.ReportMetric(float64(b.N)/time.Since(start).Seconds(), "images/s")
	written += w.db.Dirty()
	sizes, total, err := w.db.BucketBytes()
	f.must(err)
	for name, size := range sizes {
		b.ReportMetric(float64(size)/float64(b.N), name+"-B/image")
	}
	b.ReportMetric(float64(total)/float64(b.N), "B/image")
	b.ReportMetric(float64(written)/float64(b.N), "written-B/image")
	f.must(w.db.Close())
	start = time.Now()
	w.db = open()
	st, err := w.db.Stats()
	f.must(err)
	b.ReportMetric(float64(time.Since(start).Microseconds())/1000, "open-ms")
	if st.Manifests != int64(b.N) {
		b.Errorf("%d manifests", st.Manifests)
	}
	start = time.Now()
	report, err := meta.NewStore(w.db, w, meta.StoreConfig{}).Collect(context.Background(), meta.Collect{DryRun: true})
	f.must(err)
	b.ReportMetric(float64(report.Mark.Microseconds())/1000, "mark-ms")
	b.ReportMetric(float64(time.Since(start).Microseconds())/1000, "rehearse-ms")
	f.must(w.db.Close())
}
