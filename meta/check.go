package meta

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
)

// A Problem is one broken invariant.
type Problem struct {
	Invariant string // what of the table in FORMAT.md is broken: "I2", "digest", "tag", …
	Where     string // bucket and key, readable
	What      string
}

// Check walks every invariant of the database, at one instant, and yields what
// is broken; an error, last, when it could not go on. Contents are hashed. It
// reads everything there is, beside whatever else goes on.
func (db *DB) Check(ctx context.Context) iter.Seq2[Problem, error] {
	return func(yield func(Problem, error) bool) {
		err := db.view(func(tx *txn) error {
			c := &checker{ctx: ctx, tx: tx, yield: yield, links: map[repoID]uint64{}, servers: map[string]NodeID{}}
			return c.run()
		})
		if err != nil && !errors.Is(err, errStopped) {
			yield(Problem{}, fmt.Errorf("check: %w", err))
		}
	}
}

// errStopped says that whoever ranges over the problems has seen enough.
var errStopped = errors.New("stopped")

// A checker is one walk. What it counts on the way is compared at the end with
// what the database says it holds.
type checker struct {
	ctx   context.Context //nolint:containedctx // of one walk, which lives within Check
	tx    *txn
	yield func(Problem, error) bool
	err   error // the first reason to stop

	state   stateRecord
	cluster clusterRecord
	members members
	servers map[string]NodeID // those met
	counts  counts
	links   map[repoID]uint64
	held    bitmap // contents that a manifest, a deleted one, or the orphans account for
}

// counts are what a walk met.
type counts struct {
	repositories, manifests, tags, blobs, blobBytes int64

	blobDigests, contentDigests, contents int64

	nodes, gone int64
}

// run checks bucket by bucket. A record that cannot be decoded is a problem, not
// an error: the walk goes on.
func (c *checker) run() error {
	var err error
	if c.state, err = getState(c.tx); err != nil {
		c.problem("state", bucketSystem, []byte(stateKey), "%v", err)
	}
	if c.cluster, err = getCluster(c.tx); err != nil {
		c.problem("record", bucketSystem, []byte(clusterKey), "%v", err)
	}
	c.held = newBitmap(c.state.LastID)
	for _, part := range []struct {
		bucket bucketName
		check  func(k, v []byte)
	}{
		{bucketSystem, c.checkSystem},
		{bucketNodes, c.checkNode},
		{bucketNames, c.checkName},
		{bucketListed, c.checkListed},
		{bucketLinks, c.checkLink}, // counts links before the repositories are looked at
		{bucketRepos, c.checkRepo},
		{bucketDigests, c.checkDigest},
		{bucketBlobs, c.checkBlob},
		{bucketManifests, c.checkManifest},
		{bucketOrphans, c.checkOrphan},
		{bucketTags, c.checkTag},
		{bucketTagged, c.checkTagged},
		{bucketHistory, c.checkEvent},
		{bucketDropped, c.checkDropped},
		{bucketReferrers, c.checkReferrer},
		{bucketChildren, c.checkChild},
		{bucketGraves, c.checkGrave},
		{bucketContents, c.checkContent}, // after all that may hold one
		{bucketRules, func(k, v []byte) { c.decodes(bucketRules, k, v, &ruleRecord{}) }},
		{bucketAccounts, func(k, v []byte) { c.decodes(bucketAccounts, k, v, &accountRecord{}) }},
		{bucketLocks, func(k, v []byte) { c.decodes(bucketLocks, k, v, &lockRecord{}) }},
		{bucketResources, func(k, v []byte) { c.decodes(bucketResources, k, v, &resourceRecord{}) }},
		{bucketBarrier, c.checkBarrier},
		{bucketTrash, c.checkTrash},
		{bucketTokens, func(k, v []byte) { c.decodes(bucketTokens, k, v, &tokenRecord{}) }},
		{bucketBindings, c.checkBinding},
	} {
		for k, v := range under(bucket(c.tx, part.bucket), nil) {
			if part.check(k, v); c.err != nil {
				return c.err
			}
		}
		if err := c.ctx.Err(); err != nil {
			return err
		}
	}
	c.checkCounts()
	return c.err
}

func (c *checker) problem(invariant string, b bucketName, key []byte, format string, args ...any) {
	p := Problem{invariant, fmt.Sprintf("%s %s", b, readable(b, key)), fmt.Sprintf(format, args...)}
	if c.err == nil && !c.yield(p, nil) {
		c.err = errStopped
	}
}

