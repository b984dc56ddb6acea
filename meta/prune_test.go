package meta_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/meta"
)

// retention is OpenShift's, with two revisions.
func retention() meta.Prune {
	return meta.Prune{KeepTagRevisions: 2, KeepYoungerThan: time.Hour, Actor: "pruner"}
}

func (w *world) prune(p meta.Prune) meta.PruneReport {
	w.t.Helper()
	report, err := w.Prune(context.Background(), p)
	w.must(err)
	return report
}

// digests lists those of a report, sorted.
func digests(items []meta.PrunedItem) (all []digest.Digest) {
	for _, i := range items {
		all = append(all, i.Digest)
	}
	slices.Sort(all)
	return all
}

// has says whether repository a holds the manifest.
func (w *world) has(d digest.Digest) bool {
	_, _, err := w.StatManifest("a", d)
	return err == nil
}

// revisions pushes n manifests to tag v1, a minute apart, oldest first.
func (w *world) revisions(n int) (all []digest.Digest) {
	w.t.Helper()
	for i := range n {
		w.pass(time.Minute)
		all = append(all, w.push(manifest("a", fmt.Sprint("rev", i), []meta.Tag{"v1"})))
	}
	return all
}

func TestPruneKeepsTheNewestRevisionsOfATag(t *testing.T) {
	w := newWorld(t)
	all := w.revisions(5)
	w.pass(2 * time.Hour)
	dry := retention()
	dry.DryRun = true
	rehearsed := w.prune(dry)
	if !w.has(all[0]) || !rehearsed.DryRun {
		t.Error("dry run pruned")
	}
	report := w.prune(retention())
	want := slices.Sorted(slices.Values(all[:3]))
	for _, r := range []meta.PruneReport{rehearsed, report} {
		if !slices.Equal(digests(r.Revisions), want) || !slices.Equal(digests(r.Manifests), want) {
			t.Errorf("pruned %+v", r)
		}
	}
	if r := report.Revisions[0]; r.Repo != "a" || r.Tag != "v1" || r.Size == 0 || r.Why == "" {
		t.Errorf("item %+v", r)
	}
	events, err := w.History("a", "v1")
	w.must(err)
	if len(events) != 2 || w.has(all[2]) || !w.has(all[3]) || !w.has(all[4]) {
		t.Errorf("%d lines left", len(events))
	}
	deleted, err := w.DeletedManifests("a")
	w.must(err)
	if len(deleted) != 3 || deleted[0].Reason != "prune" || deleted[0].Actor != "pruner" {
		t.Errorf("deleted %+v", deleted)
	}
	_, err = w.UndeleteManifest(t.Context(), "a", all[0], "")
	w.must(err)
	if again := w.prune(retention()); len(again.Manifests)+len(again.Revisions) != 0 {
		t.Errorf("undeleted a moment ago, pruned %+v", again)
	}
}

func TestPruneKeepsWhatIsYoungOrInUse(t *testing.T) {
	w := newWorld(t)
	all := w.revisions(4)
	loose := w.push(manifest("a", "loose", nil))
	used := w.push(manifest("a", "used", nil))
	if r := w.prune(retention()); len(r.Manifests)+len(r.Revisions) != 0 {
		t.Errorf("young: pruned %+v", r)
	}
	w.pass(2 * time.Hour)
	w.push(manifest("a", "loose", nil)) // pushed again: young again
	p := retention()
	p.InUse = func(repo meta.RepoName, d digest.Digest) bool { return repo == "a" && (d == all[0] || d == used) }
	report := w.prune(p)
	if got := digests(report.Manifests); !slices.Equal(got, all[1:2]) {
		t.Errorf("pruned %v, want revision 2 alone", got)
	}
	if got := digests(report.Revisions); !slices.Equal(got, all[1:2]) {
		t.Errorf("dropped lines %v", got)
	}
	if !w.has(loose) || !w.has(used) || !w.has(all[0]) {
		t.Error("kept too little")
	}
}

// The newest revision of a tag that exists is what users pull: it stays, even
// with KeepTagRevisions 0. A deleted tag protects nothing.
func TestPruneKeepsWhereTagsPoint(t *testing.T) {
	w := newWorld(t)
	all := w.revisions(3)
	gone := w.push(manifest("a", "gone", []meta.Tag{"v2"}))
	w.must(w.DeleteTag(t.Context(), "a", "v2", ""))
	w.push(manifest("a", "rev2", []meta.Tag{"v3"}))
	w.must(w.DeleteTag(t.Context(), "a", "v3", "")) // its history has a deletion in the middle
	w.push(manifest("a", "rev2", []meta.Tag{"v3"}))
	w.pass(2 * time.Hour)
	report := w.prune(meta.Prune{})
	want := slices.Sorted(slices.Values([]digest.Digest{all[0], all[1], gone}))
	if got := digests(report.Manifests); !slices.Equal(got, want) {
		t.Errorf("pruned %v, want %v", got, want)
	}
	events, err := w.History("a", "v3")
	w.must(err)
	if len(events) != 1 || events[0].Generation != 3 {
		t.Errorf("history %+v", events)
	}
}

