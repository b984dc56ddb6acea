//go:build packaging

package packaging

import (
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// bootScript makes namespaces a machine, and systemd its first process.
//
//go:embed testdata/boot
var bootScript string

// errYet says that it may become so.
var errYet = errors.New("not yet")

// A machine is a system that systemd has started, with a network of its own.
type machine struct {
	*system
	init string // its first process, as this machine numbers it
}

// boot starts the system as a machine is started. Everything in it ends with the test.
func (s *system) boot() *machine {
	s.t.Helper()
	group := fmt.Sprint("skerry-test-", os.Getpid(), "-", s.t.Name())
	cmd := exec.Command("unshare", "--mount", "--net", "--kill-child", "sh", "-c", bootScript, "boot", s.root, group)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	said := &strings.Builder{}
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	m := &machine{system: s}
	s.t.Cleanup(func() {
		_ = cmd.Process.Kill() // the kernel ends all that is in the namespaces with it
		_ = cmd.Wait()
		m.eventually("its control groups are empty", func() error {
			return exec.Command("unshare", "--mount", "sh", "-euc", `mount -t cgroup2 cgroup2 /mnt
				find "/mnt/$1" -depth -type d -exec rmdir {} +`, "sh", group).Run()
		})
	})
	m.eventually("systemd runs", func() error {
		for m.init = fmt.Sprint(cmd.Process.Pid); ; {
			b, err := os.ReadFile("/proc/" + m.init + "/comm")
			if err != nil || string(b) == "systemd\n" {
				return err
			}
			children, err := os.ReadFile("/proc/" + m.init + "/task/" + m.init + "/children")
			if err != nil || len(children) == 0 {
				return fmt.Errorf("process %s has no child, %w\n%s", m.init, errors.Join(errYet, err), said)
			}
			m.init = strings.Fields(string(children))[0]
		}
	})
	m.eventually("the machine is up", func() error {
		out, err := m.in("systemctl", "is-system-running").Output()
		if state := strings.TrimSpace(string(out)); state != "running" && state != "degraded" {
			return fmt.Errorf("it is %q, %w", state, errors.Join(errYet, err))
		}
		return nil
	})
	return m
}

// in is a command of root in the machine.
func (m *machine) in(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(m.t.Context(), "nsenter", append([]string{
		"--target", m.init, "--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup", "--root", "--wd", "--",
	}, args...)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive", "SYSTEMD_PAGER="}
	return cmd
}

func (m *machine) run(args ...string) string {
	m.t.Helper()
	return finish(m.t, m.in(args...))
}

// client is a command of this machine in the network of the other.
func (m *machine) client(args ...string) {
	m.t.Helper()
	command(m.t, "nsenter", append([]string{"--target", m.init, "--net", "--"}, args...)...)
}

// property is what systemd says about the service.
func (m *machine) property(name string) string {
	m.t.Helper()
	return strings.TrimSpace(m.run("systemctl", "show", "skerry", "--value", "-p", name))
}

func (m *machine) eventually(what string, try func() error) {
	m.t.Helper()
	end := time.Now().Add(patience)
	err := try()
	for ; err != nil && time.Now().Before(end); err = try() {
		time.Sleep(50 * time.Millisecond) //nolint:forbidigo // another machine: there is nothing else to wait for
	}
	if err != nil {
		m.t.Fatalf("%s: %v", what, err)
	}
}

// TestSystemdKeepsTheService installs the package on a machine that systemd runs,
// and does there what the README says, and what befalls services: a restart, a
// reload, a crash, a hang.
func TestSystemdKeepsTheService(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	b, err := os.ReadFile(pack(t, "new", newVersion, runtime.GOARCH, "deb"))
	if err != nil {
		t.Fatal(err)
	}
	s.write("root/skerry.deb", string(b))
	m := s.boot()
	m.run("apt-get", "-q", "-y", "install", "/root/skerry.deb")
	if state := m.property("ActiveState"); state != "active" {
		t.Fatalf("installed, the service is %s", state)
	}
	m.run("sed", "-i", `s/^#listen: .*/listen: :443/; s/^#disk-\(soft\|high\|critical\): .*/disk-\1: 100/`,
		"/etc/skerry/skerry.yaml")
	m.run("systemctl", "restart", "skerry")
	m.run("systemctl", "enable", "--now", "skerry")
	if out := m.run("journalctl", "-u", "skerry", "-o", "cat", "--no-pager"); !strings.Contains(out, `addr=[::]:443`) {
		t.Errorf("the journal says:\n%s", out)
	}
	m.wantConfined()

	const ref = "docker://localhost/skerry/skerry:1"
	creds := "admin:" + strings.TrimSpace(s.read(data+"/admin-password"))
	m.client("skopeo", "--insecure-policy", "copy", "--dest-creds", creds, "--dest-cert-dir", s.path(data+"/trust"),
		"oci:"+made(t, "new", "image")+":"+newVersion, ref)
	m.wantRestarts("kill --signal=KILL", func() { m.run("systemctl", "kill", "--signal=KILL", "skerry") })
	m.run("systemctl", "reload", "skerry")

	// One that hangs is ended by the watchdog, in whose time it did not say a word.
	m.run("mkdir", "-p", "/run/systemd/system/skerry.service.d")
	m.run("sh", "-c", "printf '[Service]\nWatchdogSec=2s\n' >/run/systemd/system/skerry.service.d/test.conf")
	m.run("systemctl", "daemon-reload")
	m.run("systemctl", "restart", "skerry")
	m.wantRestarts("kill --signal=STOP", func() { m.run("systemctl", "kill", "--signal=STOP", "skerry") })

	m.client("skopeo", "--insecure-policy", "copy", "--src-creds", creds, "--src-cert-dir", s.path(data+"/trust"),
		ref, "oci:"+filepath.Join(t.TempDir(), "pulled"))
	m.run("systemctl", "stop", "skerry")
	if result := m.property("Result"); result != "success" {
		t.Errorf("it was stopped, and ended with %s", result)
	}
}

// wantConfined looks whether the running service has no more rights than its unit gives.
func (m *machine) wantConfined() {
	m.t.Helper()
	status := m.run("cat", "/proc/"+m.property("MainPID")+"/status")
	for _, want := range []string{
		`CapBnd:\s+0000000000000400`, // CAP_NET_BIND_SERVICE
		`CapEff:\s+0000000000000400`,
		`NoNewPrivs:\s+1`,
		`Seccomp:\s+2`,
	} {
		if !regexp.MustCompile(want).MatchString(status) {
			m.t.Errorf("its status has no %s:\n%s", want, status)
		}
	}
	if text := m.property("StatusText"); !strings.Contains(text, "reads and writes are served") {
		m.t.Errorf("it tells systemd %q", text)
	}
}

// wantRestarts does what should end the service, and waits until there is another.
func (m *machine) wantRestarts(what string, do func()) {
	m.t.Helper()
	before, restarts := m.property("MainPID"), m.property("NRestarts")
	do()
	m.eventually("after "+what+" systemd starts it again", func() error {
		state, pid, n := m.property("ActiveState"), m.property("MainPID"), m.property("NRestarts")
		if state != "active" || pid == before || n == restarts {
			return fmt.Errorf("state %s, process %s, %s restarts\n%s", state, pid, n,
				m.run("journalctl", "-u", "skerry", "-o", "cat", "--no-pager", "-n", "20"))
		}
		return nil
	})
}
