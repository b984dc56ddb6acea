package meta_test

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/meta"
)

func TestPushingTheSameAgainChangesNoHistory(t *testing.T) {
	w := newWorld(t)
	p := image("a", "one", []meta.Tag{"v1"}, "config")
	w.push(p)
	born := w.now()
	w.pass(time.Hour)
	p.Actor = "bob"
	w.push(p)
	events, err := w.History("a", "v1")
	w.must(err)
	m, err := w.TagManifest("a", "v1")
	w.must(err)
	if len(events) != 1 || !m.Pushed.Equal(born) || m.Actor != "alice" {
		t.Errorf("history %+v, manifest pushed %v by %s", events, m.Pushed, m.Actor)
	}
}

func TestHistoryIsNewestFirstAndSurvivesDeletion(t *testing.T) {
	w := newWorld(t)
	one := w.push(manifest("a", "one", []meta.Tag{"v1"}))
	two := w.push(manifest("a", "two", []meta.Tag{"v1"}))
	w.must(w.DeleteTag(t.Context(), "a", "v1", "bob"))
	w.push(manifest("a", "one", []meta.Tag{"v1"}))
	events, err := w.History("a", "v1")
	w.must(err)
	want := []meta.TagEvent{
		{Generation: 4, Digest: one, Actor: "alice", Change: meta.ChangePush},
		{Generation: 3, Digest: two, Actor: "bob", Change: meta.ChangeDelete},
		{Generation: 2, Digest: two, Actor: "alice", Change: meta.ChangePush},
		{Generation: 1, Digest: one, Actor: "alice", Change: meta.ChangePush},
	}
	for i := range want {
		want[i].Time = events[i].Time
	}
	if !slices.Equal(events, want) {
		t.Errorf("history %+v\nwant %+v", events, want)
	}
	info, err := w.ResolveTag("a", "v1")
	w.must(err)
	if info.Generation != 4 {
		t.Errorf("generation %d", info.Generation)
	}
}

func TestHistoryIsBounded(t *testing.T) {
	w := newWorld(t)
	for i := range 130 {
		w.push(manifest("a", fmt.Sprint(i%2), []meta.Tag{"v1"}))
	}
	events, err := w.History("a", "v1")
	w.must(err)
	if len(events) != 100 || events[0].Generation != 130 || events[99].Generation != 31 {
		t.Errorf("%d events, %d to %d", len(events), events[0].Generation, events[len(events)-1].Generation)
	}
}

func TestHistoryOfATagDoesNotReachIntoAnother(t *testing.T) {
	w := newWorld(t)
	w.push(manifest("a", "one", []meta.Tag{"v1"}))
	w.push(manifest("a", "two", []meta.Tag{"v1.0"}))
	w.push(manifest("a", "two", []meta.Tag{"v"}))
	events, err := w.History("a", "v1")
	w.must(err)
	if len(events) != 1 {
		t.Errorf("history %+v", events)
	}
	_, err = w.History("a", "v2")
	w.wants(err, meta.ErrNotFound)
}

func TestPagesOfTagsFollowOneAnother(t *testing.T) {
	w := newWorld(t)
	var all []meta.Tag
	for i := range 25 {
		all = append(all, meta.Tag(fmt.Sprintf("t%02d", i)))
	}
	w.push(manifest("b", "other", []meta.Tag{"other"})) // the next repository's tags are none of a's
	w.push(manifest("a", "one", all))
	var got []meta.Tag
	for last, more := "", true; more; last = string(got[len(got)-1]) {
		var page []meta.Tag
		var err error
		page, more, err = w.Tags("a", last, 10)
		w.must(err)
		got = append(got, page...)
	}
	if !slices.Equal(got, all) {
		t.Errorf("tags %v", got)
	}
	if tags, more, err := w.Tags("a", "t24", 10); err != nil || more || len(tags) != 0 {
		t.Errorf("after the last: %v %v %v", tags, more, err)
	}
	if tags, more, err := w.Tags("a", "t23x", 10); err != nil || more || !slices.Equal(tags, []meta.Tag{"t24"}) {
		t.Errorf("after one that is not there: %v %v %v", tags, more, err)
	}
	if tags, more, err := w.Tags("a", "", 0); err != nil || !more || len(tags) != 0 {
		t.Errorf("page of none: %v %v %v", tags, more, err)
	}
}

