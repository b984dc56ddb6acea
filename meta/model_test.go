package meta_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/meta"
)

// The model is the same registry in maps, as plainly as it can be said. It knows
// nothing of ids, buckets or barriers. Random histories run on both, pushes and
// deletes also between the steps of collections and prunings, and after each
// step both must give the same answers and the database must check.

type modelRepo struct {
	links     map[digest.Digest]bool
	manifests map[digest.Digest]modelManifest
	graves    map[digest.Digest]modelGrave
	tags      map[meta.Tag]digest.Digest
	history   map[meta.Tag][]meta.TagEvent // newest first
	dropped   map[meta.Tag]time.Time
}

type modelManifest struct {
	meta.PutManifest
	put time.Time
}

type modelGrave struct {
	modelManifest
	until time.Time
	tags  []meta.Tag
}

type modelBlob struct {
	size    int64
	lease   time.Time
	holders map[meta.NodeID]bool // those that are gone, too
}

type model struct {
	*world
	rng   *rand.Rand
	repos map[meta.RepoName]*modelRepo
	blobs map[digest.Digest]modelBlob
	trash []modelTrash
	rules []meta.TagRule
	modelCluster
	plan  []meta.PutManifest // what may be pushed
	names []string           // of blobs
	steps int
}

func newModel(w *world, seed uint64) *model {
	m := &model{
		world: w, rng: rand.New(rand.NewPCG(seed, 1)),
		repos: map[meta.RepoName]*modelRepo{}, blobs: map[digest.Digest]modelBlob{},
		names: []string{"config", "base", "layer1", "layer2", "layer3"},
	}
	for _, repo := range []meta.RepoName{"a", "ab", "a/b"} {
		one := image(repo, "one", nil, "config", "base", "layer1")
		two := image(repo, "two", nil, "config", "base", "layer2")
		index := manifest(repo, "index", nil)
		index.Manifests = []digest.Digest{one.Digest, two.Digest}
		nested := manifest(repo, "nested", nil)
		nested.Manifests = []digest.Digest{index.Digest, index.Digest}
		signature := image(repo, "signature", nil, "layer3")
		signature.Subject, signature.ArtifactType = index.Digest, "sig"
		signature.Annotations = map[string]string{"by": "me", "at": "dawn"}
		m.plan = append(m.plan, one, two, index, nested, signature)
	}
	return m
}

func (m *model) repo(name meta.RepoName) *modelRepo {
	if m.repos[name] == nil {
		m.repos[name] = &modelRepo{
			map[digest.Digest]bool{},
			map[digest.Digest]modelManifest{},
			map[digest.Digest]modelGrave{},
			map[meta.Tag]digest.Digest{},
			map[meta.Tag][]meta.TagEvent{},
			map[meta.Tag]time.Time{},
		}
	}
	return m.repos[name]
}

// forget drops repositories that stand for nothing any more.
func (m *model) forget() {
	maps.DeleteFunc(m.repos, func(_ meta.RepoName, r *modelRepo) bool {
		return len(r.links)+len(r.manifests)+len(r.graves)+len(r.dropped) == 0
	})
}

func pick[T any](m *model, all []T) T { return all[m.rng.IntN(len(all))] }

func (m *model) anyRepo() meta.RepoName { return pick(m, []meta.RepoName{"a", "ab", "a/b"}) }

func (m *model) anyTag() meta.Tag { return pick(m, []meta.Tag{"v1", "v2", "latest"}) }

// agree fails unless the error is the one the model expects.
func (m *model) agree(what string, err, want error) bool {
	m.t.Helper()
	if want == nil && err != nil || want != nil && !errors.Is(err, want) {
		m.t.Fatalf("step %d: %s: got %v, want %v", m.steps, what, err, want)
	}
	return err == nil
}

