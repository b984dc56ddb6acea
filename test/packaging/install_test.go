//go:build packaging

package packaging

import (
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// data is where installed registries keep everything.
const data = "var/lib/skerry"

// TestADebLivesOnDebian installs the older package, runs it, pushes to it,
// upgrades, pulls, and removes it again.
func TestADebLivesOnDebian(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	s.install(pack(t, "old", oldVersion, runtime.GOARCH, "deb"))
	s.wantInstalled(oldVersion)
	const wants = "etc/systemd/system/multi-user.target.wants/skerry.service"
	if !s.exists(wants) {
		t.Error("the service is not enabled")
	}
	// systemd has looked at the unit, and at the program it names.
	if out := s.run("systemd-analyze", "verify", "--man=no", "/usr/lib/systemd/system/skerry.service"); out != "" {
		t.Errorf("systemd-analyze verify: %s", out)
	}

	ref := s.configure()
	v := s.start()
	s.skopeo("copy", "oci:"+made(t, "new", "image")+":"+newVersion, ref)
	pushed := s.skopeo("inspect", "--raw", ref)
	if out := s.run("skerry", "status"); !regexp.MustCompile(`Tags +1`).MatchString(out) {
		t.Errorf("skerry status says:\n%s", out)
	}
	v.reload()
	v.stop()

	config := s.read("etc/skerry/skerry.yaml")
	s.install(pack(t, "new", newVersion, runtime.GOARCH, "deb"))
	s.wantInstalled(newVersion)
	if s.read("etc/skerry/skerry.yaml") != config {
		t.Error("the upgrade changed the configuration")
	}
	v = s.start()
	s.wantPull(ref, pushed)
	v.stop()

	s.run("apt-get", "-q", "-y", "remove", "skerry")
	if s.exists("usr/bin/skerry") || !s.exists(data+"/meta") || s.read("etc/skerry/skerry.yaml") != config {
		t.Error("after remove: want the program gone, data and configuration as they were")
	}
	out := s.run("apt-get", "-q", "-y", "purge", "skerry")
	if s.exists("etc/skerry/skerry.yaml") || s.exists(wants) || !s.exists(data+"/meta") {
		t.Error("after purge: want the configuration gone, and data as it was")
	}
	if !strings.Contains(out, "are kept in /var/lib/skerry") {
		t.Errorf("purge does not tell where the data is:\n%s", out)
	}
}

// TestAnRPMLivesOnItsSystem does the same with rpm, whose scripts need no more
// of a system than a shell and systemd's tools.
func TestAnRPMLivesOnItsSystem(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	rpm := func(args ...string) string {
		return command(t, "rpm", append([]string{"--root", s.root, "--nodeps"}, args...)...)
	}
	rpm("-i", pack(t, "old", oldVersion, runtime.GOARCH, "rpm"))
	s.wantInstalled(oldVersion)
	ref := s.configure()
	v := s.start()
	s.skopeo("copy", "oci:"+made(t, "new", "image")+":"+newVersion, ref)
	pushed := s.skopeo("inspect", "--raw", ref)
	v.stop()

	config := s.read("etc/skerry/skerry.yaml")
	rpm("-U", pack(t, "new", newVersion, runtime.GOARCH, "rpm"))
	s.wantInstalled(newVersion)
	if s.read("etc/skerry/skerry.yaml") != config {
		t.Error("the upgrade changed the configuration")
	}
	v = s.start()
	s.wantPull(ref, pushed)
	v.stop()

	out := rpm("-e", "skerry")
	if s.exists("usr/bin/skerry") || !s.exists(data+"/meta") || s.read("etc/skerry/skerry.yaml.rpmsave") != config {
		t.Error("after erase: want the program gone, the configuration set aside, and data as it was")
	}
	if !strings.Contains(out, "are kept in /var/lib/skerry") {
		t.Errorf("erase does not tell where the data is:\n%s", out)
	}
}

// wantInstalled checks what an installed package must have brought.
func (s *system) wantInstalled(version string) {
	s.t.Helper()
	if out := s.run("skerry", "version"); !strings.Contains(out, version) {
		s.t.Errorf("skerry version says %q, want %s", out, version)
	}
	if out := s.run("skerry", "config", "validate"); !strings.Contains(out, "/etc/skerry/skerry.yaml: valid") {
		s.t.Errorf("skerry config validate says %q", out)
	}
	s.wantFile("usr/bin/skerry", "755", "root", "root")
	s.wantFile("etc/skerry", "750", "root", "skerry")
	s.wantFile("etc/skerry/skerry.yaml", "644", "root", "root")
	s.wantFile(data, "700", "skerry", "skerry")
	s.wantFile("usr/lib/systemd/system/skerry.service", "644", "root", "root")
	s.wantFile("usr/share/man/man1/skerry.1.gz", "644", "root", "root")
	if out := s.run("getent", "passwd", "skerry"); !strings.HasSuffix(out, ":/var/lib/skerry:/usr/sbin/nologin\n") {
		s.t.Errorf("the user is %q, want one that nobody logs in as", out)
	}
}

// configure does what an administrator does, and returns the name of an image in
// the registry that this makes.
func (s *system) configure() (ref string) {
	s.t.Helper()
	const file = "/etc/skerry/skerry.yaml"
	addr := "127.0.0.1:" + port(s.t)
	s.run("sed", "-i", `s/^#listen: .*/listen: `+addr+`/; s/^#disk-\(soft\|high\|critical\): .*/disk-\1: 100/`, file)
	if out := s.run("skerry", "config", "show"); !strings.Contains(out, addr) {
		s.t.Fatalf("the configuration is not what was written:\n%s", out)
	}
	return "docker://" + addr + "/skerry/skerry:1"
}

// reload changes the configuration and runs the unit's ExecReload.
func (v *service) reload() {
	v.t.Helper()
	v.run("sed", "-i", "s/^#grace: .*/grace: 3h/", "/etc/skerry/skerry.yaml")
	out := finish(v.t, v.as(v.unit("User"), strings.Fields(v.unit("ExecReload"))...))
	if !regexp.MustCompile(`grace +24h +3h +took effect`).MatchString(out) {
		v.t.Errorf("reload says:\n%s", out)
	}
}

// wantPull checks that an image is still what was pushed, to its last byte.
func (s *system) wantPull(ref, pushed string) {
	s.t.Helper()
	if got := s.skopeo("inspect", "--raw", ref); got != pushed {
		s.t.Errorf("the image is %s, was %s", got, pushed)
	}
	s.skopeo("copy", ref, "oci:"+filepath.Join(s.t.TempDir(), "pulled"))
}
