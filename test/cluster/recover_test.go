//go:build cluster

package cluster

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// TestCheckOfAStoppedMemberNeedsNobody checks a follower's data directory while no
// other node runs.
func TestCheckOfAStoppedMemberNeedsNobody(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	c.nodes[0].push("team/app", "v0")
	for _, n := range c.nodes {
		n.Kill()
	}
	for _, n := range c.nodes {
		vote := func() string {
			b, err := os.ReadFile(filepath.Join(n.Options.Data, "raft", "vote"))
			if err != nil {
				t.Fatal(err)
			}
			return string(b)
		}
		before := vote()
		for range 2 {
			if out := n.command("check"); !strings.HasPrefix(out, "0 problems") {
				t.Errorf("%s: %s", n.name, out)
			}
		}
		if vote() != before {
			t.Errorf("%s: the check voted", n.name)
		}
	}
	for _, n := range c.nodes {
		n.Restart()
	}
	c.eventually("they go on", func() error { _, err := c.nodes[1].tryPush("team/app", "v1"); return err })
}

// TestLostQuorumIsRecovered destroys two of three disks, and goes on with the third.
func TestLostQuorumIsRecovered(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	images := map[string]*image{}
	for i, n := range c.nodes {
		tag := fmt.Sprint("v", i)
		images[tag] = n.push("team/app", tag)
	}
	one := c.nodes[2]
	for tag, img := range images { // so that it has all bytes
		one.wantPull("team/app", tag, img)
	}
	c.eventually("it knows that it has them", func() error {
		out, err := one.tryCommand("check")
		if err != nil || !strings.HasPrefix(out, "0 problems") {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	if out, err := one.tryCommand("cluster", "recover", "--yes"); err == nil || !strings.Contains(out, "in use") {
		t.Errorf("of a running node: %v %s", err, out)
	}
	lost := c.nodes[:2]
	for _, n := range c.nodes {
		n.Kill()
	}
	for _, n := range lost {
		n.wipe()
	}
	out := one.command("cluster", "recover")
	for _, want := range []string{"index", "written", lost[0].ip(), lost[1].ip(), "Nothing was changed"} {
		if !strings.Contains(out, want) {
			t.Errorf("without --yes it does not say %q: %s", want, out)
		}
	}
	t.Log(out)
	t.Log(one.command("cluster", "recover", "--yes"))
	again, err := one.tryCommand("cluster", "recover", "--yes")
	if err == nil || !strings.Contains(again, "nothing to recover") {
		t.Errorf("once more: %v %s", err, again)
	}
	one.Restart()
	for tag, img := range images {
		one.wantPull("team/app", tag, img)
	}
	images["alone"] = one.push("team/app", "alone")

	c.nodes = []*node{one}
	for i, old := range lost {
		c.join(i+1, string(rune('a'+i)), old.host)
	}
	c.eventually("the new nodes vote", c.allVote)
	c.eventually("every blob has its copies", func() error { return c.copied(2, images) })
	for _, n := range c.nodes {
		for tag, img := range images {
			n.wantPull("team/app", tag, img)
		}
	}
	images["three"] = c.nodes[1].push("team/app", "three")
	one.Kill()
	for tag, img := range images {
		c.nodes[1].wantPull("team/app", tag, img)
	}
}

// copied says whether each blob of the images is on so many disks.
func (c *cluster) copied(copies int, images map[string]*image) error {
	for tag, img := range images {
		for d := range img.blobs {
			found := 0
			for _, n := range c.nodes {
				if n.has(d) {
					found++
				}
			}
			if found < copies {
				return fmt.Errorf("blob %s of %s is on %d disks", d, tag, found)
			}
		}
	}
	return nil
}

// has says whether the bytes are on the node's disk.
func (n *node) has(d digest.Digest) bool {
	blobs := filepath.Join(n.Options.Data, "storage", "blobs", d.Algorithm().String())
	_, err := os.Stat(filepath.Join(blobs, d.Encoded()[:2], d.Encoded()))
	return err == nil
}
