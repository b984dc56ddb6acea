//go:build cluster

package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"skerry.dev/skerry/test/skerry"
)

// patience is how long a cluster may take to do what it should.
const patience = time.Minute

// A cluster is several nodes, each on a host of its own.
type cluster struct {
	t     testing.TB
	net   *network
	bin   string
	nodes []*node
}

// A node is one of them. Its process is started and ended by its Server.
type node struct {
	*skerry.Server
	*host
	name string
}

// newCluster starts a node in each zone, the first one alone, the others with its
// token, and waits until all vote.
func newCluster(t testing.TB, zones ...string) *cluster {
	t.Helper()
	c := &cluster{t: t, net: newNetwork(t), bin: skerry.New(t, skerry.Options{}).Options.Binary}
	for _, zone := range zones {
		c.add(zone)
	}
	c.eventually("all nodes vote", c.allVote)
	return c
}

// allVote says whether every node has a vote.
func (c *cluster) allVote() error {
	all := c.members(c.nodes[0])
	for _, m := range all {
		if !m.Voter {
			return fmt.Errorf("%s does not vote", m.Name)
		}
	}
	if len(all) != len(c.nodes) {
		return fmt.Errorf("there are %d members of %d", len(all), len(c.nodes))
	}
	return nil
}

// without are all nodes but one.
func (c *cluster) without(n *node) []*node {
	return slices.DeleteFunc(slices.Clone(c.nodes), func(other *node) bool { return other == n })
}

// add starts one more node, on a host of its own.
func (c *cluster) add(zone string, args ...string) {
	c.t.Helper()
	number := len(c.nodes) + 1
	c.join(number, zone, c.net.host(number), args...)
}

// join starts a node on a host. The first one founds the cluster.
func (c *cluster) join(number int, zone string, at *host, args ...string) *node {
	c.t.Helper()
	args = append([]string{"--zone", zone}, args...)
	if len(c.nodes) > 0 {
		var token string
		c.eventually("a token", func() (err error) { // a leader may be on its way
			token, err = c.nodes[0].attempt("cluster", "token", "create", "-q")
			return err
		})
		args = append(args, "--join", c.nodes[0].URL, "--token", token)
	}
	n := c.prepare(number, at, args...)
	if len(c.nodes) > 0 {
		n.Password = c.nodes[0].Password // accounts are the cluster's
	}
	c.nodes = append(c.nodes, n)
	n.Restart()
	return n
}

// prepare makes a node that does not run yet, and is no part of c.
func (c *cluster) prepare(number int, at *host, args ...string) *node {
	c.t.Helper()
	n := &node{host: at, name: fmt.Sprint("n", number)}
	n.Server = skerry.New(c.t, skerry.Options{
		Binary: n.program(c.bin), Listen: n.ip() + ":5000", Dial: c.net.dial,
		Args: append([]string{"--node", n.name, "--name", n.ip()}, args...),
	})
	return n
}

// command runs a command of the program against the node, as its machine's root.
func (n *node) command(args ...string) string {
	n.net.t.Helper()
	out, err := n.tryCommand(args...)
	if err != nil {
		n.net.t.Fatalf("skerry %s at %s: %v\n%s", strings.Join(args, " "), n.name, err, out)
	}
	return out
}

func (n *node) tryCommand(args ...string) (string, error) {
	args = append(args, "--data", n.Options.Data)
	out, err := exec.Command(n.Options.Binary, args...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// attempt runs a command of the program against a node that may be in trouble.
func (n *node) attempt(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, n.Options.Binary, append(args, "--data", n.Options.Data)...).Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		err = fmt.Errorf("%w: %s", err, exit.Stderr)
	}
	return strings.TrimSpace(string(out)), err
}

// A member is a node as the cluster sees it.
type member struct {
	Name   string `json:"name"`
	Zone   string `json:"zone"`
	Voter  bool   `json:"voter"`
	Leader bool   `json:"leader"`
}

// members asks a node about the cluster.
func (c *cluster) members(n *node) (all []member) {
	c.t.Helper()
	out := n.command("cluster", "members", "-o", "json")
	if err := json.Unmarshal([]byte(out), &all); err != nil {
		c.t.Fatalf("%s: members: %v\n%s", n.name, err, out)
	}
	return all
}

// leader is the node that leads, in the eyes of at.
func (c *cluster) leader(at *node) *node {
	c.t.Helper()
	var found *node
	c.eventually("a leader", func() error {
		for _, m := range c.members(at) {
			for _, n := range c.nodes {
				if m.Leader && n.name == m.Name {
					found = n
					return nil
				}
			}
		}
		return fmt.Errorf("%s knows none", at.name)
	})
	return found
}

// cut keeps a and b from hearing each other.
func (c *cluster) cut(a, b *node) {
	a.deaf(b.host)
	b.deaf(a.host)
}

// isolate cuts a node off from all others, not from clients.
func (c *cluster) isolate(n *node) {
	for _, other := range c.nodes {
		if other != n {
			c.cut(n, other)
		}
	}
}

// heal ends all cuts.
func (c *cluster) heal() {
	for _, n := range c.nodes {
		n.heal()
	}
}

// wipe gives a stopped node a new disk.
func (n *node) wipe() {
	n.net.t.Helper()
	if err := os.RemoveAll(filepath.Clean(n.Options.Data)); err != nil {
		n.net.t.Fatal(err)
	}
}

// eventually tries until it works.
func (c *cluster) eventually(what string, try func() error) {
	c.t.Helper()
	end := time.Now().Add(patience)
	err := try()
	for ; err != nil && time.Now().Before(end); err = try() {
		time.Sleep(50 * time.Millisecond) //nolint:forbidigo // other processes: there is nothing else to wait for
	}
	if err != nil {
		c.t.Fatalf("%s: %v", what, err)
	}
}