// step does one random thing.
func (m *model) step() {
	m.t.Helper()
	m.steps++
	ctx := context.Background()
	if m.many && m.rng.IntN(3) == 0 {
		m.clusterStep(ctx)
		return
	}
	repo := m.anyRepo()
	switch n := m.rng.IntN(100); {
	case n < 20:
		m.linkBlob(ctx, repo)
	case n < 25:
		m.mount(ctx, repo)
	case n < 30:
		m.unlink(ctx, repo)
	case n < 60:
		m.push(ctx)
	case n < 67:
		m.deleteTag(ctx, repo)
	case n < 77:
		m.deleteManifest(ctx)
	case n < 82:
		m.undelete(ctx)
	case n < 87:
		m.undeleteTag(ctx, repo)
	case n < 90:
		m.setRules(ctx)
	case n < 95:
		m.pass(time.Duration(m.rng.IntN(40)) * time.Minute)
	default:
		m.head(repo)
	}
}

func (m *model) anyBlob() (string, digest.Digest) {
	name := pick(m, m.names)
	return name, digest.FromString(name)
}

func (m *model) linkBlob(ctx context.Context, repo meta.RepoName) {
	m.t.Helper()
	name, d := m.anyBlob()
	n := m.anyNode()
	var want error
	if !m.alive(n) {
		want = meta.ErrNode
	}
	if m.agree("link "+name, m.at(n).LinkBlob(ctx, repo, d, int64(len(name)), "bob"), want) {
		b := m.blobs[d]
		m.blobs[d] = modelBlob{int64(len(name)), m.later(b.lease), b.holders}
		m.holds(d, n)
		m.repo(repo).links[d] = true
	}
}

func (m *model) later(lease time.Time) time.Time {
	if at := m.now().Add(grace); at.After(lease) {
		return at
	}
	return lease
}

func (m *model) mount(ctx context.Context, repo meta.RepoName) {
	m.t.Helper()
	from := m.anyRepo()
	name, d := m.anyBlob()
	var want error
	if m.repos[from] == nil || !m.repos[from].links[d] {
		want = meta.ErrNotFound
	}
	if _, err := m.MountBlob(ctx, repo, from, d, "bob"); m.agree("mount "+name, err, want) {
		b := m.blobs[d]
		b.lease = m.later(b.lease)
		m.blobs[d] = b
		m.repo(repo).links[d] = true
	}
}

func (m *model) unlink(ctx context.Context, repo meta.RepoName) {
	m.t.Helper()
	name, d := m.anyBlob()
	r := m.repos[repo]
	var want error
	switch {
	case r == nil:
		want = meta.ErrRepositoryUnknown
	case !r.links[d]:
		want = meta.ErrNotFound
	default:
		for _, p := range r.manifests {
			if slices.Contains(p.Blobs, d) {
				want = meta.ErrConflict
			}
		}
	}
	if m.agree("unlink "+name, m.UnlinkBlob(ctx, repo, d, "bob"), want) {
		b := m.blobs[d]
		b.lease = m.later(b.lease)
		m.blobs[d] = b
		delete(r.links, d)
		m.forget()
	}
}

func (m *model) immutable(repo meta.RepoName, t meta.Tag) bool {
	return slices.ContainsFunc(m.rules, func(r meta.TagRule) bool {
		return meta.MatchGlob(r.Repositories, string(repo)) && meta.MatchGlob(r.Tags, string(t))
	})
}

