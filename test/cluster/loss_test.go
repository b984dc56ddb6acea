//go:build cluster

package cluster

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// unwritable is how long writes may be interrupted.
const unwritable = 3 * time.Second

// TestALostLeaderIsReplaced kills whoever leads, and measures how long it takes until
// another node acknowledges a push.
func TestALostLeaderIsReplaced(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	img := c.nodes[0].push("team/app", "v0")
	dead := c.leader(c.nodes[0])
	dead.Kill()
	begun := time.Now()
	alive := c.without(dead)[0]
	var err error
	for i := 1; time.Since(begun) < patience; i++ {
		if _, err = alive.tryPush("team/app", fmt.Sprint("after", i)); err == nil {
			break
		}
	}
	if took := time.Since(begun); err != nil || took > unwritable {
		t.Errorf("pushes are acknowledged again after %s: %v", took, err)
	} else {
		t.Logf("pushes are acknowledged again after %s", took)
	}
	for _, n := range c.without(dead) {
		n.wantPull("team/app", "v0", img)
	}
	late := alive.push("team/app", "late")
	dead.Restart()
	dead.wantPull("team/app", "late", late)
}

// TestANodeCutOffReadsAndSaysSo isolates one: what it has can be pulled, with a warning,
// and nothing is pushed.
func TestANodeCutOffReadsAndSaysSo(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	img := c.nodes[0].push("team/app", "v0")
	for _, n := range c.nodes { // so that each has it
		n.wantPull("team/app", "v0", img)
	}
	cut := c.leader(c.nodes[0])
	c.isolate(cut)
	rest := c.without(cut)
	var next *image
	c.eventually("the others elect a leader", func() (err error) {
		next, err = rest[0].tryPush("team/app", "v0")
		return err
	})
	rest[1].wantPull("team/app", "v0", next)

	cut.wantPull("team/app", "v0", img) // the old one, which is what it knows
	_, head, _ := cut.Do(http.MethodHead, "/v2/team/app/manifests/v0", nil, nil)
	if !strings.HasPrefix(head.Get("Warning"), "110 ") {
		t.Errorf("cut off, it answers with Warning %q", head.Get("Warning"))
	}
	begun := time.Now()
	if _, err := cut.tryPush("team/app", "v1"); err == nil {
		t.Error("cut off, it acknowledges a push")
	} else if took := time.Since(begun); took > unwritable || !strings.Contains(err.Error(), "503") {
		t.Errorf("cut off, it refuses a push after %s with %v", took, err)
	}
	c.heal()
	c.eventually("it follows again", func() error {
		status, head, got := cut.Do(http.MethodGet, "/v2/team/app/manifests/v0", nil, nil)
		if status != http.StatusOK || string(got) != string(next.manifest) || head.Get("Warning") != "" {
			return fmt.Errorf("it answers %d %s with Warning %q", status, got, head.Get("Warning"))
		}
		return nil
	})
}

// TestOneNodeLeftServesReads starts one node of three alone.
func TestOneNodeLeftServesReads(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	img := c.nodes[0].push("team/app", "v0")
	for _, n := range c.nodes {
		n.wantPull("team/app", "v0", img)
	}
	for _, n := range c.nodes {
		n.Kill()
	}
	begun := time.Now()
	c.nodes[2].Restart()
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("it serves reads after %s", took)
	} else {
		t.Logf("it serves reads after %s", took)
	}
	c.nodes[2].wantPull("team/app", "v0", img)
}

// TestALostDiskIsReplaced removes a node whose disk is gone, and has a new one join.
func TestALostDiskIsReplaced(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	img := c.nodes[1].push("team/web", "v0")
	lost := c.nodes[2]
	lost.Kill()
	lost.wipe()
	c.nodes[0].command("cluster", "remove", "--force", lost.name)
	c.nodes = c.nodes[:2]
	next := c.join(3, "c", lost.host)
	next.wantPull("team/web", "v0", img)
	c.eventually("the new node votes", c.allVote)
}
