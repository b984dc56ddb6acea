//go:build cluster

package cluster

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestAFollowersBackupHoldsWhatOthersHold backs up by a node that does not lead and
// lacks blobs, and builds a new cluster of the archive.
func TestAFollowersBackupHoldsWhatOthersHold(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	images := map[string]*image{}
	for i := range 9 {
		tag := fmt.Sprint("v", i)
		images[tag] = c.nodes[i%2].push("team/app", tag)
	}
	follower := c.nodes[2]
	if c.leader(follower) == follower {
		t.Fatal("it leads: nothing is tested")
	}
	lacks := func() (n int) {
		for _, img := range images {
			for d := range img.blobs {
				if !follower.has(d) {
					n++
				}
			}
		}
		return n
	}
	before := lacks()
	if before == 0 {
		t.Fatal("it has every blob: nothing is tested")
	}
	archive := filepath.Join(t.TempDir(), "archive")
	follower.command("backup", archive)
	if after := lacks(); after < before {
		t.Errorf("the backup kept %d of %d blobs that are others'", before-after, before)
	}

	for _, n := range c.nodes {
		n.Kill()
	}
	first, rest := c.nodes[0], c.nodes[1:]
	first.wipe()
	out := first.command("restore", archive)
	if strings.Contains(out, "Not in the backup") {
		t.Error(out)
	}
	first.Restart()
	if out := first.command("check"); !strings.HasPrefix(out, "0 problems") {
		t.Error(out)
	}
	c.nodes = []*node{first}
	for i, old := range rest {
		c.join(i+2, "b", old.host)
	}
	c.eventually("the new nodes vote", c.allVote)
	for _, n := range c.nodes {
		for tag, img := range images {
			n.wantPull("team/app", tag, img)
		}
	}
	next := c.nodes[2].push("team/app", "next")
	c.nodes[1].wantPull("team/app", "next", next)
}

// TestARestoredNodeIsNoMemberOfTheOldCluster starts what a backup was taken from
// beside what was built of it, at an address that the old cluster knows.
func TestARestoredNodeIsNoMemberOfTheOldCluster(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	img := c.nodes[0].push("team/app", "v0")
	archive := filepath.Join(t.TempDir(), "archive")
	c.nodes[0].command("backup", archive)
	first, rest := c.nodes[0], c.nodes[1:]
	first.Kill()
	var old *image
	c.eventually("the others go on", func() (err error) {
		old, err = rest[0].tryPush("team/app", "v0")
		return err
	})
	first.wipe()
	first.command("restore", archive)
	first.Restart()
	for range 20 { // some rounds of whatever the old ones try
		first.wantPull("team/app", "v0", img)
		rest[1].wantPull("team/app", "v0", old)
		time.Sleep(100 * time.Millisecond) //nolint:forbidigo // that nothing comes is only to be waited for
	}
	if all := c.members(first); len(all) != 1 {
		t.Errorf("the restored one has members %+v", all)
	}
	next := first.push("team/app", "next")
	first.wantPull("team/app", "next", next)
}

// TestASurvivorIsBackedUp takes what one node has while no other runs.
func TestASurvivorIsBackedUp(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	img := c.nodes[0].push("team/app", "v0")
	one := c.nodes[2]
	one.wantPull("team/app", "v0", img)
	c.nodes[0].Kill()
	c.nodes[1].Kill()
	archive := filepath.Join(t.TempDir(), "archive")
	one.command("backup", archive)
	one.Kill()
	c.nodes[0].wipe()
	c.nodes[0].command("restore", archive)
	c.nodes[0].Restart()
	c.nodes[0].wantPull("team/app", "v0", img)
}
