package meta_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"skerry.dev/skerry/meta"
)

// collect runs a whole collection.
func (w *world) collect() meta.CollectReport {
	w.t.Helper()
	report, err := w.Collect(context.Background(), meta.Collect{})
	w.must(err)
	return report
}

func TestCollectionKeepsWhatIsReferredToAndWaitsForTheGrace(t *testing.T) {
	w := newWorld(t)
	kept := w.push(image("a", "one", []meta.Tag{"v1"}, "config", "layer"))
	junk := w.blob("a", "junk")
	if r := w.collect(); r.Blobs != 0 || r.Kept != 2 || r.Waiting != 1 || r.WaitingBytes != 4 {
		t.Errorf("within the grace: %+v", r)
	}
	w.pass(2 * grace)
	dry, err := w.Collect(t.Context(), meta.Collect{DryRun: true})
	w.must(err)
	if _, err := w.Blob("a", junk); err != nil || !dry.DryRun || dry.Blobs != 1 || dry.Bytes != 4 {
		t.Errorf("dry run %+v, blob %v", dry, err)
	}
	if r := w.collect(); r.Blobs != 1 || r.Bytes != 4 || r.Kept != 2 || r.Waiting != 0 {
		t.Errorf("after it: %+v", r)
	}
	_, err = w.Blob("a", junk)
	w.wants(err, meta.ErrNotFound)
	_, err = w.Manifest("a", kept)
	w.must(err)
	items, err := w.Trash(meta.FirstNode, 0, 10)
	w.must(err)
	if len(items) != 1 || items[0].Digest != junk || items[0].Size != 4 {
		t.Errorf("trash %+v", items)
	}
}

func TestDeletedImageIsKeptForTheGraceThenGone(t *testing.T) {
	w := newWorld(t)
	d := w.push(image("a", "one", []meta.Tag{"v1"}, "config"))
	elsewhere := w.push(image("b", "one", nil, "config"))
	w.pass(10 * grace) // leases of blobs have long ended
	w.must(w.DeleteManifest(t.Context(), "a", d, "alice"))
	w.must(w.DeleteManifest(t.Context(), "b", elsewhere, "alice"))
	w.pass(grace - time.Second)
	if r := w.collect(); r.Blobs+r.Manifests != 0 {
		t.Errorf("within the grace: %+v", r)
	}
	if _, err := w.UndeleteManifest(t.Context(), "b", elsewhere, "alice"); err != nil {
		t.Fatal(err)
	}
	w.pass(time.Minute)
	if r := w.collect(); r.Blobs != 0 || r.Manifests != 1 {
		t.Errorf("one of two gone: %+v", r)
	}
	_, err := w.UndeleteManifest(t.Context(), "a", d, "alice")
	w.wants(err, meta.ErrNotFound)
	_, err = w.Manifest("b", d) // the content they shared is still there
	w.must(err)
	w.must(w.DeleteManifest(t.Context(), "b", d, "alice"))
	w.pass(2 * grace)
	if r := w.collect(); r.Blobs != 1 || r.Manifests != 1 {
		t.Errorf("all gone: %+v", r)
	}
	for _, repo := range []meta.RepoName{"a", "b"} {
		_, _, err := w.Tags(repo, "", 1)
		w.wants(err, meta.ErrRepositoryUnknown)
	}
}

func TestTrashIsSparedWhenTheDigestIsLinkedAgain(t *testing.T) {
	w := newWorld(t)
	d := w.blob("a", "x")
	w.pass(2 * grace)
	w.collect()
	known, err := w.Known(d)
	w.must(err)
	w.blob("a", "x")
	again, err := w.Known(d)
	w.must(err)
	if known || !again {
		t.Errorf("known after condemning %v, after linking again %v", known, again)
	}
	items, err := w.Trash(meta.FirstNode, 0, 10)
	w.must(err)
	if len(items) != 1 || items[0].Digest != d {
		t.Fatalf("trash %+v", items)
	}
	w.must(w.Swept(t.Context(), meta.FirstNode, []uint64{items[0].ID}))
	if items, err = w.Trash(meta.FirstNode, 0, 10); err != nil || len(items) != 0 {
		t.Errorf("trash after sweep %+v (%v)", items, err)
	}
	_, err = w.Blob("a", d)
	w.must(err)
}

