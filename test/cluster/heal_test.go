//go:build cluster

package cluster

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/test/skerry"
)

// newClusterWith is newCluster with further flags for every node.
func newClusterWith(t *testing.T, args ...string) *cluster {
	t.Helper()
	c := &cluster{t: t, net: newNetwork(t), bin: skerry.New(t, skerry.Options{}).Options.Binary}
	for _, zone := range []string{"a", "b", "c"} {
		c.add(zone, args...)
	}
	c.eventually("all nodes vote", c.allVote)
	return c
}

// blobFile is where a node has the bytes of a blob, "" if it has none.
func (n *node) blobFile(d digest.Digest) (found string) {
	n.net.t.Helper()
	err := filepath.WalkDir(n.Options.Data, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() && e.Name() == d.Encoded() && !strings.Contains(path, "quarantine") {
			found = path
		}
		return nil // what goes while it is looked at is not there
	})
	if err != nil {
		n.net.t.Fatal(err)
	}
	return found
}

// holders are the nodes that have the right bytes of a blob on their disk.
func (c *cluster) holders(b blob) (all []*node) {
	for _, n := range c.nodes {
		if path := n.blobFile(b.digest); path != "" {
			if got, err := os.ReadFile(path); err == nil && bytes.Equal(got, b.bytes()) {
				all = append(all, n)
			}
		}
	}
	return all
}

// wantCopies waits until so many nodes have each blob of a.
func (c *cluster) wantCopies(a *artifact, copies int) {
	c.t.Helper()
	c.eventually(fmt.Sprint("each blob is on ", copies, " nodes"), func() error {
		for _, b := range a.blobs {
			if n := len(c.holders(b)); n < copies {
				return fmt.Errorf("%s is on %d", b.digest, n)
			}
		}
		return nil
	})
}

func someArtifact(blobs int) *artifact {
	r := rand.New(rand.NewPCG(rand.Uint64(), 1))
	all := make([]blob, blobs)
	for i := range all {
		all[i] = newBlob(r)
	}
	return newArtifact("team/app", all)
}

// TestDamagedBytesAreFetchedFromAnotherNode flips a bit on one disk.
func TestDamagedBytesAreFetchedFromAnotherNode(t *testing.T) {
	c := newClusterWith(t)
	a := someArtifact(3)
	c.nodes[0].put(a)
	c.wantCopies(a, 2)
	bad := a.blobs[1]
	victim := c.holders(bad)[0]
	path := victim.blobFile(bad.digest)
	b := bad.bytes()
	b[len(b)/2] ^= 1
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(victim.Options.Binary, "scrub", "--data", victim.Options.Data).CombinedOutput()
	if err == nil || !strings.Contains(string(out), bad.digest.String()) {
		t.Errorf("scrub of a damaged blob: %v, %s", err, out)
	}
	c.wantCopies(a, 2) // before anybody reads it, which would heal it, too
	if out := victim.command("status"); strings.Contains(out, "Quarantined") {
		t.Errorf("healed, it says %s", out)
	}
	for _, n := range c.nodes {
		n.command("check")
		n.wantArtifact(a)
	}
}

// TestDeletedFilesComeBack takes blobs from the disk of a node that is down.
func TestDeletedFilesComeBack(t *testing.T) {
	c := newClusterWith(t)
	a := someArtifact(5)
	c.nodes[0].put(a)
	c.wantCopies(a, 2)
	victim := c.holders(a.blobs[0])[0]
	victim.Stop()
	lost := victim.dropBlobs(a)
	victim.Restart()
	c.eventually("it says so", func() error {
		if n := strings.Count(victim.Log(), "a copy of a blob is lost"); n < lost {
			return fmt.Errorf("of %d blobs, of %d\n%s", n, lost, victim.Log())
		}
		return nil
	})
	c.wantCopies(a, 2)
	for _, n := range c.nodes {
		n.wantArtifact(a)
		n.command("check")
	}
}

// dropBlobs deletes what the node has of an artifact, and says how many files.
func (n *node) dropBlobs(a *artifact) (dropped int) {
	n.net.t.Helper()
	for _, b := range a.blobs {
		if path := n.blobFile(b.digest); path != "" {
			if err := os.Remove(path); err != nil {
				n.net.t.Fatal(err)
			}
			dropped++
		}
	}
	return dropped
}

// TestOneNodeOfThreeRestoresTheOthers takes all blobs from two.
func TestOneNodeOfThreeRestoresTheOthers(t *testing.T) {
	c := newClusterWith(t)
	a := someArtifact(5)
	for _, n := range c.nodes {
		n.put(a) // each holds the blobs
	}
	c.wantCopies(a, 3)
	for _, n := range c.nodes[:2] {
		n.Stop()
		n.dropBlobs(a)
	}
	for _, n := range c.nodes[:2] {
		n.Restart()
	}
	c.wantCopies(a, 2)
	for _, n := range c.nodes {
		n.wantArtifact(a)
		n.command("check")
	}
}

// TestCollectedBlobsGoFromAllDisks has one node be down while its blobs are collected.
func TestCollectedBlobsGoFromAllDisks(t *testing.T) {
	c := newClusterWith(t, "--grace", "1s")
	a := someArtifact(3)
	for _, n := range c.nodes {
		n.put(a)
	}
	c.wantCopies(a, 3)
	away := c.nodes[2]
	away.Stop()
	c.eventually("the image is deleted", func() error {
		status, _, body := c.nodes[0].Do(http.MethodDelete, manifestPath(a), nil, nil)
		if status != http.StatusAccepted && status != http.StatusNotFound {
			return fmt.Errorf("%d %s", status, body)
		}
		return nil
	})
	nowhere := func(nodes []*node) func() error {
		return func() error {
			c.nodes[0].command("gc")
			for _, n := range nodes {
				for _, b := range a.blobs {
					if n.blobFile(b.digest) != "" {
						return fmt.Errorf("%s still has %s", n.name, b.digest)
					}
				}
			}
			return nil
		}
	}
	c.eventually("two nodes have nothing", nowhere(c.nodes[:2]))
	if away.blobFile(a.blobs[0].digest) == "" {
		t.Fatal("nothing is left on the node that is down: nothing is tested")
	}
	away.Restart()
	c.eventually("nobody has anything", nowhere(c.nodes))
	for _, n := range c.nodes {
		status, _, _ := n.Do(http.MethodGet, blobPath(a.repo, a.blobs[0].digest), nil, nil)
		if status != http.StatusNotFound {
			t.Errorf("%s answers %d for what was collected", n.name, status)
		}
		n.command("check")
	}
}

// TestConditionsTellOfTheCluster takes one node of three, then another.
func TestConditionsTellOfTheCluster(t *testing.T) {
	c := newClusterWith(t)
	watcher := c.nodes[0]
	says := func(words ...string) {
		t.Helper()
		c.eventually(fmt.Sprintf("status says %q", words), func() error {
			out := watcher.command("status")
			for _, w := range words {
				if !strings.Contains(out, w) {
					return fmt.Errorf("no %q in\n%s", w, out)
				}
			}
			return nil
		})
	}
	says("3 of 3 nodes answer", "all 3 nodes answer")
	c.nodes[2].Kill()
	says("2 of 3 nodes answer", "n3", "NodesAway", "MinimumAvailability")
	c.nodes[1].Kill()
	says("no leader", "NoQuorum", "ReadsOnly")
	for _, n := range c.nodes[1:] {
		n.Restart()
	}
	says("3 of 3 nodes answer", "leader n", "all 3 nodes answer")
}
