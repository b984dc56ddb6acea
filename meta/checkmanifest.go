package meta

import "bytes"

// What Check looks at for each manifest, tag, and what hangs on them.

func (c *checker) checkManifest(k, v []byte) {
	c.counts.manifests++
	r, i, ok := parseRepoID(k)
	rec, err := unpackManifest(v)
	if err != nil || !ok {
		c.problem("record", bucketManifests, k, "%v", err)
		return
	}
	c.held.set(i)
	if c.get(bucketRepos, keyRepo(r)) == nil {
		c.problem("repository", bucketManifests, k, "repository %d is not there", r)
	}
	if !bytes.Equal(c.get(bucketDigests, keyDigest(kindManifest, rec.packed)), keyID(i)) {
		c.problem("digest", bucketManifests, k, "%s is not found by its digest", unpackDigest(rec.packed))
	}
	if content := c.get(bucketContents, keyID(i)); int64(len(content)) != rec.size {
		c.problem("I1", bucketManifests, k, "%s has %d bytes of %d", unpackDigest(rec.packed), len(content), rec.size)
	}
	for _, ref := range rec.refs {
		if c.get(bucketBlobs, keyID(ref)) == nil || !linked(c.tx, ref, r) {
			c.problem("I2", bucketManifests, k, "%s refers to blob %d, which its repository does not hold",
				unpackDigest(rec.packed), ref)
		}
	}
	for _, child := range rec.children {
		if c.get(bucketChildren, keyChild(r, child, i)) == nil {
			c.problem("I2", bucketManifests, k, "child %s is not recorded", unpackDigest(child))
		}
	}
	if len(rec.subject) > 0 && c.get(bucketReferrers, keyReferrer(r, rec.subject, rec.packed)) == nil {
		c.problem("referrer", bucketManifests, k, "is not among the referrers of %s", unpackDigest(rec.subject))
	}
	if c.get(bucketGraves, k) != nil {
		c.problem("deleted", bucketManifests, k, "is there and deleted")
	}
}

// checkChild: present says the repository holds the child, sparse that it does not (I2).
func (c *checker) checkChild(k, v []byte) {
	n := 0
	if len(k) > 4 {
		n = packedLen(k[4:])
	}
	if n == 0 || len(k) != 4+n+8 || len(v) != 1 {
		c.problem("record", bucketChildren, k, "bad key or value %x", v)
		return
	}
	r, _ := parseRepo(k[:4])
	parent, _ := parseID(k[4+n:])
	child := k[4 : 4+n]
	rec, err := unpackManifest(getManifest(c.tx, r, parent))
	listed := false
	for _, d := range rec.children {
		listed = listed || bytes.Equal(d, child)
	}
	if err != nil || !listed {
		c.problem("I2", bucketChildren, k, "is no child of manifest %d (%v)", parent, err)
	}
	if _, _, here := findManifest(c.tx, r, child); here != (v[0] == childPresent) {
		c.problem("I2", bucketChildren, k, "child %s is recorded as %d (0 present, 1 sparse), here %v",
			unpackDigest(child), v[0], here)
	}
}

func (c *checker) checkReferrer(k, v []byte) {
	var ref referrerRecord
	if !c.decodes(bucketReferrers, k, v, &ref) {
		return
	}
	n := packedLen(k[min(4, len(k)):])
	if n == 0 || !validPacked(k[4+n:]) {
		c.problem("record", bucketReferrers, k, "bad key")
		return
	}
	r, _ := parseRepo(k[:4])
	_, m, found := findManifest(c.tx, r, k[4+n:])
	rec, err := unpackManifest(m)
	if !found || err != nil || !bytes.Equal(rec.subject, k[4:4+n]) || rec.size != ref.Size ||
		rec.mediaType != ref.MediaType || rec.artifactType != ref.ArtifactType {
		c.problem("referrer", bucketReferrers, k, "is not what manifest %s says (%v)", unpackDigest(k[4+n:]), err)
	}
}

