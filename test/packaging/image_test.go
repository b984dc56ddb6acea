//go:build packaging

package packaging

import (
	cryptotls "crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"skerry.dev/skerry/test/skerry"
)

// TestTheImageServes pushes the image to a registry with skopeo, pulls it with
// podman, and runs what was pulled until it serves in turn.
func TestTheImageServes(t *testing.T) {
	t.Parallel()
	s := skerry.Start(t, skerry.Options{})
	p := newPodman(t, s)
	ref := s.Addr + "/skerry/skerry:" + newVersion
	p.run("skopeo", "--insecure-policy", "copy", "-q", "--all", "--dest-creds", s.User+":"+s.Password,
		"--dest-cert-dir", p.certs, "oci:"+made(t, "new", "image")+":"+newVersion, "docker://"+ref)
	p.wantBothArchitectures(ref)
	p.input(s.Password, "podman", "login", "--cert-dir", p.certs, "-u", s.User, "--password-stdin", s.Addr)
	p.run("podman", "pull", "-q", "--cert-dir", p.certs, ref)

	addr := "127.0.0.1:" + port(t)
	p.serve(ref, addr)
	for _, name := range []string{"trust/ca.crt", "admin-password"} {
		p.run("podman", "cp", "skerry:/var/lib/skerry/"+name, filepath.Join(p.home, filepath.Base(name)))
	}
	p.wantLogin("https://"+addr+"/v2/", "127.0.0.1")
	p.wantLogin("https://"+addr+"/v2/", "registry.example.com") // its certificate is for that name, too
	if out := p.run("podman", "exec", "skerry", "/usr/bin/skerry", "status"); !strings.Contains(out, newVersion) {
		t.Errorf("skerry status in the container says:\n%s", out)
	}
	if out := p.run("podman", "top", "skerry", "huser", "args"); !strings.Contains(out, "65532") {
		t.Errorf("it does not run as its user:\n%s", out)
	}
	p.run("podman", "stop", "skerry")
	if code := p.run("podman", "wait", "skerry"); code != "0" {
		t.Errorf("it ended with %s:\n%s", code, p.run("podman", "logs", "skerry"))
	}
}

// A podman is podman, and skopeo, with a home directory of their own.
type podman struct {
	t           *testing.T
	server      *skerry.Server
	home, certs string
	env         []string
}

func newPodman(t *testing.T, s *skerry.Server) *podman {
	t.Helper()
	home, err := os.MkdirTemp("", "pod-") //nolint:usetesting // podman wants no more than 50 characters
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // layers keep their modes: some directories cannot be written to
		if out, err := exec.Command("chmod", "-R", "u+rwX", home).CombinedOutput(); err != nil {
			t.Errorf("clean up: %v\n%s", err, out)
		}
		if err := os.RemoveAll(home); err != nil {
			t.Errorf("clean up: %v", err)
		}
	})
	p := &podman{t: t, server: s, home: home, certs: filepath.Join(home, "certs")}
	ca, err := os.ReadFile(s.CA)
	if err != nil {
		t.Fatal(err)
	}
	p.write("certs/ca.crt", string(ca))
	p.write("run/none", "")
	p.write(".config/containers/policy.json", `{"default": [{"type": "insecureAcceptAnything"}]}`)
	// vfs works on any file system, and nothing of podman's asks for systemd.
	storage := p.write("storage.conf", fmt.Sprintf("[storage]\ndriver = \"vfs\"\ngraphroot = %q\nrunroot = %q\n",
		filepath.Join(home, "storage"), filepath.Join(home, "run")))
	engine := p.write("containers.conf", "[engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"none\"\n")
	p.env = append(os.Environ(), "CONTAINERS_STORAGE_CONF="+storage, "CONTAINERS_CONF="+engine, "HOME="+home,
		"XDG_CONFIG_HOME="+filepath.Join(home, ".config"), "XDG_RUNTIME_DIR="+filepath.Join(home, "run"),
		"REGISTRY_AUTH_FILE="+p.write("auth.json", "{}"))
	return p
}

