//go:build conformance

package conformance_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"
)

// TestContent takes every shape of content through its life: pushed, listed,
// asked for, pulled, referred to and deleted. What a shape means for a section is
// quoted there; here the sections' main sentences must hold for all of them, in
// both algorithms, and with tags pushed as parameters.
func TestContent(t *testing.T) {
	reg := open(t)
	for _, kind := range []struct {
		name     string
		alg      digest.Algorithm
		tagParam bool
	}{
		{"sha256", digest.SHA256, false},
		{"sha256 with tag parameters", digest.SHA256, true},
		{"sha512 with tag parameters", digest.SHA512, true},
	} {
		for _, d := range datasets() {
			t.Run(kind.name+"/"+d.name, func(t *testing.T) {
				t.Parallel()
				b := newBundle(t, kind.alg)
				b.tagParam = kind.tagParam
				d.build(b)
				live(reg.repo(t), b)
			})
		}
	}
}

// live runs the stages in order. Each is a subtest, so that a report says what
// works for this content and what does not; a stage needs the first one only.
func live(r *repository, b *bundle) {
	for _, stage := range []struct {
		name string
		run  func(*repository, *bundle)
	}{
		{"push", pushStage},
		{"list", listStage},
		{"head", headStage},
		{"pull", pullStage},
		{"referrers", referrersStage},
		{"delete", deleteStage},
	} {
		r.t.Run(stage.name, func(t *testing.T) { stage.run(r.in(t), b) })
	}
}

// pushStage pushes the blobs, each in another way, and the manifests, children
// first.
func pushStage(r *repository, b *bundle) {
	ways := append(uploads(), mounts()...)
	for i, bl := range b.blobs {
		p := ways[i%len(ways)].push(r, bl)
		if p.status != http.StatusCreated {
			p.fail("%s: status %d, want 201", ways[i%len(ways)].name, p.status)
			r.pushBlob(bl) // what follows is worth knowing all the same
			continue
		}
		p.wantDigest(bl.digest)
		r.get(p.location()).want(http.StatusOK).wantBody(bl.bytes)
	}
	for _, m := range b.manifests {
		tags := b.tagsOf(m.digest)
		var p *reply
		if b.tagParam && len(tags) > 0 {
			p = r.pushTagged(m, tags...)
		} else {
			p = r.putManifest(m, m.digest.String(), "").want(http.StatusCreated).wantDigest(m.digest)
		}
		if m.subject != "" {
			p.wantHeader("OCI-Subject", m.subject.String())
		}
		r.get(p.location()).want(http.StatusOK).wantBody(m.bytes).wantHeader("Content-Type", m.mediaType)
		if b.tagParam {
			continue
		}
		for _, tag := range tags {
			p := r.putManifest(m, tag, "").want(http.StatusCreated).wantDigest(m.digest)
			if m.subject != "" {
				p.wantHeader("OCI-Subject", m.subject.String())
			}
			r.get(p.location()).want(http.StatusOK).wantBody(m.bytes).wantHeader("Content-Type", m.mediaType)
		}
	}
}

// tagsOf returns the tags of d, sorted.
func (b *bundle) tagsOf(d digest.Digest) []string {
	var tags []string
	for _, tag := range slices.Sorted(maps.Keys(b.tags)) {
		if b.tags[tag] == d {
			tags = append(tags, tag)
		}
	}
	return tags
}

// references returns every name that each manifest has.
func (b *bundle) references() map[string]manifest {
	refs := map[string]manifest{}
	for _, m := range b.manifests {
		refs[m.digest.String()] = m
		for _, tag := range b.tagsOf(m.digest) {
			refs[tag] = m
		}
	}
	return refs
}

func listStage(r *repository, b *bundle) {
	tags := slices.Sorted(maps.Keys(b.tags))
	r.get(r.tagsPath("")).want(http.StatusOK).wantTags(r.name, tags...)
	for i, tag := range tags {
		r.get(r.tagsPath("?last="+tag)).want(http.StatusOK).wantTags(r.name, tags[i+1:]...)
	}
}

func headStage(r *repository, b *bundle) {
	for ref, m := range b.references() {
		r.head(r.manifestPath(ref)).want(http.StatusOK).wantDigest(m.digest).wantHeader("Content-Type", m.mediaType).
			wantHeader("Content-Length", fmt.Sprint(len(m.bytes)))
	}
	for _, bl := range b.blobs {
		r.head(r.blobPath(bl.digest)).want(http.StatusOK).wantDigest(bl.digest).
			wantHeader("Content-Length", fmt.Sprint(len(bl.bytes)))
	}
}

func pullStage(r *repository, b *bundle) {
	for ref, m := range b.references() {
		r.get(r.manifestPath(ref)).want(http.StatusOK).wantBody(m.bytes).wantDigest(m.digest).
			wantHeader("Content-Type", m.mediaType).wantHeader("Content-Length", fmt.Sprint(len(m.bytes)))
	}
	for _, bl := range b.blobs {
		r.get(r.blobPath(bl.digest)).want(http.StatusOK).wantBody(bl.bytes).wantDigest(bl.digest).
			wantHeader("Content-Length", fmt.Sprint(len(bl.bytes)))
	}
}

// referrersStage asks for the referrers of every manifest and every subject.
func referrersStage(r *repository, b *bundle) {
	bySubject := map[digest.Digest][]manifest{}
	for _, m := range b.manifests {
		bySubject[m.digest] = append(bySubject[m.digest], nil...)
		if m.subject != "" {
			bySubject[m.subject] = append(bySubject[m.subject], m)
		}
	}
	for subject, referrers := range bySubject {
		r.get(r.referrersPath(subject)).wantReferrers(referrers...)
		byType := map[string][]manifest{"application/vnd.example.none": nil}
		for _, m := range referrers {
			if t := m.referrer.ArtifactType; t != "" {
				byType[t] = append(byType[t], m)
			}
		}
		for artifactType, want := range byType {
			r.filtered(subject, artifactType).wantReferrers(want...).wantHeader("OCI-Filters-Applied", "artifactType")
		}
	}
}

// deleteStage takes everything down, parents before children, and demands each
// time that it is gone at once.
func deleteStage(r *repository, b *bundle) {
	for tag := range b.tags {
		r.delete(r.manifestPath(tag)).want(http.StatusAccepted)
		r.head(r.manifestPath(tag)).want(http.StatusNotFound)
	}
	for _, m := range slices.Backward(b.manifests) {
		path := r.manifestPath(m.digest.String())
		r.head(path).want(http.StatusOK)
		r.delete(path).want(http.StatusAccepted)
		r.head(path).want(http.StatusNotFound)
		if m.subject != "" {
			for _, d := range r.get(r.referrersPath(m.subject)).referrers() {
				if d.Digest == m.digest {
					r.t.Errorf("%s is deleted, and still a referrer", d.Digest)
				}
			}
		}
	}
	deleted := map[digest.Digest]bool{}
	for _, bl := range b.blobs {
		if deleted[bl.digest] {
			continue // named twice, as the empty one often is
		}
		deleted[bl.digest] = true
		r.delete(r.blobPath(bl.digest)).want(http.StatusAccepted)
		r.head(r.blobPath(bl.digest)).want(http.StatusNotFound)
	}
	r.get(r.tagsPath("")).want(http.StatusOK).wantTags(r.name)
}