func TestPruneKeepsChildrenAndReferrersOfWhatIsKept(t *testing.T) {
	w := newWorld(t)
	put := func(name string, tags []meta.Tag, subject digest.Digest, children ...digest.Digest) digest.Digest {
		p := manifest("a", name, tags)
		p.Subject, p.Manifests = subject, children
		return w.push(p)
	}
	leaf := put("leaf", nil, "")
	inner := put("inner", nil, "", leaf)
	put("outer", []meta.Tag{"v1"}, "", inner, inner)
	sig := put("sig", nil, leaf)
	sigOfSig := put("sig of sig", nil, sig)
	looseLeaf := put("loose leaf", nil, "")
	loose := put("loose", nil, "", looseLeaf, leaf)
	looseSig := put("loose sig", nil, loose)
	orphanSig := put("orphan sig", nil, digest.FromString("never here"))
	tagged := put("tagged sig", []meta.Tag{"sha256-x.sig"}, loose)
	w.pass(2 * time.Hour)
	report := w.prune(retention())
	want := slices.Sorted(slices.Values([]digest.Digest{looseLeaf, loose, looseSig, orphanSig}))
	if got := digests(report.Manifests); !slices.Equal(got, want) {
		t.Errorf("pruned %v, want %v", got, want)
	}
	for _, d := range []digest.Digest{leaf, inner, sig, sigOfSig, tagged} {
		if !w.has(d) {
			t.Errorf("%s is gone", d)
		}
	}
}

// Each level lists the one below many times: a walk that does not remember where
// it has been would take 2^40 steps.
func TestPruneWalksNestedIndexesOnce(t *testing.T) {
	w := newWorld(t)
	below := w.push(manifest("a", "level0", nil))
	for level := range 40 {
		p := manifest("a", fmt.Sprint("level", level+1), nil)
		p.Manifests = []digest.Digest{below, below}
		below = w.push(p)
	}
	w.push(manifest("a", "level0", nil))
	top := manifest("a", "top", []meta.Tag{"v1"})
	top.Manifests = []digest.Digest{below, below}
	w.push(top)
	w.pass(2 * time.Hour)
	if r := w.prune(retention()); len(r.Manifests) != 0 {
		t.Errorf("pruned %+v", r)
	}
	w.must(w.DeleteTag(t.Context(), "a", "v1", ""))
	if r := w.prune(retention()); len(r.Manifests) != 42 {
		t.Errorf("pruned %d of 42", len(r.Manifests))
	}
}

func TestPushBetweenDecisionAndDeletionWins(t *testing.T) {
	for _, guard := range []string{"", "recheck"} {
		for name, rescue := range map[string]func(w *world, loose meta.PutManifest){
			"push":  func(w *world, loose meta.PutManifest) { w.push(loose) },
			"tag":   func(w *world, loose meta.PutManifest) { loose.Tags = []meta.Tag{"v9"}; w.push(loose) },
			"index": func(w *world, loose meta.PutManifest) { w.push(indexOf("new index", loose.Digest)) },
		} {
			t.Run(guard+" "+name, func(t *testing.T) {
				w := newWorldWith(t, meta.Seam{Apply: meta.ApplyWithout(guard)})
				loose := manifest("a", "loose", nil)
				other := w.push(manifest("a", "other", nil))
				w.push(loose)
				w.pass(2 * time.Hour)
				w.before = func(c []byte) {
					if meta.Kind(c) == "pruneManifests" {
						w.before = nil
						w.pass(time.Second)
						rescue(w, loose)
					}
				}
				report := w.prune(retention())
				if w.has(other) {
					t.Error("the other one is still there")
				}
				if guarded := guard == ""; w.has(loose.Digest) != guarded || guarded != (len(report.Manifests) == 1) {
					t.Errorf("guard %q removed: kept %v, report %+v", guard, w.has(loose.Digest), report)
				}
			})
		}
	}
}

// indexOf lists children.
func indexOf(name string, children ...digest.Digest) meta.PutManifest {
	p := manifest("a", name, nil)
	p.Manifests = children
	return p
}

// A manifest whose subject comes between decision and deletion is a referrer again.
func TestSubjectBetweenDecisionAndDeletionProtects(t *testing.T) {
	w := newWorld(t)
	subject := manifest("a", "subject", nil)
	sig := manifest("a", "sig", nil)
	sig.Subject = subject.Digest
	w.push(sig)
	w.pass(2 * time.Hour)
	w.before = func(c []byte) {
		if meta.Kind(c) == "pruneManifests" {
			w.before = nil
			w.push(subject)
		}
	}
	if r := w.prune(retention()); len(r.Manifests) != 0 || !w.has(sig.Digest) {
		t.Errorf("pruned %+v", r)
	}
}

func TestUnreadableManifestKeepsItsRepositoryAndNoOther(t *testing.T) {
	w := newWorld(t)
	one := w.push(manifest("a", "one", nil))
	two := w.push(manifest("a", "two", nil))
	three := w.push(manifest("b", "three", nil))
	w.pass(2 * time.Hour)
	restore := w.damage("m") // the first of repository a
	report := w.prune(retention())
	if got := digests(report.Manifests); !slices.Equal(got, []digest.Digest{three}) {
		t.Errorf("pruned %v", got)
	}
	if len(report.Problems) != 1 || !strings.Contains(report.Problems[0].Where, "a manifest") {
		t.Errorf("problems %+v", report.Problems)
	}
	restore()
	if !w.has(one) || !w.has(two) {
		t.Error("pruned beside a manifest that could not be read")
	}
}

func TestPruneGoesThroughManyManifestsInBatches(t *testing.T) {
	w := newWorld(t)
	for i := range 1100 {
		w.push(manifest("a", fmt.Sprint("m", i), nil))
	}
	w.pass(2 * time.Hour)
	if r := w.prune(retention()); len(r.Manifests) != 1100 {
		t.Errorf("pruned %d", len(r.Manifests))
	}
	if _, _, err := w.Tags("a", "", 1); err != nil {
		t.Errorf("all can be undeleted, but the repository: %v", err)
	}
	w.pass(2 * grace)
	if r := w.collect(); r.Manifests != 1100 {
		t.Errorf("ended the grace of %d", r.Manifests)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w.push(manifest("a", "m", nil))
	if _, err := w.Prune(ctx, retention()); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}