func (m *model) push(ctx context.Context) {
	m.t.Helper()
	p := pick(m, m.plan)
	for range m.rng.IntN(3) {
		if t := m.anyTag(); !slices.Contains(p.Tags, t) {
			p.Tags = append(p.Tags, t)
		}
	}
	p.Actor = "carol"
	var missing []digest.Digest
	for _, d := range p.Blobs {
		if m.repos[p.Repo] == nil || !m.repos[p.Repo].links[d] {
			missing = append(missing, d)
		}
	}
	err := m.PutManifest(ctx, p)
	var missed *meta.MissingError
	if errors.As(err, &missed) || missing != nil {
		if missed == nil || !slices.Equal(missed.Digests, missing) {
			m.t.Fatalf("step %d: push: got %v, want missing %v", m.steps, err, missing)
		}
		return
	}
	var immutable *meta.ImmutableError
	for _, t := range p.Tags {
		if d, ok := m.repo(p.Repo).tags[t]; ok && d != p.Digest && m.immutable(p.Repo, t) {
			if !errors.As(err, &immutable) {
				m.t.Fatalf("step %d: push over immutable %s: got %v", m.steps, t, err)
			}
			return
		}
	}
	m.agree("push", err, nil)
	r := m.repo(p.Repo)
	at := m.now()
	entry := modelManifest{p, at}
	if old, ok := r.manifests[p.Digest]; ok {
		entry.PutManifest = old.PutManifest
	}
	r.manifests[p.Digest] = entry
	delete(r.graves, p.Digest)
	for _, t := range p.Tags {
		m.setTag(r, t, p.Digest, meta.ChangePush, "carol")
	}
}

func (m *model) setTag(r *modelRepo, t meta.Tag, d digest.Digest, c meta.Change, actor string) {
	if old, ok := r.tags[t]; ok && old == d {
		return
	}
	r.tags[t] = d
	delete(r.dropped, t)
	m.event(r, t, d, c, actor)
}

func (m *model) event(r *modelRepo, t meta.Tag, d digest.Digest, c meta.Change, actor string) {
	generation := int64(1)
	if len(r.history[t]) > 0 {
		generation = r.history[t][0].Generation + 1
	}
	e := meta.TagEvent{Generation: generation, Digest: d, Time: m.last, Actor: actor, Change: c}
	r.history[t] = slices.Insert(r.history[t], 0, e)
	r.history[t] = slices.DeleteFunc(r.history[t], func(e meta.TagEvent) bool { return e.Generation <= generation-100 })
}

func (m *model) dropTag(r *modelRepo, t meta.Tag, actor string) {
	m.event(r, t, r.tags[t], meta.ChangeDelete, actor)
	delete(r.tags, t)
	r.dropped[t] = m.last.Add(grace)
}

func (m *model) deleteTag(ctx context.Context, repo meta.RepoName) {
	m.t.Helper()
	t := m.anyTag()
	r := m.repos[repo]
	err := m.DeleteTag(ctx, repo, t, "dave")
	var immutable *meta.ImmutableError
	switch {
	case r == nil:
		m.agree("delete tag", err, meta.ErrRepositoryUnknown)
	case r.tags[t] == "":
		m.agree("delete tag", err, meta.ErrNotFound)
	case m.immutable(repo, t):
		if !errors.As(err, &immutable) {
			m.t.Fatalf("step %d: delete immutable %s: got %v", m.steps, t, err)
		}
	default:
		m.agree("delete tag", err, nil)
		m.dropTag(r, t, "dave")
	}
}

// tagsOf lists the tags on a manifest, sorted.
func (r *modelRepo) tagsOf(d digest.Digest) (tags []meta.Tag) {
	for t, on := range r.tags {
		if on == d {
			tags = append(tags, t)
		}
	}
	slices.Sort(tags)
	return tags
}

func (m *model) deleteManifest(ctx context.Context) {
	m.t.Helper()
	p := pick(m, m.plan)
	r := m.repos[p.Repo]
	err := m.DeleteManifest(ctx, p.Repo, p.Digest, "dave")
	if r == nil {
		m.agree("delete manifest", err, meta.ErrRepositoryUnknown)
		return
	}
	if _, ok := r.manifests[p.Digest]; !ok {
		m.agree("delete manifest", err, meta.ErrNotFound)
		return
	}
	for _, t := range r.tagsOf(p.Digest) {
		var immutable *meta.ImmutableError
		if m.immutable(p.Repo, t) {
			if !errors.As(err, &immutable) {
				m.t.Fatalf("step %d: delete manifest of immutable %s: got %v", m.steps, t, err)
			}
			return
		}
	}
	m.agree("delete manifest", err, nil)
	m.bury(r, p.Digest, "dave")
}