func TestCatalogListsWhatHoldsAManifest(t *testing.T) {
	w := newWorld(t)
	for _, repo := range []meta.RepoName{"a/b", "ab", "a", "a.b"} {
		w.push(manifest(repo, "one", nil))
	}
	w.blob("uploaded-only", "x")
	var got []meta.RepoName
	for last, more := "", true; more; last = string(got[len(got)-1]) {
		var page []meta.RepoName
		var err error
		page, more, err = w.Repositories(last, 1)
		w.must(err)
		got = append(got, page...)
	}
	if want := []meta.RepoName{"a", "a.b", "a/b", "ab"}; !slices.Equal(got, want) {
		t.Errorf("catalog %v, want %v", got, want)
	}
	// A repository whose last manifest went is no longer listed, though it can be undeleted.
	d := manifest("ab", "one", nil).Digest
	w.must(w.DeleteManifest(t.Context(), "ab", d, ""))
	names, _, err := w.Repositories("a/b", 10)
	w.must(err)
	if len(names) != 0 {
		t.Errorf("after delete: %v", names)
	}
	_, err = w.UndeleteManifest(t.Context(), "ab", d, "")
	w.must(err)
	if names, _, err = w.Repositories("a/b", 10); err != nil || !slices.Equal(names, []meta.RepoName{"ab"}) {
		t.Errorf("after undelete: %v (%v)", names, err)
	}
}

