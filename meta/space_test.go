package meta_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/meta"
)

// A scale weighs every transaction of a world: what it reserved, and what it took.
type scale struct {
	*world
	size  int64 // of the database before the transaction
	dirty int64
	asked int64 // where the farthest reservation ends

	most map[string]weight // by the command's name
}

// A weight is a transaction's new pages in bytes, and what was reserved for them.
type weight struct{ took, need int64 }

func newScale(t *testing.T) *scale {
	t.Helper()
	s := &scale{most: map[string]weight{}}
	s.world = newWorldWith(t, meta.Seam{NoExtend: true, Reserves: func(_, to int64) { s.asked = max(s.asked, to) }})
	return s
}

// use begins to weigh.
func (s *scale) use() {
	names := meta.CommandNames()
	s.before = func([]byte) {
		st, err := s.Stats()
		s.must(err)
		s.size, s.dirty, s.asked = st.DatabaseBytes, s.db.Dirty(), 0
	}
	s.after = func(c []byte) {
		name := names[int(binary.BigEndian.Uint16(c[2:]))]
		w := weight{s.db.Dirty() - s.dirty - int64(s.db.PageSize()), meta.Need(s.size, s.asked)}
		if w.took > w.need {
			s.t.Errorf("%s took %d bytes of new pages, %d were reserved", name, w.took, w.need)
		}
		if w.took > s.most[name].took {
			s.most[name] = w
		}
	}
}

// TestReservationCoversWhatCommandsTake applies each command at its worst: to a large database, with
// keys that lie far apart.
func TestReservationCoversWhatCommandsTake(t *testing.T) {
	s := newScale(t)
	f := &filled{world: s.world, repos: 4, old: map[int][]digest.Digest{}}
	f.push(4000, 512, func() {})
	rng := rand.New(rand.NewPCG(1, 1))
	repo, ctx := repoName(0), t.Context()
	var junk []digest.Digest
	for i := range 1000 { // every blob is as far from the next in each tree as it can be
		junk = append(junk, s.blob(repoName(10+i), fmt.Sprint("junk", i)))
	}
	for i := range 800 {
		_, err := s.MountBlob(ctx, repoName(10+i), repoName(10), junk[0], "ci")
		s.must(err)
	}
	s.cluster(ctx, junk)

	thousand := func(suffix string) (tags []meta.Tag) {
		for range 1000 {
			tags = append(tags, meta.Tag(fmt.Sprintf("v%d%s%d", rng.IntN(12_000), suffix, len(tags))))
		}
		return tags
	}
	many := s.push(image(repo, "many", thousand("a"), "b1", "b2"))
	_, err := s.MountBlob(ctx, repoName(2000), repo, digest.FromString("b1"), "ci")
	s.must(err)
	s.must(s.UnlinkBlob(ctx, repoName(2000), digest.FromString("b1"), "ci"))
	index := manifest(repo, "index", thousand("b"))
	for range 5000 {
		index.Manifests = append(index.Manifests, f.digest())
	}
	s.push(index)
	s.must(s.DeleteManifest(ctx, repo, many, "ci"))
	_, err = s.UndeleteManifest(ctx, repo, many, "ci")
	s.must(err)
	s.must(s.DeleteManifest(ctx, repo, index.Digest, "ci"))
	_, err = s.UndeleteManifest(ctx, repo, index.Digest, "ci")
	s.must(err)
	s.others(ctx)

	// Half of the images lose their tag, the pruner takes those, and the collector what is left of
	// them, but for what somebody asked for meanwhile.
	for _, name := range []meta.RepoName{repo, repoName(1)} {
		tags, _, err := s.Tags(name, "", 10_000)
		s.must(err)
		for _, tag := range tags {
			if rng.IntN(2) == 0 {
				s.must(s.DeleteTag(ctx, name, tag, "ci"))
			}
		}
	}
	undeleted, _, err := s.Tags(repo, "", 1)
	s.must(err)
	s.must(s.DeleteTag(ctx, repo, undeleted[0], "ci"))
	_, err = s.UndeleteTag(ctx, repo, undeleted[0], "ci")
	s.must(err)
	s.pass(grace / 2)
	_, err = s.Prune(ctx, meta.Prune{KeepTagRevisions: 1})
	s.must(err)
	s.pass(4 * grace)
	for i, d := range junk {
		if i%2 == 1 {
			b, err := s.Blob(repoName(10+i), d)
			s.must(err)
			s.Touch(b)
		}
	}
	s.collect()
	s.sweep()
	for _, name := range meta.CommandNames() {
		w, seen := s.most[name]
		if !seen {
			t.Errorf("%s was not weighed", name)
		}
		t.Logf("%-14s took %7d, reserved %8d", name, w.took, w.need)
	}
}

