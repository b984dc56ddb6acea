package meta_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/meta"
)

// everyCommand is a log with each type of command in it.
func everyCommand(t testing.TB) [][]byte {
	t.Helper()
	w := newWorld(t)
	ctx := t.Context()
	m := newModel(w, 7)
	for range 300 {
		m.step()
	}
	w.must(w.SetTagRules(ctx, []meta.TagRule{{Repositories: "x", Tags: "y", Except: "z"}}, "root"))
	w.must(w.PutAccount(ctx, meta.Account{Name: "bob", Secret: "s", Groups: []string{"g"}}))
	w.must(w.DeleteAccount(ctx, "bob", "root"))
	w.must(w.CreateToken(ctx, meta.Token{Name: "ci", Secret: "s", Expires: w.now()}, []meta.Binding{{Role: "r", On: "*"}}))
	w.must(w.Grant(ctx, meta.Binding{Role: "r", Kind: meta.SubjectGroup, Subject: "g", On: "a/*"}, "root"))
	w.must(w.Revoke(ctx, meta.Binding{Role: "r", Kind: meta.SubjectGroup, Subject: "g", On: "a/*"}, "root"))
	w.must(w.DeleteToken(ctx, "ci", "root"))
	_, err := w.InitSecret(ctx, "key", []byte("value"))
	w.must(err)
	w.must(w.PutSecret(ctx, "other", []byte("value")))
	w.must(w.DeleteSecret(ctx, "other"))
	w.must(w.TakeLock(ctx, "lock", "me", time.Minute))
	w.must(w.DropLock(ctx, "lock", "me"))
	_, err = w.PutResource(ctx, meta.Resource{Kind: "K", Namespace: "ns", Name: "n", Doc: []byte("{}")})
	w.must(err)
	w.must(w.DeleteResource(ctx, "K", "ns", "n"))
	w.must(w.SetTagRules(ctx, nil, "root"))
	w.node("first", "")
	second := w.node("second", "zone")
	w.must(w.SetNodeState(ctx, second, meta.NodeDraining, "root"))
	w.pass(2 * grace)
	w.prune(meta.Prune{})
	shared := w.blob("a", "shared")
	w.must(w.AddHolder(ctx, second, []digest.Digest{shared}))
	_, err = w.DropHolder(ctx, meta.FirstNode, []digest.Digest{shared}, meta.Surplus{Copies: 1})
	w.must(err)
	w.blob("a", "touched")
	w.blob("a", "junk")
	w.pass(4 * grace)
	b, err := w.Blob("a", digest.FromString("touched"))
	w.must(err)
	w.Touch(b)
	w.collect()
	items, err := w.Trash(meta.FirstNode, 0, 100)
	w.must(err)
	for _, i := range items {
		w.must(w.Swept(ctx, meta.FirstNode, []uint64{i.ID}))
		w.must(w.Swept(ctx, second, []uint64{i.ID}))
	}
	seen := map[byte]bool{}
	for _, c := range w.log {
		seen[c[3]] = true
	}
	for i, name := range meta.CommandNames() {
		if !seen[byte(i)] {
			t.Errorf("no command of type %d %s", i, name)
		}
	}
	return w.log
}

