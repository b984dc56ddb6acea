//go:build packaging

package packaging

import (
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"skerry.dev/skerry/test/skerry"
)

// operations is the page that tells operators what to do.
func operations(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(skerry.ModuleRoot(t), "appliance", "doc", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// dropIn is the first drop-in of a page that has a setting.
func dropIn(t *testing.T, page, setting string) string {
	t.Helper()
	for _, block := range regexp.MustCompile(`(?m)^    \[Service\]\n(?:    .*\n)+`).FindAllString(page, -1) {
		if strings.Contains(block, setting) {
			return strings.ReplaceAll(block, "    ", "")
		}
	}
	t.Fatalf("there is no drop-in with %s", setting)
	return ""
}

// exposure is systemd's measure of the service as it is set up on the machine.
func (m *machine) exposure() string {
	m.t.Helper()
	out := m.run("systemd-analyze", "security", "--no-pager", "skerry")
	level := regexp.MustCompile(`Overall exposure level for skerry\.service: ([0-9.]+)`).FindStringSubmatch(out)
	if level == nil {
		m.t.Fatalf("no exposure level in:\n%s", out)
	}
	return level[1]
}

// TestDropInsDoWhatThePageSays runs the service with the drop-ins that operations.md
// has: data elsewhere, and no capability. Without that a port below 1024 is refused.
func TestDropInsDoWhatThePageSays(t *testing.T) {
	t.Parallel()
	page := operations(t)
	s := newSystem(t)
	b, err := os.ReadFile(pack(t, "new", newVersion, runtime.GOARCH, "deb"))
	if err != nil {
		t.Fatal(err)
	}
	s.write("root/skerry.deb", string(b))
	m := s.boot()
	m.run("apt-get", "-q", "-y", "install", "/root/skerry.deb")
	m.run("systemctl", "disable", "--now", "skerry")
	m.run("sed", "-i", `s,^#\?data: .*,data: /srv/skerry,; s/^#disk-\(soft\|high\|critical\): .*/disk-\1: 100/`,
		"/etc/skerry/skerry.yaml")
	m.run("install", "-d", "-o", "skerry", "-g", "skerry", "-m", "700", "/srv/skerry")
	const dir = "/etc/systemd/system/skerry.service.d"
	m.run("mkdir", "-p", dir)
	s.write(dir+"/data.conf", dropIn(t, page, "ReadWritePaths=/srv/skerry"))
	before := m.exposure()
	s.write(dir+"/ports.conf", dropIn(t, page, "CapabilityBoundingSet="))
	m.run("systemctl", "daemon-reload")
	m.run("systemctl", "enable", "--now", "skerry")
	if state, restarts := m.property("ActiveState"), m.property("NRestarts"); state != "active" || restarts != "0" ||
		!s.exists("srv/skerry/meta") {
		t.Errorf("it is %s after %s restarts:\n%s", state, restarts, m.run("journalctl", "--no-pager", "-u", "skerry"))
	}
	if want := "falls from " + before + " to " + m.exposure(); !strings.Contains(page, want) {
		t.Errorf("operations.md does not say that the exposure level %s", want)
	}
	m.run("sed", "-i", `s/^#listen: .*/listen: :443/`, "/etc/skerry/skerry.yaml")
	if out, err := m.in("systemctl", "restart", "skerry").CombinedOutput(); err == nil {
		t.Errorf("it listens at port 443 without the capability to:\n%s", out)
	}
}
