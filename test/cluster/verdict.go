//go:build cluster

package cluster

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/opencontainers/go-digest"
)

// verdict looks at what is left, when all faults are over and nobody works any more.
func (x *chaos) verdict(w *worker) {
	x.t.Helper()
	x.eventually("all nodes follow", func() error { return x.follow(w) })
	x.registers(w)
	x.check(x.t)
	for _, n := range *x.targets.Load() {
		x.audit(w, n)
	}
	for _, n := range x.nodes {
		x.eventually(n.name+" finds nothing wrong", func() error { return x.sound(n) })
	}
	x.eventually("all metadata are the same", x.same)
	for _, n := range x.nodes {
		x.end(n)
	}
	images, gone := len(x.books.kept), len(x.books.gone)
	x.t.Logf("%d images are kept, %d were deleted", images, gone)
	for _, wrong := range x.books.wrong {
		x.t.Error(wrong)
	}
	if images < 10 {
		x.t.Errorf("only %d images were acknowledged", images)
	}
}

// sound has a node check itself. A blob may be lost that nobody counts on: its push was
// not acknowledged, or no manifest refers to it, and the disk of its node was lost.
func (x *chaos) sound(n *node) error {
	out, err := n.attempt("check", "-o", "json")
	var problems []struct{ Invariant, Where, What string }
	if broken := json.Unmarshal([]byte(out), &problems); broken != nil {
		return fmt.Errorf("check: %w: %w", err, broken)
	}
	for _, p := range problems {
		lost, is := strings.CutSuffix(p.What, " is held by no node")
		if !is || x.books.counts(digest.Digest(lost), x.long) {
			return fmt.Errorf("%v", p)
		}
	}
	return nil
}

// follow says whether each node answers without a warning.
func (x *chaos) follow(w *worker) error {
	for _, n := range *x.targets.Load() {
		if !w.lookAt(n, "team/app0", "t0.0") {
			return fmt.Errorf("%s does not", n.name)
		}
	}
	return nil
}

// registers reads every tag from every node.
func (x *chaos) registers(w *worker) {
	keys := map[[2]string]bool{}
	for e := range x.epoch.Load() + 1 {
		for i := range 6 {
			keys[[2]string{fmt.Sprint("team/app", i%2), fmt.Sprintf("t%d.%d", e, i/2)}] = true
		}
	}
	for key := range keys {
		for _, n := range *x.targets.Load() {
			if !w.lookAt(n, key[0], key[1]) {
				x.t.Errorf("%s does not tell what %s:%s is", n.name, key[0], key[1])
			}
		}
	}
}

// audit reads from one node all that was acknowledged.
func (x *chaos) audit(w *worker, n target) {
	seen := map[digest.Digest]bool{}
	read := func(repo string, b blob) {
		if seen[b.digest] {
			return
		}
		seen[b.digest] = true
		r := w.askOf(n, http.MethodGet, blobPath(repo, b.digest), nil, nil)
		if r.status != http.StatusOK || !bytes.Equal(r.body, b.bytes()) {
			x.books.complain("in the end, blob %s of %s, %d bytes: %s", b.digest, repo, b.size, short(r))
		}
	}
	for _, a := range x.books.kept {
		r := w.askOf(n, http.MethodGet, manifestPath(a), nil, nil)
		if r.status != http.StatusOK || !bytes.Equal(r.body, a.manifest) {
			x.books.complain("in the end, manifest %s of %s: %s", a.digest, a.repo, r)
		}
		for _, b := range a.blobs {
			read(a.repo, b)
		}
	}
	for _, a := range x.books.gone {
		if r := w.askOf(n, http.MethodGet, manifestPath(a), nil, nil); r.status != http.StatusNotFound {
			x.books.complain("in the end, the deleted manifest %s of %s: %s", a.digest, a.repo, r)
		}
	}
	for repo, blobs := range x.books.loose {
		for _, b := range blobs {
			if x.long {
				read(repo, b)
			}
		}
	}
}

func short(r reply) string {
	if r.status == http.StatusOK {
		return fmt.Sprintf("%s answers %d bytes", r.node, len(r.body))
	}
	return r.String()
}

// same compares the metadata of all nodes. They may still be on their way; at the
// same entry they have to be the same.
func (x *chaos) same() error {
	type sum struct {
		Index  uint64        `json:"index"`
		Digest digest.Digest `json:"digest"`
	}
	seen := map[uint64]sum{}
	for _, n := range x.nodes {
		out, err := n.attempt("cluster", "digest", "-o", "json")
		if err != nil {
			return err
		}
		var s sum
		if err := json.Unmarshal([]byte(out), &s); err != nil {
			return err
		}
		if other, is := seen[s.Index]; is && other != s {
			x.t.Fatalf("at index %d the metadata of %s is %s, that of others %s", s.Index, n.name, s.Digest, other.Digest)
		}
		seen[s.Index] = s
	}
	if len(seen) > 1 {
		return fmt.Errorf("they are at %v", seen)
	}
	return nil
}

// blobsShort is the metric of blobs that have not enough copies.
var blobsShort = regexp.MustCompile(`(?m)^skerry_replicate_blobs\{state="(?:short|fetch)"\} (\S+)`)

// copied says whether every node sees enough copies of every blob.
func (x *chaos) copied() error {
	for _, n := range x.nodes {
		status, _, body, err := n.try(http.MethodGet, "/metrics", nil, nil)
		if err != nil || status != http.StatusOK {
			return fmt.Errorf("metrics of %s: %d %w", n.name, status, err)
		}
		for _, m := range blobsShort.FindAllSubmatch(body, -1) {
			if string(m[1]) != "0" {
				return fmt.Errorf("%s: %s", n.name, m[0])
			}
		}
	}
	return nil
}