func TestTouchedBlobsAreRenewedInsteadOfCondemned(t *testing.T) {
	w := newWorld(t)
	d := w.blob("a", "x")
	w.blob("a", "y")
	w.pass(2 * grace)
	b, err := w.Blob("a", d)
	w.must(err)
	w.Touch(b)
	if r := w.collect(); r.Blobs != 1 || r.Waiting != 1 {
		t.Errorf("%+v", r)
	}
	b, err = w.Blob("a", d)
	w.must(err)
	if !b.Lease.Equal(w.now().Add(grace)) {
		t.Errorf("lease %v at %v", b.Lease, w.now())
	}
	w.Touch(b) // a lease this long is not noted
	w.pass(2 * grace)
	if r := w.collect(); r.Blobs != 1 {
		t.Errorf("touch was remembered for ever: %+v", r)
	}
}

func TestOtherNodesRenewWhatTheyWereAskedFor(t *testing.T) {
	w := newWorld(t)
	w.node("a", "")
	other := w.at(w.node("b", ""))
	x := w.blob("a", "x")
	w.blob("a", "y")
	w.pass(2 * grace)
	before := w.index
	w.must(other.RenewTouched(t.Context()))
	b, err := w.Blob("a", x)
	w.must(err)
	other.Touch(b)
	w.must(other.RenewTouched(t.Context()))
	w.must(other.RenewTouched(t.Context())) // once
	if w.index != before+1 {
		t.Errorf("%d entries", w.index-before)
	}
	if r := w.collect(); r.Blobs != 1 || r.Waiting != 1 {
		t.Errorf("%+v", r)
	}
	if known, err := w.Known(x); !known {
		t.Errorf("a client of another node lost its blob (%v)", err)
	}
}

func TestTouchDuringTheRunIsHonoured(t *testing.T) {
	w := newWorld(t)
	d := w.blob("a", "x")
	w.pass(2 * grace)
	w.after = func(c []byte) {
		if meta.Kind(c) == "begin" {
			b, err := w.Blob("a", d)
			w.must(err)
			w.Touch(b)
		}
	}
	if r := w.collect(); r.Blobs != 0 {
		t.Errorf("%+v", r)
	}
}

func TestTouchesOfAFailedRunAreKeptForTheNext(t *testing.T) {
	w := newWorld(t)
	d := w.blob("a", "x")
	w.pass(2 * grace)
	b, err := w.Blob("a", d)
	w.must(err)
	w.Touch(b)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.Collect(ctx, meta.Collect{}); err == nil {
		t.Error("canceled run: no error")
	}
	if r := w.collect(); r.Blobs != 0 {
		t.Errorf("%+v", r)
	}
}

// A collection that fails every time, and is tried every minute, must not add up.
func TestTouchesOfManyFailedRunsAreKeptInConstantMemory(t *testing.T) {
	w := newWorld(t)
	const runs = 50
	var blobs []meta.Blob
	for i := range runs {
		d := w.blob("a", fmt.Sprint(i))
		b, err := w.Blob("a", d)
		w.must(err)
		blobs = append(blobs, b)
	}
	w.pass(2 * grace)
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, b := range blobs {
		w.Touch(b)
		if _, err := w.Collect(ctx, meta.Collect{}); err == nil {
			t.Error("canceled run: no error")
		}
	}
	if grown := heap() - before; grown > 10<<20 {
		t.Errorf("the heap grew by %d bytes in %d runs", grown, runs)
	}
	if r := w.collect(); r.Blobs != 0 || r.Waiting != runs {
		t.Errorf("forgot what was touched: %+v", r)
	}
}