func (m *model) bury(r *modelRepo, d digest.Digest, actor string) {
	g := modelGrave{r.manifests[d], m.last.Add(grace), r.tagsOf(d)}
	for _, t := range g.tags {
		m.dropTag(r, t, actor)
	}
	delete(r.manifests, d)
	r.graves[d] = g
}

func (m *model) undelete(ctx context.Context) {
	m.t.Helper()
	p := pick(m, m.plan)
	r := m.repos[p.Repo]
	deleted, err := m.UndeleteManifest(ctx, p.Repo, p.Digest, "erin")
	if r == nil {
		m.agree("undelete", err, meta.ErrRepositoryUnknown)
		return
	}
	g, ok := r.graves[p.Digest]
	if !ok || !g.until.After(m.now()) {
		m.agree("undelete", err, meta.ErrNotFound)
		return
	}
	m.agree("undelete", err, nil)
	if !slices.Equal(deleted.Tags, g.tags) || deleted.Digest != p.Digest {
		m.t.Fatalf("step %d: undeleted %+v, want tags %v", m.steps, deleted, g.tags)
	}
	m.exhume(r, p.Digest)
	for _, t := range g.tags {
		if r.tags[t] == "" {
			m.setTag(r, t, p.Digest, meta.ChangeUndelete, "erin")
		}
	}
}

func (m *model) exhume(r *modelRepo, d digest.Digest) {
	g := r.graves[d]
	delete(r.graves, d)
	g.put = m.now()
	r.manifests[d] = g.modelManifest
	for _, b := range g.Blobs {
		r.links[b] = true
	}
}

func (m *model) undeleteTag(ctx context.Context, repo meta.RepoName) {
	m.t.Helper()
	t := m.anyTag()
	r := m.repos[repo]
	_, err := m.UndeleteTag(ctx, repo, t, "erin")
	switch {
	case r == nil:
		m.agree("undelete tag", err, meta.ErrRepositoryUnknown)
		return
	case r.tags[t] != "":
		m.agree("undelete tag", err, meta.ErrConflict)
		return
	case !r.dropped[t].After(m.now()):
		m.agree("undelete tag", err, meta.ErrNotFound)
		return
	}
	d := r.history[t][0].Digest
	if _, ok := r.manifests[d]; !ok {
		if g, ok := r.graves[d]; !ok || !g.until.After(m.now()) {
			m.agree("undelete tag", err, meta.ErrNotFound)
			return
		}
		m.exhume(r, d)
	}
	m.agree("undelete tag", err, nil)
	m.setTag(r, t, d, meta.ChangeUndelete, "erin")
}

func (m *model) setRules(ctx context.Context) {
	m.t.Helper()
	m.rules = nil
	if m.rng.IntN(3) == 0 {
		m.rules = []meta.TagRule{{Repositories: "a*", Tags: "v1"}}
	}
	m.agree("set rules", m.SetTagRules(ctx, m.rules, "root"), nil)
}

// head is what a client does before it decides not to upload.
func (m *model) head(repo meta.RepoName) {
	_, d := m.anyBlob()
	if b, err := m.Blob(repo, d); err == nil {
		m.Touch(b)
	}
}

// referenced says whether any manifest, deleted ones included, refers to d.
func (m *model) referenced(d digest.Digest) bool {
	for _, r := range m.repos {
		for _, p := range r.manifests {
			if slices.Contains(p.Blobs, d) {
				return true
			}
		}
		for _, g := range r.graves {
			if slices.Contains(g.Blobs, d) {
				return true
			}
		}
	}
	return false
}