// TestSameLogSameState applies one log in differently cut batches.
func TestSameLogSameState(t *testing.T) {
	log := everyCommand(t)
	var sums []digest.Digest
	var results [][]byte
	for _, seed := range []uint64{0, 1, 2} {
		db, err := meta.OpenDB(meta.DBConfig{Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(seed, 0))
		var got [][]byte
		for at := 0; at < len(log); {
			n := 1
			if seed > 0 {
				n = min(1+rng.IntN(40), len(log)-at)
			}
			indexes := make([]uint64, n)
			for i := range indexes {
				indexes[i] = uint64(10 + at + i)
			}
			res, err := db.Apply(indexes, log[at:at+n], nil)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, res...)
			at += n
			if seed == 2 { // and restarts between them
				if err := db.Checkpoint(0, nil); err != nil {
					t.Fatal(err)
				}
			}
		}
		sum, _, err := db.Digest(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		sums = append(sums, sum)
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if results == nil {
			results = got
		}
		for i := range got {
			if !bytes.Equal(got[i], results[i]) {
				t.Errorf("seed %d: result %d differs", seed, i)
			}
		}
	}
	if sums[0] != sums[1] || sums[0] != sums[2] {
		t.Errorf("exports differ: %s", sums)
	}
}

func TestUnknownCommandsStopTheStateMachine(t *testing.T) {
	w := newWorld(t)
	w.blob("a", "x")
	good := w.log[0]
	before, _, err := w.db.Digest(t.Context())
	w.must(err)
	changed := func(at int, v byte) []byte { c := bytes.Clone(good); c[at] = v; return c }
	for what, c := range map[string][]byte{
		"empty":          {},
		"short":          good[:3],
		"version":        changed(0, 2),
		"flags":          changed(1, 1),
		"type":           changed(2, 9),
		"type 0":         changed(3, 0),
		"no body":        good[:4],
		"cut body":       good[:len(good)-1],
		"trailing":       append(bytes.Clone(good), 0),
		"body of others": changed(3, 11),
	} {
		if _, err := w.db.Apply([]uint64{w.index + 1}, [][]byte{c}, nil); err == nil {
			t.Errorf("%s: applied", what)
		}
	}
	after, _, err := w.db.Digest(t.Context())
	w.must(err)
	if before != after {
		t.Error("a command that was not applied changed something")
	}
}

// One command must not hold up all others for long, whoever proposed it.
func TestOversizedBatchesAreRefused(t *testing.T) {
	w := newWorld(t)
	w.blob("a", "x")
	w.pass(2 * grace)
	_, err := w.Propose(t.Context(), meta.BeginCommand(w.Store))
	w.must(err)
	before, _, err := w.db.Digest(t.Context())
	w.must(err)
	for i, c := range meta.OversizedCommands(w.Store, w.index) {
		res, err := w.Propose(t.Context(), c)
		w.must(err)
		after, _, err := w.db.Digest(t.Context())
		w.must(err)
		if len(res) == 0 || after != before {
			t.Errorf("command %d: result %x, changed %v", i, res, after != before)
		}
	}
}

func TestTimeNeverGoesBack(t *testing.T) {
	w := newWorld(t)
	w.push(manifest("a", "one", []meta.Tag{"v1"}))
	late := w.now()
	w.pass(-time.Hour)
	w.push(manifest("a", "two", []meta.Tag{"v1"}))
	info, err := w.ResolveTag("a", "v1")
	w.must(err)
	if !info.Time.Equal(late) {
		t.Errorf("tag moved at %v, before %v", info.Time, late)
	}
}

func TestProposerErrorsAreUnavailable(t *testing.T) {
	w := newWorld(t)
	w.must(w.PutAccount(t.Context(), meta.Account{Name: "x"}))
	s := meta.NewStore(w.db, failing{}, meta.StoreConfig{})
	err := s.LinkBlob(t.Context(), "a", digest.FromString("x"), 1, "")
	if !errors.Is(err, meta.ErrUnavailable) || !errors.Is(err, errFailing) {
		t.Errorf("error %v", err)
	}
}

var errFailing = errors.New("no leader")

type failing struct{}

func (failing) Propose(_ context.Context, _ []byte) ([]byte, error) { return nil, errFailing }

// FuzzCommand: what can be decoded survives encoding, and applying anything
// whatsoever neither panics nor breaks an invariant.
func FuzzCommand(f *testing.F) {
	seen := map[byte]bool{}
	for _, c := range everyCommand(f) {
		if !seen[c[3]] {
			f.Add(c)
			seen[c[3]] = true
		}
	}
	f.Fuzz(func(t *testing.T, c []byte) {
		once, err := meta.Transcode(c)
		if err != nil {
			return
		}
		twice, err := meta.Transcode(once)
		if err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("%x became %x, then %x (%v)", c, once, twice, err)
		}
		w := newWorld(t)
		w.unheld = w.lost
		w.node("a", "")
		w.node("b", "")
		w.push(image("a", "one", []meta.Tag{"v1"}, "config"))
		w.must(w.DeleteManifest(t.Context(), "a", w.push(manifest("a", "two", nil)), ""))
		w.index++
		_, _ = w.db.Apply([]uint64{w.index}, [][]byte{c}, nil)
	})
}

// A command in the log that no node can decode stops all of them, at every start: no client may get
// one agreed upon.
func TestWhatCannotBeDecodedIsNeverProposed(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	subject := manifest("a", "subject", nil).Digest
	annotated := manifest("a", "annotated", nil)
	annotated.Subject, annotated.Annotations = subject, map[string]string{}
	for i := range 1<<17 + 1 { // in a manifest of 2 MB
		annotated.Annotations[fmt.Sprint(i)] = ""
	}
	typed := manifest("a", "typed", nil)
	typed.MediaType = "application/\xff"
	_, undelete := w.UndeleteTag(ctx, "a", "v\xff", "alice")
	for name, err := range map[string]error{
		"annotations": w.PutManifest(ctx, annotated),
		"media type":  w.PutManifest(ctx, typed),
		"repository":  w.LinkBlob(ctx, "\xff", subject, 1, "alice"),
		"actor":       w.LinkBlob(ctx, "a", subject, 1, "\xff"),
		"tag":         undelete,
		"account":     w.PutAccount(ctx, meta.Account{Name: "\xff"}),
	} {
		if !errors.Is(err, meta.ErrName) || errors.Is(err, meta.ErrUnavailable) {
			t.Errorf("%s: %v, want ErrName", name, err)
		}
	}
	if len(w.log) > 0 {
		t.Errorf("%d commands were proposed", len(w.log))
	}
}