func TestUnreadableRecordEndsTheCollection(t *testing.T) {
	w := newWorld(t)
	w.push(image("a", "one", nil, "config"))
	w.blob("a", "junk")
	w.pass(2 * grace)
	restore := w.damage("m")
	if r, err := w.Collect(t.Context(), meta.Collect{}); !errors.Is(err, meta.ErrCorrupt) || r.Blobs != 0 {
		t.Errorf("collected %+v, error %v", r, err)
	}
	restore()
	if r := w.collect(); r.Blobs != 1 {
		t.Errorf("after repair %+v", r)
	}
}

func TestOneCollectionAtATime(t *testing.T) {
	w := newWorld(t)
	w.blob("a", "x")
	w.before = func([]byte) {
		w.before = nil
		_, err := w.Collect(context.Background(), meta.Collect{})
		w.wants(err, meta.ErrConflict)
	}
	w.collect()
}

func TestVoidedEpochCondemnsNothing(t *testing.T) {
	w := newWorld(t)
	d := w.blob("a", "x")
	w.pass(2 * grace)
	w.before = func(c []byte) {
		if meta.Kind(c) == "condemn" {
			w.before = nil
			_, err := w.Propose(t.Context(), meta.BeginCommand(w.Store)) // another node began
			w.must(err)
		}
	}
	_, err := w.Collect(t.Context(), meta.Collect{})
	w.wants(err, meta.ErrConflict)
	_, err = w.Blob("a", d)
	w.must(err)
	if r := w.collect(); r.Blobs != 1 {
		t.Errorf("next run %+v", r)
	}
}

func TestIdsGivenOutAfterTheBeginAreSpared(t *testing.T) {
	for _, guard := range []string{"", "ceiling"} {
		w := newWorldWith(t, meta.Seam{Apply: meta.ApplyWithout(guard)})
		_, err := w.Propose(t.Context(), meta.BeginCommand(w.Store))
		w.must(err)
		d := w.blob("a", "young")
		w.pass(2 * grace)
		packed, err := meta.Pack(nil, d)
		w.must(err)
		_, err = w.Propose(t.Context(), w.CondemnCommand(w.Store, packed))
		w.must(err)
		known, err := w.Known(d)
		w.must(err)
		if known != (guard == "") {
			t.Errorf("guard %q removed: known %v", guard, known)
		}
	}
}

// A pusher is a client: it asks for each blob, uploads what is not there, and
// then puts its manifest.
type pusher struct {
	w       *world
	p       meta.PutManifest
	names   []string
	next    int
	trusted bool // it was told of a blob at the instant it was being condemned
}

func newPusher(w *world, repo meta.RepoName, name string, blobs ...string) *pusher {
	return &pusher{w: w, p: image(repo, name, []meta.Tag{meta.Tag(name)}, blobs...), names: blobs}
}

// step does the pusher's next request. condemning says that a condemn command is
// on its way.
func (p *pusher) step(condemning bool) {
	p.w.t.Helper()
	ctx := context.Background()
	if p.next < len(p.names) {
		d := p.p.Blobs[p.next]
		if b, err := p.w.Blob(p.p.Repo, d); err == nil {
			p.w.Touch(b)
			p.trusted = p.trusted || condemning
		} else {
			p.w.must(p.w.LinkBlob(ctx, p.p.Repo, d, int64(len(p.names[p.next])), "p"))
		}
		p.next++
		return
	}
	var missing *meta.MissingError
	err := p.w.PutManifest(ctx, p.p)
	if errors.As(err, &missing) && p.trusted {
		for _, d := range missing.Digests { // refused whole; the client uploads again
			p.w.must(p.w.LinkBlob(ctx, p.p.Repo, d, 3, "p"))
		}
		err = p.w.PutManifest(ctx, p.p)
	}
	p.w.must(err)
}

