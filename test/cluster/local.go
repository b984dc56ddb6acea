//go:build cluster

package cluster

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"skerry.dev/skerry/test/skerry"
)

// A local cluster is several nodes on loopback, where other programs reach them as
// they reach any registry. Nothing can be cut there.
type local struct {
	t     testing.TB
	nodes []*skerry.Server
}

// newLocal starts so many nodes, with further flags, and waits until all vote.
func newLocal(t testing.TB, nodes int, args ...string) *local {
	t.Helper()
	l := &local{t: t}
	for i := range nodes {
		with := append([]string{"--node", fmt.Sprint("n", i+1), "--zone", fmt.Sprint("z", i+1)}, args...)
		if i > 0 {
			with = append(with, "--join", l.nodes[0].URL, "--token", command(t, l.nodes[0], "cluster", "token", "create", "-q"))
		}
		s := skerry.New(t, skerry.Options{Args: with})
		if i > 0 {
			s.Password = l.nodes[0].Password
		}
		s.Restart()
		l.nodes = append(l.nodes, s)
	}
	soon(t, "all nodes vote", func() error {
		var all []member
		if err := json.Unmarshal([]byte(command(t, l.nodes[0], "cluster", "members", "-o", "json")), &all); err != nil {
			return err
		}
		for _, m := range all {
			if !m.Voter {
				return fmt.Errorf("%s does not vote", m.Name)
			}
		}
		return nil
	})
	return l
}

// command runs a command of the program at a node, as its machine's root.
func command(t testing.TB, s *skerry.Server, args ...string) string {
	t.Helper()
	args = append(args, "--data", s.Options.Data)
	out, err := exec.Command(s.Options.Binary, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("skerry %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// soon tries until it works.
func soon(t testing.TB, what string, try func() error) {
	t.Helper()
	err := try()
	for end := time.Now().Add(patience); err != nil && time.Now().Before(end); err = try() {
		time.Sleep(50 * time.Millisecond) //nolint:forbidigo // other processes: there is nothing else to wait for
	}
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}