// collect runs a collection, with other things happening between its steps, and
// follows what it did: each thing that went must have been allowed to go.
func (m *model) collect(busy bool) {
	m.t.Helper()
	between := func() {
		for busy && m.rng.IntN(2) == 0 {
			m.nested(m.step)
		}
	}
	m.before = func([]byte) { between() }
	m.after = func(c []byte) {
		m.nested(func() { m.follow(meta.Kind(c)) })
		between()
	}
	_, err := m.Collect(context.Background(), meta.Collect{})
	m.before, m.after = nil, nil
	m.agree("collect", err, nil)
}

// nested runs f without the hooks that called it.
func (m *model) nested(f func()) {
	before, after := m.before, m.after
	m.before, m.after = nil, nil
	f()
	m.before, m.after = before, after
}

// follow brings the model after a command of the collector.
func (m *model) follow(kind string) {
	m.t.Helper()
	switch kind {
	case "expire":
		// What expired after the keys were read waits for the next collection.
		for name, r := range m.repos {
			still, _ := m.DeletedManifests(name)
			maps.DeleteFunc(r.graves, func(d digest.Digest, g modelGrave) bool {
				return !g.until.After(m.last) &&
					!slices.ContainsFunc(still, func(s meta.Deleted) bool { return s.Digest == d })
			})
			for t, until := range r.dropped {
				if _, err := m.History(name, t); err != nil && !until.After(m.last) {
					delete(r.dropped, t)
					delete(r.history, t)
				}
			}
		}
		m.forget()
	case "condemn":
		for d, b := range m.blobs {
			known, err := m.Known(d)
			m.agree("known", err, nil)
			if known {
				continue
			}
			if m.referenced(d) || b.lease.After(m.last) {
				m.t.Fatalf("step %d: collected %s: referenced %v, lease until %v at %v",
					m.steps, d, m.referenced(d), b.lease, m.last)
			}
			delete(m.blobs, d)
			m.trash = append(m.trash, modelTrash{d, b.holders})
			for _, r := range m.repos {
				delete(r.links, d)
			}
		}
		m.forget()
	case "renew":
		m.renewed()
	}
}

// renewed believes leases that a collection made longer.
func (m *model) renewed() {
	for d, b := range m.blobs {
		for name, r := range m.repos {
			if r.links[d] {
				got, err := m.Blob(name, d)
				m.agree("blob", err, nil)
				if got.Lease.Before(b.lease) {
					m.t.Fatalf("step %d: lease of %s became shorter", m.steps, d)
				}
				b.lease = got.Lease
			}
		}
		m.blobs[d] = b
	}
}

// prune runs retention; what it says it did the model does too, after asking
// whether it was allowed.
func (m *model) prune(busy bool) {
	m.t.Helper()
	m.before = func([]byte) {
		for busy && m.rng.IntN(2) == 0 {
			m.nested(m.step)
		}
	}
	m.after = func(c []byte) {
		if meta.Kind(c) == "pruneManifests" || meta.Kind(c) == "pruneTag" {
			m.nested(m.followPrune)
		}
	}
	p := meta.Prune{KeepTagRevisions: 1, KeepYoungerThan: 30 * time.Minute, Actor: "pruner"}
	report, err := m.Prune(context.Background(), p)
	m.before, m.after = nil, nil
	m.agree("prune", err, nil)
	if len(report.Problems) > 0 {
		m.t.Fatalf("step %d: problems %v", m.steps, report.Problems)
	}
}