// interleavings calls f with every order of n steps of one and m of another,
// each spread in every way over the gaps: steps[i] is who goes, at[i] in which gap.
func interleavings(n, m, gaps int, f func(steps, at []int)) {
	var spread func(steps, at []int)
	spread = func(steps, at []int) {
		if len(at) == len(steps) {
			f(steps, at)
			return
		}
		from := 0
		if len(at) > 0 {
			from = at[len(at)-1]
		}
		for g := from; g < gaps; g++ {
			spread(steps, append(at[:len(at):len(at)], g))
		}
	}
	var merge func(steps []int, n, m int)
	merge = func(steps []int, n, m int) {
		if n == 0 && m == 0 {
			spread(steps, nil)
		}
		if n > 0 {
			merge(append(steps[:len(steps):len(steps)], 0), n-1, m)
		}
		if m > 0 {
			merge(append(steps[:len(steps):len(steps)], 1), n, m-1)
		}
	}
	merge(nil, n, m)
}

// TestEveryInterleavingOfPushesAndCollection runs two pushes that share an old
// blob in every order among the steps of a collection: before it begins, before
// it marks, before and after it condemns. No push may fail, and
// what was pushed must be whole.
func TestEveryInterleavingOfPushesAndCollection(t *testing.T) {
	cases := everyInterleaving(newWorld(t))
	if cases != 560 {
		t.Errorf("%d cases", cases)
	}
}

func everyInterleaving(w *world) (cases int) {
	w.t.Helper()
	interleavings(2, 3, 4, func(steps, at []int) {
		repo := meta.RepoName(fmt.Sprintf("r%d", cases))
		old, young, junk := fmt.Sprint("old", cases), fmt.Sprint("new", cases), fmt.Sprint("junk", cases)
		cases++
		w.blob(repo, old)
		w.blob(repo, junk) // so that there is always something to condemn
		w.pass(2 * grace)
		pushers := []*pusher{newPusher(w, repo, "one", old), newPusher(w, repo, "two", old, young)}
		gap, done := -1, 0
		enter := func(g int) {
			before, after := w.before, w.after
			w.before, w.after = nil, nil
			for gap = g; done < len(steps) && at[done] <= g; done++ {
				pushers[steps[done]].step(g == 2)
			}
			w.before, w.after = before, after
		}
		enter(0)
		w.before = func(c []byte) {
			if meta.Kind(c) == "condemn" && gap < 2 {
				enter(2)
			}
		}
		w.after = func(c []byte) {
			switch kind := meta.Kind(c); {
			case kind == "begin":
				enter(1)
			case kind == "condemn" && gap < 3:
				enter(3)
			}
		}
		w.collect()
		w.before, w.after = nil, nil
		for _, p := range pushers {
			if _, err := w.Manifest(repo, p.p.Digest); err != nil {
				w.t.Fatalf("steps %v at %v: %v", steps, at, err)
			}
			for i, d := range p.p.Blobs {
				if _, err := w.Blob(repo, d); err != nil {
					w.t.Fatalf("steps %v at %v: blob %s: %v", steps, at, p.names[i], err)
				}
			}
		}
		w.pass(2 * grace)
	})
	if st, err := w.Stats(); err != nil || st.Manifests != int64(2*cases) {
		w.t.Fatalf("%+v (%v)", st, err)
	}
	w.collect()
	if st, err := w.Stats(); err != nil || st.Blobs != int64(2*cases) {
		w.t.Fatalf("after a quiet collection: %+v (%v), want %d blobs", st, err, 2*cases)
	}
	w.check()
	return cases
}

// A probe stands in for the test to see whether a harness would have failed it.
type probe struct {
	testing.TB
	failed string
}

type probeFailed struct{}

func (p *probe) Helper() {}

func (p *probe) fail(s string) {
	if p.failed == "" {
		p.failed = s
	}
	panic(probeFailed{})
}