func (c *checker) checkTag(k, v []byte) {
	c.counts.tags++
	rec, err := unpackTag(v)
	if err != nil || len(k) <= 4 || !validTag(string(k[4:])) {
		c.problem("record", bucketTags, k, "%v", err)
		return
	}
	r, _ := parseRepo(k[:4])
	t := Tag(k[4:])
	manifest, _, err := unpackManifestHead(getManifest(c.tx, r, rec.id))
	if err != nil {
		c.problem("tag", bucketTags, k, "points at manifest %d: %v", rec.id, err)
	}
	if c.get(bucketTagged, keyTagged(r, rec.id, t)) == nil {
		c.problem("tag", bucketTags, k, "is not recorded with manifest %d", rec.id)
	}
	if c.get(bucketDropped, k) != nil {
		c.problem("tag", bucketTags, k, "is there and deleted")
	}
	event, generation, ok := c.newest(r, t)
	if !ok || generation != rec.generation || event.Change == changeDelete ||
		!bytes.Equal(event.Digest, manifest.packed) || event.Time != rec.time || event.Actor != rec.actor {
		c.problem("history", bucketTags, k, "generation %d of %s, but its history says %d of %s",
			rec.generation, unpackDigest(manifest.packed), generation, unpackDigest(event.Digest))
	}
}

// newest is the first line of a tag's history.
func (c *checker) newest(r repoID, t Tag) (rec eventRecord, generation int64, ok bool) {
	for generation, v := range history(c.tx, r, t) {
		return rec, generation, c.decodes(bucketHistory, keyEvent(r, t, generation), v, &rec)
	}
	return rec, 0, false
}

func (c *checker) checkTagged(k, _ []byte) {
	if len(k) <= maxIDKey {
		c.problem("record", bucketTagged, k, "bad key")
		return
	}
	r, i, _ := parseRepoID(k[:maxIDKey])
	if v := getTag(c.tx, r, Tag(k[maxIDKey:])); v == nil || unpackTagID(v) != i {
		c.problem("tag", bucketTagged, k, "tag %s does not point at manifest %d", k[maxIDKey:], i)
	}
}

func (c *checker) checkEvent(k, v []byte) {
	var rec eventRecord
	if !c.decodes(bucketHistory, k, v, &rec) {
		return
	}
	if len(k) < 4+1+1+8 || k[len(k)-9] != 0 || !validPacked(rec.Digest) || rec.Change.change() == "" {
		c.problem("record", bucketHistory, k, "bad key, digest %x or change %d", rec.Digest, rec.Change)
		return
	}
	r, _ := parseRepo(k[:4])
	t := Tag(k[4 : len(k)-9])
	last, generation, ok := c.newest(r, t)
	if this := generationOf(k); !ok || this < 1 || this <= generation-historyMax {
		c.problem("history", bucketHistory, k, "generation %d of a tag at %d", this, generation)
	}
	if getTag(c.tx, r, t) != nil {
		return // checkTag compares
	}
	if _, found := droppedUntil(c.tx, r, t); !found || last.Change != changeDelete {
		c.problem("history", bucketHistory, k, "of a tag that is neither there nor deleted")
	}
}

func (c *checker) checkDropped(k, v []byte) {
	u := unpacker{b: v}
	if u.time(); !u.ok() || len(k) <= 4 {
		c.problem("record", bucketDropped, k, "bad key or value %x", v)
		return
	}
	r, _ := parseRepo(k[:4])
	if last, _, ok := c.newest(r, Tag(k[4:])); !ok || last.Change != changeDelete {
		c.problem("history", bucketDropped, k, "is deleted, but its history does not say so")
	}
}

// checkGrave: what can be undeleted is there in full.
func (c *checker) checkGrave(k, v []byte) {
	var g graveRecord
	if !c.decodes(bucketGraves, k, v, &g) {
		return
	}
	r, i, ok := parseRepoID(k)
	rec, err := unpackManifest(g.Manifest)
	if err != nil || !ok || g.Until < g.Time {
		c.problem("record", bucketGraves, k, "%v, until %d", err, g.Until)
		return
	}
	c.held.set(i)
	if c.get(bucketRepos, keyRepo(r)) == nil {
		c.problem("repository", bucketGraves, k, "repository %d is not there", r)
	}
	if !bytes.Equal(c.get(bucketDigests, keyDigest(kindManifest, rec.packed)), keyID(i)) ||
		int64(len(c.get(bucketContents, keyID(i)))) != rec.size {
		c.problem("deleted", bucketGraves, k, "the content of %s is gone", unpackDigest(rec.packed))
	}
	for _, ref := range rec.refs {
		if c.get(bucketBlobs, keyID(ref)) == nil {
			c.problem("deleted", bucketGraves, k, "%s refers to blob %d, which is gone", unpackDigest(rec.packed), ref)
		}
	}
	if (len(rec.subject) > 0) != (len(g.Referrer) > 0) {
		c.problem("deleted", bucketGraves, k, "referrer entry of %d bytes", len(g.Referrer))
	}
}
