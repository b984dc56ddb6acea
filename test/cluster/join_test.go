//go:build cluster

package cluster

import (
	"fmt"
	"net/http"
	"testing"
)

// TestThreeNodesAreOneRegistry pushes to each node and pulls from every other.
func TestThreeNodesAreOneRegistry(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	for i, n := range c.nodes {
		tag := fmt.Sprint("v", i)
		img := n.push("team/app", tag)
		for _, other := range c.nodes {
			other.wantPull("team/app", tag, img)
		}
	}
	for _, n := range c.nodes {
		if status, _, body := n.Do(http.MethodGet, "/v2/team/app/tags/list", nil, nil); status != http.StatusOK ||
			string(body) != `{"name":"team/app","tags":["v0","v1","v2"]}`+"\n" {
			t.Errorf("%s lists %d %s", n.name, status, body)
		}
	}
}
