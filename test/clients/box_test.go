//go:build clients

package clients

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"skerry.dev/skerry/test/skerry"
)

// A box is what one test's clients see of the world: a registry, and a home
// directory with nothing in it but the registry's CA and a policy that takes
// images unsigned.
type box struct {
	*skerry.Server
	t    *testing.T
	home string   // for whatever the test wants to put there
	env  []string // of every command
}

// newBox starts a registry and makes a home.
func newBox(t *testing.T) *box {
	t.Helper()
	b := &box{Server: skerry.Start(t, skerry.Options{}), t: t, home: home(t)}
	t.Cleanup(b.endPause)
	b.write("certs/ca.crt", b.read(b.CA))
	b.write(".config/containers/policy.json", `{"default": [{"type": "insecureAcceptAnything"}]}`)
	// vfs works on any file system, and nothing of podman's asks for systemd.
	storage := b.write("storage.conf", fmt.Sprintf("[storage]\ndriver = \"vfs\"\ngraphroot = %q\nrunroot = %q\n",
		b.path("storage"), b.path("run")))
	engine := b.write("containers.conf", "[engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"none\"\n")
	b.env = append(os.Environ(),
		"CONTAINERS_STORAGE_CONF="+storage,
		"CONTAINERS_CONF="+engine,
		"HOME="+b.home,
		"XDG_CONFIG_HOME="+b.path(".config"),
		"XDG_DATA_HOME="+b.path(".local/share"),
		"XDG_CACHE_HOME="+b.path(".cache"),
		"XDG_RUNTIME_DIR="+b.mkdir("run"),
		"DOCKER_CONFIG="+b.mkdir("docker"),
		"REGISTRY_AUTH_FILE="+b.write("auth.json", "{}"),
		"SSL_CERT_FILE="+b.path("certs/ca.crt"), // Go programs without a flag for it
	)
	return b
}

// home makes a directory with a short name: podman wants no more than 50
// characters, and a socket has no more than 107.
func home(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "box-") //nolint:usetesting // its directories have long names
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(filepath.WalkDir(dir, writable), os.RemoveAll(dir)); err != nil {
			t.Errorf("clean up: %v", err)
		}
	})
	return dir
}

// writable makes a directory one that its owner can empty: layers that podman
// unpacked for an ordinary user have others.
func writable(path string, d fs.DirEntry, err error) error {
	if err != nil || !d.IsDir() {
		return err
	}
	return os.Chmod(path, 0o700)
}

// endPause ends the process with which podman keeps the name space of an
// ordinary user open, if there is one.
func (b *box) endPause() {
	pid, err := os.ReadFile(b.path("run", "libpod", "tmp", "pause.pid"))
	if err != nil {
		return // it was not podman, or it was root's
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(pid)))
	if err == nil {
		err = syscall.Kill(n, syscall.SIGKILL)
	}
	if err != nil {
		b.t.Errorf("end podman's pause process: %v", err)
	}
}

// path is a path in the box.
func (b *box) path(elem ...string) string {
	return filepath.Join(append([]string{b.home}, elem...)...)
}

// certs is a directory in the form that containers/image wants.
func (b *box) certs() string { return b.path("certs") }

// credentials is the account as most clients take it.
func (b *box) credentials() string { return b.User + ":" + b.Password }

// ref is the full name of an image in the registry.
func (b *box) ref(name string) string { return b.Addr + "/" + name }

// run runs a client to a good end and returns what it writes to its standard
// output, without the space around it.
func (b *box) run(name string, args ...string) string {
	b.t.Helper()
	out, stderr, err := b.try("", name, args...)
	if err != nil {
		b.t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out, stderr)
	}
	return out
}

// input is run with a text as standard input, such as a password.
func (b *box) input(text, name string, args ...string) string {
	b.t.Helper()
	out, stderr, err := b.try(text, name, args...)
	if err != nil {
		b.t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out, stderr)
	}
	return out
}

// refuse runs a client that must end with an error, and returns its words.
func (b *box) refuse(name string, args ...string) string {
	b.t.Helper()
	out, stderr, err := b.try("", name, args...)
	if err == nil {
		b.t.Fatalf("%s %s succeeded:\n%s", name, strings.Join(args, " "), out)
	}
	return out + stderr
}

func (b *box) try(stdin, name string, args ...string) (stdout, stderr string, err error) {
	var out, diag bytes.Buffer
	cmd := exec.CommandContext(b.t.Context(), name, args...)
	cmd.Env, cmd.Dir = b.env, b.home
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &diag
	err = cmd.Run()
	return strings.TrimSpace(out.String()), diag.String(), err
}

func (b *box) read(path string) string {
	b.t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		b.t.Fatal(err)
	}
	return string(content)
}

// write writes a file of the box.
func (b *box) write(name, content string) string {
	b.t.Helper()
	b.mkdir(filepath.Dir(name))
	if err := os.WriteFile(b.path(name), []byte(content), 0o600); err != nil {
		b.t.Fatal(err)
	}
	return b.path(name)
}

// mkdir makes a directory of the box.
func (b *box) mkdir(name string) string {
	b.t.Helper()
	if err := os.MkdirAll(b.path(name), 0o700); err != nil {
		b.t.Fatal(err)
	}
	return b.path(name)
}
