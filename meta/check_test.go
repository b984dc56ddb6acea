package meta_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/meta"
)

// fullWorld has a record in every bucket, and a collection that runs.
func fullWorld(t testing.TB) *world {
	t.Helper()
	w := newWorld(t)
	ctx := context.Background()
	w.node("a", "east")
	second, third := w.node("b", "west"), w.node("c", "west")
	trash := w.blob("a", "goes to the trash")
	w.must(w.AddHolder(ctx, second, []digest.Digest{trash}))
	w.must(w.AddHolder(ctx, third, []digest.Digest{trash}))
	w.must(w.SetNodeState(ctx, third, meta.NodeGone, ""))
	w.push(image("b", "dies in b, lives in c", nil, "config"))
	w.must(w.DeleteManifest(ctx, "b", manifest("b", "dies in b, lives in c", nil).Digest, ""))
	w.pass(2 * grace)
	w.collect()
	gone := w.push(manifest("b", "an orphan", nil))
	w.must(w.DeleteManifest(ctx, "b", gone, ""))
	w.pass(2 * grace)
	w.before = func(c []byte) { // the collection stops between ending the grace and marking
		if meta.Kind(c) == "begin" {
			panic(errStopHere)
		}
	}
	func() {
		defer func() {
			if err, _ := recover().(error); !errors.Is(err, errStopHere) {
				panic(err)
			}
		}()
		_, _ = w.Collect(ctx, meta.Collect{})
	}()
	w.before = nil
	child := w.push(image("a", "child", []meta.Tag{"child"}, "config", "layer"))
	index := manifest("a", "index", []meta.Tag{"v1", "v2"})
	index.Manifests = []digest.Digest{child, digest.FromString("sparse")}
	w.push(index)
	sig := manifest("a", "sig", nil)
	sig.Subject = index.Digest
	w.push(sig)
	w.must(w.DeleteTag(ctx, "a", "v2", ""))
	deleted := image("a", "deleted", []meta.Tag{"old"}, "config")
	deleted.Subject = index.Digest
	w.must(w.DeleteManifest(ctx, "a", w.push(deleted), ""))
	w.must(w.SetTagRules(ctx, []meta.TagRule{{Repositories: "prod", Tags: "*"}}, ""))
	w.must(w.PutAccount(ctx, meta.Account{Name: "bob"}))
	w.must(w.CreateToken(ctx, meta.Token{Name: "ci"}, []meta.Binding{{Role: "r", On: "*"}}))
	_, err := w.InitSecret(ctx, "key", []byte("v"))
	w.must(err)
	w.must(w.TakeLock(ctx, "lock", "me", time.Minute))
	_, err = w.PutResource(ctx, meta.Resource{Kind: "K", Name: "n"})
	w.must(err)
	_, err = w.Propose(ctx, meta.BeginCommand(w.Store))
	w.must(err)
	w.push(image("a", "child", nil, "config"))
	w.check()
	return w
}

var errStopHere = errors.New("stop here")

// problems counts what the check finds.
func (w *world) problems() (n int) {
	w.t.Helper()
	for _, err := range w.db.Check(context.Background()) {
		w.must(err)
		n++
	}
	return n
}

// TestCheckNoticesEachMissingOrDamagedRecord takes away, cuts and changes every
// single record. Only what stands for itself may go unnoticed.
func TestCheckNoticesEachMissingOrDamagedRecord(t *testing.T) {
	w := fullWorld(t)
	alone := map[string]bool{ // nothing else tells of them
		"rule": true, "acc": true, "sec": true, "lock": true, "res": true, "trash": true, "gp": true, "role": true,
	}
	for _, bucket := range meta.Buckets() {
		keys, values, err := w.db.Records(bucket)
		w.must(err)
		if len(keys) == 0 {
			t.Errorf("bucket %s is empty: nothing to damage", bucket)
		}
		for i, k := range keys {
			notice := func(what string) {
				t.Helper()
				if w.problems() == 0 {
					t.Errorf("%s %x (%x): %s, and the check is content", bucket, k, values[i], what)
				}
			}
			w.must(w.db.Write(bucket, k, nil))
			// An older line of a history may have been pruned.
			old := bucket == "th" && i > 0 && bytes.HasPrefix(keys[i-1], k[:len(k)-8])
			if !alone[bucket] && !old {
				notice("gone")
			}
			if n := len(values[i]); n > 0 && bucket != "sec" {
				w.must(w.db.Write(bucket, k, values[i][:n-1]))
				notice("cut")
				w.must(w.db.Write(bucket, k, append(bytes.Clone(values[i]), 0)))
				notice("longer")
			}
			w.must(w.db.Write(bucket, k, values[i]))
		}
	}
	w.check()
}

// TestCheckNoticesStrayRecords copies records to keys where none belongs.
func TestCheckNoticesStrayRecords(t *testing.T) {
	w := fullWorld(t)
	for _, bucket := range meta.Buckets() {
		switch bucket {
		case "rule", "acc", "sec", "lock", "res", "tok":
			continue // any key is as good
		}
		keys, values, err := w.db.Records(bucket)
		w.must(err)
		stray := bytes.Clone(keys[0])
		stray[len(stray)/2] ^= 0x40
		w.must(w.db.Write(bucket, stray, values[0]))
		if w.problems() == 0 {
			t.Errorf("%s: stray record %x, and the check is content", bucket, stray)
		}
		w.must(w.db.Write(bucket, stray, nil))
	}
	w.check()
}

func TestCheckStopsWhenTold(t *testing.T) {
	w := fullWorld(t)
	restore := w.damage("m")
	for _, err := range w.db.Check(t.Context()) {
		w.must(err)
		break // must not go on yielding
	}
	restore()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range w.db.Check(ctx) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("canceled check: %v", err)
		}
	}
}

func TestOtherFormatsAreRefused(t *testing.T) {
	dir := t.TempDir()
	db, err := meta.OpenDB(meta.DBConfig{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Write("sys", []byte("format"), []byte{9}), db.Checkpoint(0, nil), db.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := meta.OpenDB(meta.DBConfig{Dir: dir}); !errors.Is(err, meta.ErrFormat) {
		t.Errorf("opened a database of format 9: %v", err)
	}
}