// readable writes a key as an operator would.
func readable(b bucketName, key []byte) string {
	if slices.Contains([]bucketName{bucketTags, bucketDropped, bucketHistory}, b) && len(key) > 4 {
		return fmt.Sprintf("%x/%q", key[:4], key[4:])
	}
	if slices.Contains([]bucketName{
		bucketSystem, bucketNames, bucketListed, bucketAccounts, bucketSecrets, bucketLocks, bucketResources,
		bucketTokens, bucketBindings,
	}, b) {
		return fmt.Sprintf("%q", key)
	}
	return fmt.Sprintf("%x", key)
}

func (c *checker) decodes(b bucketName, k, v []byte, into any) bool {
	if err := decode(v, into); err != nil {
		c.problem("record", b, k, "%v", err)
		return false
	}
	return true
}

func (c *checker) get(b bucketName, key []byte) []byte { return bucket(c.tx, b).Get(key) }

func (c *checker) checkSystem(k, v []byte) {
	switch string(k) {
	case stateKey, clusterKey: // decoded before
	case formatKey:
		if len(v) != 1 || v[0] != formatVersion {
			c.problem("record", bucketSystem, k, "format version %x", v)
		}
	default:
		c.problem("record", bucketSystem, k, "unknown")
	}
}

func (c *checker) checkBinding(k, v []byte) {
	b, ok := parseBinding(k)
	if !ok {
		c.problem("record", bucketBindings, k, "is no role binding")
	}
	if b.Kind == SubjectToken && c.get(bucketTokens, []byte(b.Subject)) == nil {
		c.problem("access", bucketBindings, k, "grants a role to a token that is not there")
	}
	c.decodes(bucketBindings, k, v, &bindingRecord{})
}

func (c *checker) checkName(k, v []byte) {
	r, ok := parseRepo(v)
	rec, err := getRepo(c.tx, r)
	if !ok || err != nil || rec.Name != string(k) || !validRepoName(rec.Name) {
		c.problem("repository", bucketNames, k, "names repository %x, which is %q (%v)", v, rec.Name, err)
	}
	if uint32(r) > c.state.LastRepo {
		c.problem("repository", bucketNames, k, "id %d was never given out", r)
	}
}

func (c *checker) checkListed(k, v []byte) {
	c.counts.repositories++
	if !bytes.Equal(c.get(bucketNames, k), v) {
		c.problem("catalog", bucketListed, k, "lists repository %x, but the name is %x's", v, c.get(bucketNames, k))
	}
	if !hasPrefix(bucket(c.tx, bucketManifests), v) {
		c.problem("catalog", bucketListed, k, "is listed without a manifest")
	}
}

func (c *checker) checkRepo(k, v []byte) {
	var rec repoRecord
	if !c.decodes(bucketRepos, k, v, &rec) {
		return
	}
	r, _ := parseRepo(k)
	if !bytes.Equal(c.get(bucketNames, []byte(rec.Name)), k) {
		c.problem("repository", bucketRepos, k, "is not found by its name %q", rec.Name)
	}
	holds := hasPrefix(bucket(c.tx, bucketManifests), k)
	if listed := c.get(bucketListed, []byte(rec.Name)) != nil; holds != listed {
		c.problem("catalog", bucketRepos, k, "%q: holds manifests %v, listed %v", rec.Name, holds, listed)
	}
	if rec.Links != c.links[r] {
		c.problem("links", bucketRepos, k, "%q counts %d links of %d", rec.Name, rec.Links, c.links[r])
	}
	undeletable := hasPrefix(bucket(c.tx, bucketGraves), k) || hasPrefix(bucket(c.tx, bucketDropped), k)
	if !holds && rec.Links == 0 && !undeletable {
		c.problem("repository", bucketRepos, k, "%q is empty", rec.Name)
	}
	delete(c.links, r)
}

func (c *checker) checkLink(k, _ []byte) {
	i, r, ok := parseLink(k)
	if !ok || c.get(bucketBlobs, keyID(i)) == nil || c.get(bucketRepos, keyRepo(r)) == nil {
		c.problem("links", bucketLinks, k, "blob %d or repository %d is not there", i, r)
	}
	c.links[r]++
}