func (p *probe) Errorf(format string, args ...any) { p.fail(fmt.Sprintf(format, args...)) }
func (p *probe) Fatalf(format string, args ...any) { p.fail(fmt.Sprintf(format, args...)) }
func (p *probe) Fatal(args ...any)                 { p.fail(fmt.Sprint(args...)) }
func (p *probe) Error(args ...any)                 { p.fail(fmt.Sprint(args...)) }
func (p *probe) Failed() bool                      { return p.failed != "" }
func (p *probe) Cleanup(func())                    {} // the database is closed by the test itself

// caught runs a harness in a world without a guard and returns what it found.
func caught(t *testing.T, guard string, harness func(w *world)) (found string) {
	t.Helper()
	p := &probe{TB: t}
	w := newWorldWith(p, meta.Seam{Apply: meta.ApplyWithout(guard)})
	t.Cleanup(func() { _ = w.db.Close() })
	defer func() {
		found = p.failed
		if r := recover(); r != nil {
			if _, ours := r.(probeFailed); !ours {
				panic(r)
			}
		}
	}()
	harness(w)
	return ""
}

// TestEachGuardIsNecessary removes one guard at a time. The harness that is
// quiet with it must notice; otherwise either is good for nothing.
func TestEachGuardIsNecessary(t *testing.T) {
	histories := func(w *world, seed uint64) {
		m := newModel(w, seed)
		for range 150 {
			switch m.rng.IntN(6) {
			case 0:
				if m.rng.IntN(2) == 0 {
					m.pass(grace + time.Minute) // what nothing refers to may go at once
				}
				m.collect(true)
			case 1:
				m.prune(true)
			default:
				m.step()
			}
			m.compare()
		}
	}
	for _, guard := range []string{"barrier", "lease", "missing", "recheck"} {
		t.Run(guard, func(t *testing.T) {
			for seed := range uint64(40) {
				if found := caught(t, guard, func(w *world) { histories(w, seed) }); found != "" {
					t.Logf("seed %d: %s", seed, found)
					return
				}
			}
			t.Errorf("nobody noticed that guard %q is gone", guard)
		})
	}
	if found := caught(t, "barrier", func(w *world) { everyInterleaving(w) }); found == "" {
		t.Error("the interleavings do not notice that the barrier is gone")
	}
}

// TestPushesRaceCollections is for the race detector: many clients push while
// collections run without a pause and time flies.
func TestPushesRaceCollections(t *testing.T) {
	w := newWorld(t)
	var clients sync.WaitGroup
	stop := make(chan struct{})
	collector := make(chan struct{})
	go func() { // ends before the test does
		defer close(collector)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := w.Collect(context.Background(), meta.Collect{}); err != nil {
				t.Error(err)
				return
			}
			w.pass(grace / 4)
		}
	}()
	for c := range 4 {
		clients.Add(1)
		go func() { // one client
			defer clients.Done()
			repo := meta.RepoName(fmt.Sprintf("r%d", c%2))
			for i := range 100 {
				p := image(repo, fmt.Sprintf("c%d i%d", c, i), []meta.Tag{"latest", meta.Tag(fmt.Sprintf("c%d", c))},
					"base", fmt.Sprintf("layer%d", i%5))
				if !pushRetrying(w, p) {
					t.Errorf("client %d: push %d never went through", c, i)
				}
			}
		}()
	}
	clients.Wait()
	close(stop)
	<-collector
}

// pushRetrying pushes as a client does whose uploads are slower than the grace.
func pushRetrying(w *world, p meta.PutManifest) bool {
	for range 100 {
		for _, d := range p.Blobs {
			if err := w.LinkBlob(context.Background(), p.Repo, d, 5, "c"); err != nil {
				return false
			}
		}
		var missing *meta.MissingError
		switch err := w.PutManifest(context.Background(), p); {
		case err == nil:
			return true
		case !errors.As(err, &missing):
			return false
		}
	}
	return false
}