func (p *podman) write(name, content string) string {
	p.t.Helper()
	path := filepath.Join(p.home, name)
	err := os.MkdirAll(filepath.Dir(path), 0o700)
	if err = errors.Join(err, os.WriteFile(path, []byte(content), 0o600)); err != nil {
		p.t.Fatal(err)
	}
	return path
}

func (p *podman) run(args ...string) string {
	p.t.Helper()
	return p.input("", args...)
}

func (p *podman) input(text string, args ...string) string {
	p.t.Helper()
	cmd := exec.CommandContext(p.t.Context(), args[0], args[1:]...)
	cmd.Env, cmd.Dir, cmd.Stdin = p.env, p.home, strings.NewReader(text)
	return strings.TrimSpace(finish(p.t, cmd))
}

// serve runs the image as a container on an address of this machine, and waits
// until it is ready. Everything podman would raise limits for is given.
func (p *podman) serve(ref, addr string) {
	p.t.Helper()
	p.run("podman", "run", "-d", "--name", "skerry", "--runtime", "runc", "--network", "host",
		"--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024", "-v", "skerry:/var/lib/skerry",
		"-e", "SKERRY_NAME=registry.example.com", ref,
		"serve", "--listen", addr, "--disk-soft", "100", "--disk-high", "100", "--disk-critical", "100")
	p.t.Cleanup(func() {
		cmd := exec.Command("podman", "rm", "-f", "-t", "0", "skerry") // the test's own context has ended
		cmd.Env = p.env
		if out, err := cmd.CombinedOutput(); err != nil {
			p.t.Errorf("clean up: %v\n%s", err, out)
		}
	})
	client := &http.Client{Transport: &http.Transport{ // the CA is inside, and is asked for below
		TLSClientConfig: &cryptotls.Config{InsecureSkipVerify: true}, //nolint:gosec // is it there?
	}}
	end := time.Now().Add(patience)
	for {
		resp, err := client.Get("https://" + addr + "/readyz")
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
			err = fmt.Errorf("it says %s", resp.Status)
		}
		if time.Now().After(end) {
			p.t.Fatalf("the container does not become ready: %v\n%s", err, p.run("podman", "logs", "skerry"))
		}
		time.Sleep(20 * time.Millisecond) //nolint:forbidigo // another process: there is nothing else to wait for
	}
}

// wantLogin asks the container, by a name, with the CA and the password that were in it.
func (p *podman) wantLogin(url, name string) {
	p.t.Helper()
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(p.home, name))
		if err != nil {
			p.t.Fatal(err)
		}
		return b
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(read("ca.crt"))
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &cryptotls.Config{RootCAs: roots, ServerName: name, MinVersion: cryptotls.VersionTLS12},
	}}
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, url, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	req.SetBasicAuth("admin", strings.TrimSpace(string(read("admin-password"))))
	resp, err := client.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		p.t.Errorf("%s: %s", url, resp.Status)
	}
}

// wantBothArchitectures looks at what was pushed, without running it.
func (p *podman) wantBothArchitectures(ref string) {
	p.t.Helper()
	for _, arch := range []string{"amd64", "arm64"} {
		raw := p.run("skopeo", "--insecure-policy", "--override-arch", arch, "inspect", "--config",
			"--creds", p.server.User+":"+p.server.Password, "--cert-dir", p.certs, "docker://"+ref)
		var image ocispec.Image
		if err := json.Unmarshal([]byte(raw), &image); err != nil {
			p.t.Fatal(err)
		}
		c := image.Config
		_, volume := c.Volumes["/var/lib/skerry"]
		_, exposed := c.ExposedPorts["5000/tcp"]
		if image.Architecture != arch || c.User != "65532:65532" || !volume || !exposed ||
			c.Labels[ocispec.AnnotationVersion] != newVersion || len(image.RootFS.DiffIDs) != 1 {
			p.t.Errorf("the image for %s is %s", arch, raw)
		}
	}
}