// others proposes what is not about images.
func (s *scale) others(ctx context.Context) {
	s.t.Helper()
	var rules []meta.TagRule
	for i := range 1000 {
		pattern := fmt.Sprintf("%0500d", i)
		rules = append(rules, meta.TagRule{Repositories: pattern, Tags: pattern, Except: pattern})
	}
	s.must(s.SetTagRules(ctx, rules, "ci"))
	s.must(s.SetTagRules(ctx, nil, "ci"))
	for i := range 10 {
		s.must(s.PutAccount(ctx, meta.Account{Name: fmt.Sprint("account", i), Secret: fmt.Sprintf("%04000d", i)}))
		_, err := s.InitSecret(ctx, fmt.Sprint("secret", i), make([]byte, 64<<10))
		s.must(err)
		_, err = s.PutResource(ctx, meta.Resource{Kind: "k", Name: fmt.Sprint("object", i), Doc: make([]byte, 1<<10)})
		s.must(err)
	}
	// As certificates' names are: a server, and a host twice.
	long := strings.Repeat("a-name-as-long-as-it-may-be", 30)
	for i := range 10 {
		s.must(s.PutSecret(ctx, fmt.Sprint(i, long), make([]byte, 64<<10)))
		s.must(s.TakeLock(ctx, fmt.Sprint(i, long), "node", time.Minute))
	}
	s.must(s.DeleteSecret(ctx, "5"+long))
	s.must(s.DropLock(ctx, "5"+long, "node"))
	grants := make([]meta.Binding, 100)
	for i := range grants {
		grants[i] = meta.Binding{Role: fmt.Sprintf("%0250d", i), On: fmt.Sprintf("%0500d", i)}
	}
	for i := range 10 {
		s.must(s.CreateToken(ctx, meta.Token{Name: fmt.Sprint("robot", i), Secret: fmt.Sprintf("%04000d", i)}, grants))
	}
	s.must(s.DeleteToken(ctx, "robot5", ""))
	for _, b := range grants {
		b.Kind, b.Subject = meta.SubjectUser, "account5"
		s.must(s.Grant(ctx, b, "ci"))
	}
	b := grants[50]
	b.Kind, b.Subject = meta.SubjectToken, "robot6"
	s.must(s.Revoke(ctx, b, "ci"))
	s.must(s.DeleteAccount(ctx, "account5", ""))
	s.must(s.DeleteResource(ctx, "k", "", "object5"))
}

// cluster begins to weigh, and has as many nodes as there may be, all of which hold what is spread.
func (s *scale) cluster(ctx context.Context, spread []digest.Digest) {
	s.t.Helper()
	s.use()
	long := strings.Repeat("n", 250)
	for i := range 256 {
		n, err := s.PutNode(ctx, meta.Node{
			Server: fmt.Sprint(i, long, long), Name: long, Zone: long, Address: long + long, Version: long,
		}, "ci")
		s.must(err)
		if i > 0 && i < 20 || i == 255 {
			s.must(s.AddHolder(ctx, n, spread))
		}
	}
	dropped, err := s.DropHolder(ctx, 7, spread, meta.Surplus{Copies: 2})
	s.must(err)
	if len(dropped) != len(spread) {
		s.t.Errorf("dropped %d of %d", len(dropped), len(spread))
	}
	s.must(s.SetNodeState(ctx, 8, meta.NodeGone, "ci"))
}

// sweep empties the trash.
func (s *scale) sweep() {
	s.t.Helper()
	for n := range meta.NodeID(256) {
		items, err := s.Trash(n+1, 0, 100_000)
		s.must(err)
		var ids []uint64
		for _, item := range items {
			ids = append(ids, item.ID)
		}
		s.must(s.Swept(context.Background(), n+1, ids))
	}
	if items, err := s.db.Trash(8, 0, 1); err != nil || len(items) > 0 {
		s.t.Errorf("trash of a node that is gone: %v (%v)", items, err)
	}
}