// followPrune finds what went and checks that nothing needed it.
func (m *model) followPrune() {
	m.t.Helper()
	cutoff := m.last.Add(-30 * time.Minute)
	for name, r := range m.repos {
		for t, events := range r.history {
			got, err := m.History(name, t)
			m.agree("history", err, nil)
			for i, e := range events {
				if !slices.Contains(got, e) && (i == 0 || e.Time.After(cutoff)) {
					m.t.Fatalf("step %d: pruned line %+v of %s:%s", m.steps, e, name, t)
				}
			}
			r.history[t] = got
		}
		gone := map[digest.Digest]bool{}
		for d := range r.manifests {
			if _, _, err := m.StatManifest(name, d); errors.Is(err, meta.ErrNotFound) {
				gone[d] = true
			}
		}
		for d := range gone {
			p := r.manifests[d]
			if len(r.tagsOf(d)) > 0 || p.put.After(cutoff) || !gone[p.Subject] && r.manifests[p.Subject].Digest != "" {
				m.t.Fatalf("step %d: pruned %s of %s: tags %v, put %v at %v", m.steps, d, name, r.tagsOf(d), p.put, m.last)
			}
			for parent, q := range r.manifests {
				if !gone[parent] && slices.Contains(q.Manifests, d) {
					m.t.Fatalf("step %d: pruned %s of %s, a child of %s", m.steps, d, name, parent)
				}
			}
		}
		for d := range gone {
			m.bury(r, d, "pruner")
		}
	}
}

// compare asks the store everything it can be asked.
func (m *model) compare() {
	m.t.Helper()
	fail := func(format string, args ...any) {
		m.t.Helper()
		m.t.Fatalf("step %d: %s", m.steps, fmt.Sprintf(format, args...))
	}
	var listed []meta.RepoName
	var stats meta.Stats
	for _, name := range []meta.RepoName{"a", "ab", "a/b"} {
		r := m.repos[name]
		tags, _, err := m.Tags(name, "", 100)
		if r == nil {
			if !errors.Is(err, meta.ErrRepositoryUnknown) {
				fail("unknown repository %s: %v", name, err)
			}
			continue
		}
		if want := slices.Sorted(maps.Keys(r.tags)); err != nil || !slices.Equal(tags, want) {
			fail("tags of %s: %v (%v), want %v", name, tags, err, want)
		}
		m.compareRepo(name, r, fail)
		if len(r.manifests) > 0 {
			listed = append(listed, name)
			stats.Repositories++
		}
		stats.Manifests += int64(len(r.manifests))
		stats.Tags += int64(len(r.tags))
	}
	slices.Sort(listed)
	if names, _, err := m.Repositories("", 100); err != nil || !slices.Equal(names, listed) {
		fail("repositories %v (%v), want %v", names, err, listed)
	}
	for d, b := range m.blobs {
		stats.Blobs++
		stats.BlobBytes += b.size
		if known, err := m.Known(d); err != nil || !known {
			fail("blob %s is not known (%v)", d, err)
		}
	}
	got, err := m.Stats()
	got.DatabaseBytes, got.FreeBytes, got.AppliedIndex, got.DurableIndex = 0, 0, 0, 0
	if err != nil || got != stats {
		fail("stats %+v (%v), want %+v", got, err, stats)
	}
	m.compareCluster(fail)
	m.check()
	if m.t.Failed() {
		fail("database does not check")
	}
}