func TestImmutableTags(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	one := w.push(manifest("prod/app", "one", []meta.Tag{"v1", "v1-rc"}))
	rules := []meta.TagRule{{Repositories: "prod/*", Tags: "v*", Except: "*-rc"}}
	w.must(w.SetTagRules(ctx, rules, "root"))
	got, err := w.TagRules()
	w.must(err)
	if !slices.Equal(got, rules) {
		t.Errorf("rules %v", got)
	}
	var immutable *meta.ImmutableError
	for what, err := range map[string]error{
		"move":            w.PutManifest(ctx, manifest("prod/app", "two", []meta.Tag{"other", "v1"})),
		"delete tag":      w.DeleteTag(ctx, "prod/app", "v1", ""),
		"delete manifest": w.DeleteManifest(ctx, "prod/app", one, ""),
	} {
		want := meta.ImmutableError{Repo: "prod/app", Tag: "v1", Rule: rules[0]}
		if !errors.As(err, &immutable) || *immutable != want {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := w.ResolveTag("prod/app", "other"); !errors.Is(err, meta.ErrNotFound) {
		t.Errorf("a refused push moved another of its tags: %v", err)
	}
	w.must(w.PutManifest(ctx, manifest("prod/app", "one", []meta.Tag{"v1", "v1-rc", "v2"}))) // same, except, new
	w.must(w.DeleteTag(ctx, "prod/app", "v1-rc", ""))
	w.must(w.PutManifest(ctx, manifest("dev/app", "two", []meta.Tag{"v1"})))
	w.must(w.PutManifest(ctx, manifest("dev/app", "one", []meta.Tag{"v1"})))
	w.must(w.SetTagRules(ctx, nil, "root"))
	w.must(w.DeleteManifest(ctx, "prod/app", one, ""))
	w.wants(w.SetTagRules(ctx, []meta.TagRule{{Repositories: "", Tags: "*"}}, ""), meta.ErrName)
}

func TestPatternsMatchAsTheirRegularExpressionDoes(t *testing.T) {
	alphabet := []string{"a", "b", "/", "*", "?", "."}
	var words []string
	for _, x := range alphabet {
		for _, y := range alphabet {
			for _, z := range alphabet {
				words = append(words, x, x+y, x+y+z, x+y+z+x)
			}
		}
	}
	slices.Sort(words)
	words = append(slices.Compact(words), "")
	subjects := slices.DeleteFunc(slices.Clone(words), func(s string) bool { return strings.ContainsAny(s, "*?") })
	for _, p := range words {
		quoted := regexp.QuoteMeta(p)
		re := regexp.MustCompile("^(?s:" + strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(quoted) + ")$")
		for _, s := range subjects {
			if got := meta.MatchGlob(p, s); got != re.MatchString(s) {
				t.Fatalf("match(%q, %q) = %v", p, s, got)
			}
		}
	}
}

func TestUndelete(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	d := w.push(image("a", "one", []meta.Tag{"v1", "v2", "v3"}, "config"))
	w.must(w.DeleteManifest(ctx, "a", d, "bob"))
	w.push(manifest("a", "two", []meta.Tag{"v2"}))
	deleted, err := w.DeletedManifests("a")
	w.must(err)
	if len(deleted) != 1 || deleted[0].Reason != "delete" || deleted[0].Actor != "bob" ||
		!slices.Equal(deleted[0].Tags, []meta.Tag{"v1", "v2", "v3"}) || !deleted[0].Until.Equal(w.now().Add(grace)) {
		t.Errorf("deleted %+v", deleted)
	}
	// One tag alone brings the manifest back, and only itself.
	info, err := w.UndeleteTag(ctx, "a", "v1", "eve")
	w.must(err)
	now, err := w.ResolveTag("a", "v1")
	w.must(err)
	if info != now || info.Digest != d || info.Generation != 3 {
		t.Errorf("undeleted tag %+v, resolved %+v", info, now)
	}
	_, err = w.ResolveTag("a", "v3")
	w.wants(err, meta.ErrNotFound)
	_, err = w.UndeleteTag(ctx, "a", "v1", "eve")
	w.wants(err, meta.ErrConflict)
	_, err = w.UndeleteManifest(ctx, "a", d, "eve")
	w.wants(err, meta.ErrNotFound)
	// The whole manifest brings its tags back, but for the one that was set again.
	w.must(w.DeleteTag(ctx, "a", "v1", ""))
	w.must(w.PutManifest(ctx, image("a", "one", []meta.Tag{"v1", "v3"}, "config")))
	w.must(w.DeleteManifest(ctx, "a", d, "bob"))
	w.push(manifest("a", "two", []meta.Tag{"v3"}))
	_, err = w.UndeleteManifest(ctx, "a", d, "eve")
	w.must(err)
	for tag, want := range map[meta.Tag]bool{"v1": true, "v2": false, "v3": false} {
		info, err := w.ResolveTag("a", tag)
		w.must(err)
		if (info.Digest == d) != want {
			t.Errorf("tag %s points at %s", tag, info.Digest)
		}
	}
	// Pushed again, a deleted manifest is a new push: there is nothing to undelete.
	w.must(w.DeleteManifest(ctx, "a", d, ""))
	w.pass(time.Minute)
	w.push(image("a", "one", nil, "config"))
	m, err := w.Manifest("a", d)
	w.must(err)
	if !m.Pushed.Equal(w.now()) {
		t.Errorf("pushed %v", m.Pushed)
	}
	_, err = w.UndeleteManifest(ctx, "a", d, "")
	w.wants(err, meta.ErrNotFound)
	// After the grace nothing comes back, collected or not.
	w.must(w.DeleteTag(ctx, "a", "v2", ""))
	w.pass(grace)
	_, err = w.UndeleteTag(ctx, "a", "v2", "")
	w.wants(err, meta.ErrNotFound)
	_, err = w.UndeleteTag(ctx, "b", "v2", "")
	w.wants(err, meta.ErrRepositoryUnknown)
}

// Whatever was tagged can be deleted, and what the deletion remembers can be read.
func TestManifestOfVeryManyTagsIsUndeletedWithTheFirst(t *testing.T) {
	w := newWorld(t)
	p := manifest("a", "one", nil)
	for i := range 12 {
		p.Tags = nil
		for j := range 1000 {
			p.Tags = append(p.Tags, meta.Tag(fmt.Sprintf("v%05d", 1000*i+j)))
		}
		w.must(w.PutManifest(t.Context(), p))
	}
	w.must(w.DeleteManifest(t.Context(), "a", p.Digest, "alice"))
	deleted, err := w.UndeleteManifest(t.Context(), "a", p.Digest, "alice")
	w.must(err)
	tags, _, err := w.Tags("a", "", 20_000)
	w.must(err)
	if len(deleted.Tags) != 10_000 || len(tags) != 10_000 || tags[9999] != "v09999" {
		t.Errorf("%d tags remembered, %d came back", len(deleted.Tags), len(tags))
	}
	if _, err := w.UndeleteTag(t.Context(), "a", "v11999", "alice"); err != nil {
		t.Errorf("the others one by one: %v", err)
	}
}

func TestUndeleteSetsLinksThatWereDropped(t *testing.T) {
	w := newWorld(t)
	d := w.push(image("a", "one", nil, "config"))
	w.must(w.DeleteManifest(t.Context(), "a", d, ""))
	config := digest.FromString("config")
	w.must(w.UnlinkBlob(t.Context(), "a", config, ""))
	_, err := w.Blob("a", config)
	w.wants(err, meta.ErrNotFound)
	_, err = w.UndeleteManifest(t.Context(), "a", d, "")
	w.must(err)
	_, err = w.Blob("a", config)
	w.must(err)
}
