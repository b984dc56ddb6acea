//go:build cluster

package cluster

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"skerry.dev/skerry/test/skerry"
)

// A shell runs other people's programs in a home of their own that trusts a CA.
type shell struct {
	t    testing.TB
	home string
	env  []string
}

// newShell makes a home. Its name is short, as podman wants it.
func newShell(t testing.TB, ca string) *shell {
	t.Helper()
	home, err := os.MkdirTemp("", "sh-") //nolint:usetesting // its directories have long names
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	s := &shell{t: t, home: home}
	pem, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"certs/ca.crt":                   string(pem),
		".config/containers/policy.json": `{"default": [{"type": "insecureAcceptAnything"}]}`,
		"auth.json":                      "{}",
		"storage.conf": fmt.Sprintf("[storage]\ndriver = \"vfs\"\ngraphroot = %q\nrunroot = %q\n",
			s.path("storage"), s.path("run")),
		"containers.conf": "[engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"none\"\n",
		"docker/.keep":    "", "run/.keep": "",
	} {
		writeFile(t, s.path(name), []byte(content))
	}
	s.env = append(os.Environ(),
		"HOME="+home, "XDG_CONFIG_HOME="+s.path(".config"), "XDG_DATA_HOME="+s.path(".local"),
		"XDG_CACHE_HOME="+s.path(".cache"), "XDG_RUNTIME_DIR="+s.path("run"), "DOCKER_CONFIG="+s.path("docker"),
		"REGISTRY_AUTH_FILE="+s.path("auth.json"), "SSL_CERT_FILE="+s.path("certs/ca.crt"),
		"CONTAINERS_STORAGE_CONF="+s.path("storage.conf"), "CONTAINERS_CONF="+s.path("containers.conf"),
	)
	return s
}

func (s *shell) path(elem ...string) string {
	return filepath.Join(append([]string{s.home}, elem...)...)
}
func (s *shell) certs() string { return s.path("certs") }

// run runs a program to a good end and returns what it says.
func (s *shell) run(name string, args ...string) string {
	s.t.Helper()
	return s.input("", name, args...)
}

// input is run with a text as standard input.
func (s *shell) input(text, name string, args ...string) string {
	s.t.Helper()
	var out, diag bytes.Buffer
	cmd := exec.CommandContext(s.t.Context(), name, args...)
	cmd.Env, cmd.Dir = s.env, s.home
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(text), &out, &diag
	if err := cmd.Run(); err != nil {
		s.t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, &out, &diag)
	}
	return strings.TrimSpace(out.String())
}

// login logs skopeo, podman and buildah in at a registry's address.
func (s *shell) login(addr string, as *skerry.Server) {
	s.t.Helper()
	s.input(as.Password, "skopeo", "login", "--cert-dir", s.certs(), "-u", as.User, "--password-stdin", addr)
}