func (m *model) compareRepo(name meta.RepoName, r *modelRepo, fail func(string, ...any)) {
	m.t.Helper()
	for _, blob := range m.names {
		d := digest.FromString(blob)
		b, err := m.Blob(name, d)
		if r.links[d] != (err == nil) {
			fail("blob %s in %s: %v, want linked %v", blob, name, err, r.links[d])
		}
		if want := m.blobs[d]; err == nil && (b.Size != want.size || !b.Lease.Equal(want.lease)) {
			fail("blob %s in %s: %+v, want %+v", blob, name, b, want)
		}
	}
	for _, p := range m.plan {
		if p.Repo != name {
			continue
		}
		got, err := m.Manifest(name, p.Digest)
		want, ok := r.manifests[p.Digest]
		if ok != (err == nil) {
			fail("manifest %s in %s: %v, want %v", p.Digest, name, err, ok)
		}
		if ok && (!slices.Equal(got.Payload, p.Payload) || got.Actor != want.Actor || got.Subject != p.Subject ||
			got.ArtifactType != p.ArtifactType) {
			fail("manifest %+v, want %+v", got, want)
		}
		m.compareReferrers(name, r, p.Digest, fail)
	}
	for _, t := range []meta.Tag{"v1", "v2", "latest"} {
		info, err := m.ResolveTag(name, t)
		if d := r.tags[t]; (d != "") != (err == nil) || info.Digest != d {
			fail("tag %s:%s: %+v (%v), want %s", name, t, info, err, d)
		}
		events, err := m.History(name, t)
		if !slices.Equal(events, r.history[t]) {
			fail("history of %s:%s: %+v (%v), want %+v", name, t, events, err, r.history[t])
		}
		if len(events) > 0 && err == nil && r.tags[t] != "" && info.Generation != events[0].Generation {
			fail("generation of %s:%s: %d, want %d", name, t, info.Generation, events[0].Generation)
		}
	}
	deleted, err := m.DeletedManifests(name)
	if err != nil || len(deleted) != len(r.graves) {
		fail("deleted in %s: %+v (%v), want %d", name, deleted, err, len(r.graves))
	}
	for _, d := range deleted {
		if g := r.graves[d.Digest]; !slices.Equal(d.Tags, g.tags) || !d.Until.Equal(g.until) {
			fail("deleted %+v, want %+v", d, g)
		}
	}
}

func (m *model) compareReferrers(
	name meta.RepoName, r *modelRepo, subject digest.Digest, fail func(string, ...any),
) {
	m.t.Helper()
	var want []digest.Digest
	for d, p := range r.manifests {
		if p.Subject == subject {
			want = append(want, d)
		}
	}
	slices.SortFunc(want, cmp.Compare)
	refs, _, err := m.Referrers(name, subject, "", "", 100)
	if err != nil || len(refs) != len(want) {
		fail("referrers of %s: %v (%v), want %v", subject, refs, err, want)
	}
	for i, ref := range refs {
		p := r.manifests[want[i]]
		if ref.Digest != want[i] || ref.ArtifactType != p.ArtifactType || !maps.Equal(ref.Annotations, p.Annotations) ||
			ref.Size != int64(len(p.Payload)) {
			fail("referrer %+v, want %+v", ref, p)
		}
	}
}

// TestRandomHistoriesAgreeWithTheModel runs bounded, seeded histories.
func TestRandomHistoriesAgreeWithTheModel(t *testing.T) {
	for seed := range uint64(24) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			m := newModel(newWorld(t), seed)
			m.many = seed%2 == 1
			m.unheld = m.lost
			for range 150 {
				switch m.rng.IntN(12) {
				case 0:
					m.collect(m.rng.IntN(2) == 0)
				case 1:
					m.prune(m.rng.IntN(2) == 0)
				default:
					m.step()
				}
				m.compare()
			}
			m.drain()
		})
	}
}

// drain deletes everything; nothing may be left but trash.
func (m *model) drain() {
	m.t.Helper()
	ctx := context.Background()
	m.rules = nil
	m.agree("set rules", m.SetTagRules(ctx, nil, "root"), nil)
	for name, r := range m.repos {
		for d := range maps.Clone(r.manifests) {
			m.agree("delete", m.DeleteManifest(ctx, name, d, "root"), nil)
			m.bury(r, d, "root")
		}
	}
	m.pass(2 * grace)
	m.collect(false) // renews what was touched
	m.pass(2 * grace)
	m.collect(false)
	m.compare()
	st, err := m.Stats()
	m.agree("stats", err, nil)
	if len(m.repos) != 0 || len(m.blobs) != 0 || st.Blobs != 0 || st.Manifests != 0 {
		m.t.Fatalf("left over: %d repositories, %d blobs, %+v", len(m.repos), len(m.blobs), st)
	}
	m.emptyTrash(ctx)
	m.collect(false) // empties that of nodes which are gone
	m.noTrash()
	m.compare()
}
