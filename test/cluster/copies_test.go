//go:build cluster

package cluster

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"skerry.dev/skerry/test/skerry"
)

// large is more than can be copied while a manifest is put.
const large = 48 << 20

// TestAnImageOutlivesTheDiskThatTookIt destroys a disk in the moment in which the node
// acknowledged an image that was pushed to it, and to nobody else.
func TestAnImageOutlivesTheDiskThatTookIt(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	lost := c.nodes[1]
	layer := blob{seed: rand.Uint64(), size: large}
	layer.digest = digest.FromBytes(layer.bytes())
	a := newArtifact("team/app", []blob{newBlob(rand.New(rand.NewPCG(layer.seed, 0))), layer})
	lost.put(a)
	lost.Kill()
	lost.wipe()
	c.nodes[0].command("cluster", "remove", "--force", lost.name)
	for _, n := range c.without(lost) {
		n.wantArtifact(a)
	}
}

// TestASweepLeavesWhatCameBack pushes an image again whose blobs were condemned, to
// nodes that have yet to unlink them. That they are condemned no more is what a sweep
// has to find out.
func TestASweepLeavesWhatCameBack(t *testing.T) {
	c := &cluster{t: t, net: newNetwork(t), bin: skerry.New(t, skerry.Options{}).Options.Binary}
	for _, zone := range []string{"a", "b", "c"} {
		c.add(zone, "--grace", "1s")
	}
	c.eventually("all nodes vote", c.allVote)
	r := rand.New(rand.NewPCG(1, 1))
	a := newArtifact("team/app", []blob{newBlob(r), newBlob(r)})
	for _, n := range c.nodes {
		n.put(a) // each holds the blobs
	}
	if status, _, body := c.nodes[0].Do(http.MethodDelete, manifestPath(a), nil, nil); status != http.StatusAccepted {
		t.Fatalf("delete: %d %s", status, body)
	}
	condemned := 0
	c.eventually("the blobs are condemned", func() error {
		var report struct{ Blobs int }
		if err := json.Unmarshal([]byte(c.nodes[0].command("gc", "-o", "json")), &report); err != nil {
			return err
		}
		if condemned += report.Blobs; condemned < len(a.blobs) {
			return fmt.Errorf("%d are", condemned)
		}
		return nil
	})
	for _, n := range c.nodes[1:] {
		n.put(a)
	}
	for _, n := range c.nodes {
		n.command("gc")
		n.command("check")
	}
	for _, n := range c.nodes {
		n.wantArtifact(a)
	}
}

// put pushes a whole artifact, by digest.
func (n *node) put(a *artifact) {
	n.net.t.Helper()
	for _, b := range a.blobs {
		path := "/v2/" + a.repo + "/blobs/uploads/?digest=" + b.digest.String()
		status, _, body := n.Do(http.MethodPost, path, nil, bytes.NewReader(b.bytes()))
		if status != http.StatusCreated {
			n.net.t.Fatalf("push blob to %s: %d %s", n.name, status, body)
		}
	}
	kind := http.Header{"Content-Type": {ocispec.MediaTypeImageManifest}}
	status, _, body := n.Do(http.MethodPut, manifestPath(a), kind, bytes.NewReader(a.manifest))
	if status != http.StatusCreated {
		n.net.t.Fatalf("push manifest to %s: %d %s", n.name, status, body)
	}
}

// wantArtifact reads all of it.
func (n *node) wantArtifact(a *artifact) {
	n.net.t.Helper()
	status, _, body := n.Do(http.MethodGet, manifestPath(a), nil, nil)
	if status != http.StatusOK || !bytes.Equal(body, a.manifest) {
		n.net.t.Errorf("manifest from %s: %d %s", n.name, status, body)
	}
	for _, b := range a.blobs {
		if status, _, body := n.Do(http.MethodGet, blobPath(a.repo, b.digest), nil, nil); status != http.StatusOK ||
			digest.FromBytes(body) != b.digest {
			n.net.t.Errorf("blob of %d bytes from %s: %d, %d bytes", b.size, n.name, status, len(body))
		}
	}
}