// checkDigest follows each digest to what it names. That every blob and content
// is named by one follows from the counts.
func (c *checker) checkDigest(k, v []byte) {
	i, ok := parseID(v)
	if !ok || len(k) == 0 || !validPacked(k[1:]) || uint64(i) > c.state.LastID {
		c.problem("digest", bucketDigests, k, "bad key or id %x (last given out: %d)", v, c.state.LastID)
		return
	}
	switch k[0] {
	case kindBlob:
		rec, err := getBlob(c.tx, i)
		if err != nil || !bytes.Equal(rec.packed, k[1:]) {
			c.problem("digest", bucketDigests, k, "blob %d is %s (%v)", i, unpackDigest(rec.packed), err)
		}
		c.counts.blobDigests++
	case kindManifest:
		payload := c.get(bucketContents, keyID(i))
		if payload == nil || !names(k[1:], payload) {
			c.problem("I6", bucketDigests, k, "content %d (%d bytes) is not what %s says",
				i, len(payload), unpackDigest(k[1:]))
		}
		c.counts.contentDigests++
	default:
		c.problem("digest", bucketDigests, k, "unknown kind")
	}
}

func (c *checker) checkBlob(k, v []byte) {
	rec, err := unpackBlob(v)
	if err != nil {
		c.problem("record", bucketBlobs, k, "%v", err)
		return
	}
	c.counts.blobs++
	c.counts.blobBytes += rec.size
	if !bytes.Equal(c.get(bucketDigests, keyDigest(kindBlob, rec.packed)), k) {
		c.problem("digest", bucketBlobs, k, "%s is not found by its digest", unpackDigest(rec.packed))
	}
	if c.checkHolders(bucketBlobs, k, rec.holders) == 0 {
		c.problem("I1", bucketBlobs, k, "%s is held by no node", unpackDigest(rec.packed))
	}
}

func (c *checker) checkContent(k, _ []byte) {
	c.counts.contents++
	if i, ok := parseID(k); !ok || !c.held.has(i) {
		c.problem("digest", bucketContents, k, "belongs to no manifest and is not on its way out")
	}
}

func (c *checker) checkOrphan(k, v []byte) {
	i, ok := parseID(k)
	c.held.set(i)
	if !ok || !validPacked(v) || !bytes.Equal(c.get(bucketDigests, keyDigest(kindManifest, v)), k) {
		c.problem("digest", bucketOrphans, k, "content %d is not that of %x", i, v)
	}
}

func (c *checker) checkBarrier(k, _ []byte) {
	i, ok := parseID(k)
	if !ok || c.state.Epoch == 0 || uint64(i) > c.state.Ceiling {
		c.problem("I3", bucketBarrier, k, "not of a running collection (epoch %d, ceiling %d)",
			c.state.Epoch, c.state.Ceiling)
	}
}

func (c *checker) checkTrash(k, v []byte) {
	var rec trashRecord
	if !c.decodes(bucketTrash, k, v, &rec) {
		return
	}
	i, ok := parseID(k)
	if !ok || !validPacked(rec.Digest) || uint64(i) > c.state.LastID {
		c.problem("I3", bucketTrash, k, "bad key or digest %x", rec.Digest)
	}
	c.checkHolders(bucketTrash, k, rec.holders())
	if c.get(bucketBlobs, k) != nil || hasPrefix(bucket(c.tx, bucketLinks), k) {
		c.problem("I3", bucketTrash, k, "%s is trash and known under the same id", unpackDigest(rec.Digest))
	}
}

// checkCounts compares what was counted with what the state record says.
func (c *checker) checkCounts() {
	c.checkCluster()
	if c.get(bucketSystem, []byte(formatKey)) == nil {
		c.problem("record", bucketSystem, []byte(formatKey), "is missing")
	}
	for r, n := range c.links {
		c.problem("links", bucketLinks, keyRepo(r), "%d links of a repository that is not there", n)
	}
	if n := c.counts; n.blobDigests != n.blobs || n.contentDigests != n.contents {
		c.problem("digest", bucketDigests, nil, "%d digests for %d blobs, %d digests for %d contents",
			n.blobDigests, n.blobs, n.contentDigests, n.contents)
	}
	for _, count := range []struct {
		what         string
		said, really int64
	}{
		{"repositories", c.state.Repositories, c.counts.repositories},
		{"manifests", c.state.Manifests, c.counts.manifests},
		{"tags", c.state.Tags, c.counts.tags},
		{"blobs", c.state.Blobs, c.counts.blobs},
		{"blob bytes", c.state.BlobBytes, c.counts.blobBytes},
	} {
		if count.said != count.really {
			c.problem("stats", bucketSystem, []byte(stateKey), "%d %s, counted %d", count.said, count.what, count.really)
		}
	}
}
