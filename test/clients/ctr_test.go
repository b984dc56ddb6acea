//go:build clients

package clients

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// patience is how long containerd may take to start and to stop.
const patience = 30 * time.Second

// TestContainerdPullsAndPushes has containerd pull through a hosts.toml, as
// Kubernetes nodes do, unpack the image, and push it under another name.
func TestContainerdPullsAndPushes(t *testing.T) {
	t.Parallel()
	b, img := newBox(t), image(t, gzipImage)
	b.skopeoLogin()
	b.copyIn(img, "ctr/app:1")
	b.write("certs.d/"+b.Addr+"/hosts.toml", fmt.Sprintf(
		"server = %q\n[host.%q]\ncapabilities = [\"pull\", \"resolve\", \"push\"]\nca = %q\n", b.URL, b.URL, b.CA))
	ctr := b.containerd()

	hosts := []string{"--hosts-dir", b.path("certs.d"), "--user", b.credentials()}
	ctr(append(append([]string{"images", "pull", "--snapshotter", "native"}, hosts...), b.ref("ctr/app:1"))...)
	if list := ctr("images", "ls"); !strings.Contains(list, img.manifest.String()) {
		t.Errorf("containerd has not %s:\n%s", img.manifest, list)
	}
	ctr(append(append([]string{"images", "push"}, hosts...), b.ref("ctr/again:1"), b.ref("ctr/app:1"))...)
	if got := digest.FromString(b.rawManifest("docker://" + b.ref("ctr/again:1"))); got != img.manifest {
		t.Errorf("pushed %s, want %s", got, img.manifest)
	}
	checkLayout(t, b.copyOut("ctr/again:1"), img)
}

// containerd starts one of the test's own, as root because it mounts, and
// returns what runs ctr with it.
func (b *box) containerd() (ctr func(args ...string) string) {
	b.t.Helper()
	socket := b.path("c.sock")
	config := b.write("containerd.toml", fmt.Sprintf(
		"version = 2\nroot = %q\nstate = %q\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = %q\n",
		b.path("ctr/root"), b.path("ctr/state"), socket))
	name, args := asRoot("containerd", "--config", config)
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env, cmd.Dir = b.env, b.home
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = patience
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // ended by us
		if b.t.Failed() {
			b.t.Logf("log of containerd:\n%s", &log)
		}
		name, args := asRoot("rm", "-rf", b.path("ctr"), socket, socket+".ttrpc")
		if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
			b.t.Errorf("remove containerd's files: %v\n%s", err, out)
		}
	})
	ctr = func(args ...string) string {
		b.t.Helper()
		name, args := asRoot("ctr", append([]string{"--address", socket}, args...)...)
		return b.run(name, args...)
	}
	b.await(socket)
	ctr("version")
	return ctr
}

// await waits until there is a file.
func (b *box) await(path string) {
	b.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(patience); ; {
		if _, err := os.Stat(path); err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-end:
			b.t.Fatalf("no %s after %s", path, patience)
		}
	}
}

// asRoot is a command as root runs it.
func asRoot(name string, args ...string) (string, []string) {
	if os.Getuid() == 0 {
		return name, args
	}
	return "sudo", append([]string{"-n", "-E", name}, args...)
}
