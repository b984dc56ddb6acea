//go:build cluster

package cluster

import (
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// refused runs a node that is not to become a member, and returns what it says. It
// must end by itself.
func (n *node) refused(t *testing.T, what, want string, args ...string) {
	t.Helper()
	args = append([]string{"serve", "--data", n.Options.Data, "--listen", n.ip() + ":5000", "--node", n.name}, args...)
	cmd := exec.Command(n.Options.Binary, args...)
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	death := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
	err := cmd.Wait()
	if !death.Stop() || err == nil || !strings.Contains(said.String(), want) {
		t.Errorf("%s: %v, it does not say %q:\n%s", what, err, want, said.String())
	}
}

// TestWhoMayNotJoinIsToldWhy tries tokens and directories that are no good, and a
// node that was removed.
func TestWhoMayNotJoinIsToldWhy(t *testing.T) {
	c := newCluster(t, "a", "b")
	first, second := c.nodes[0], c.nodes[1]
	token := func(args ...string) string {
		return first.command(append([]string{"cluster", "token", "create", "-q"}, args...)...)
	}
	stranger := c.prepare(3, c.net.host(3))
	join := func(token string) []string { return []string{"--join", first.URL, "--token", token} }

	good := token()
	parts := strings.Split(good, ".")
	stranger.refused(t, "no token at all", "token", join("nonsense")...)
	wrong := strings.Join([]string{parts[0], parts[1], strings.Repeat("a", len(parts[2])), parts[3]}, ".")
	stranger.refused(t, "a wrong secret", "token", join(wrong)...)
	other := strings.Join(append(parts[:3:3], strings.Repeat("0", len(parts[3]))), ".")
	stranger.refused(t, "a token of another cluster", "cluster", join(other)...)
	first.command("cluster", "token", "revoke", parts[1])
	stranger.refused(t, "a revoked token", "skerry cluster token create", join(good)...)
	brief := token("--expires", "1s")
	time.Sleep(1100 * time.Millisecond) //nolint:forbidigo // until it ends, by the clock of other processes
	stranger.refused(t, "an expired token", "expired", join(brief)...)

	if all := c.members(first); len(all) != 2 {
		t.Errorf("there are members %+v", all)
	}
	stranger.Restart() // it founds a registry
	stranger.Kill()
	stranger.refused(t, "a registry of its own", "registry of its own", join(token())...)

	first.command("cluster", "remove", "--force", second.name)
	second.Kill()
	c.eventually("one is left", func() error { c.nodes = c.nodes[:1]; return c.allVote() })
	second.Restart() // it has what it had, and says that it is out
	c.eventually("it says that it was removed", func() error {
		if !strings.Contains(second.Log(), "was removed from the cluster") {
			return errors.New("it does not")
		}
		return nil
	})
	if _, err := second.tryPush("team/app", "v0"); err == nil {
		t.Error("a removed node takes pushes")
	}
	first.push("team/app", "v0")
	if all := c.members(first); len(all) != 1 {
		t.Errorf("there are members %+v", all)
	}
}
