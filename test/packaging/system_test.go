//go:build packaging

package packaging

import (
	"bytes"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience is how long a registry may take to say that it serves, or to end.
const patience = time.Minute

// A system is a Debian of its own below a directory.
type system struct {
	t    *testing.T
	root string
}

// newSystem unpacks the archive that packaging/tools/debian made.
func newSystem(t *testing.T) *system {
	t.Helper()
	archive := os.Getenv("SKERRY_DEBIAN")
	if archive == "" || os.Getuid() != 0 {
		t.Fatal("want root, and the archive in SKERRY_DEBIAN: make packaging sees to both")
	}
	s := &system{t, t.TempDir()}
	command(t, "tar", "-C", s.root, "-xzf", archive)
	if err := syscall.Mount("proc", s.path("proc"), "proc", 0, ""); err != nil {
		t.Fatalf("mount proc: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(s.path("proc"), syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount proc: %v", err)
		}
	})
	return s
}

// path is a path of the system, seen from outside.
func (s *system) path(name string) string { return filepath.Join(s.root, name) }

// as is a command in the system, of one of its users, with nothing to read.
func (s *system) as(name string, args ...string) *exec.Cmd {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), args[0], args[1:]...)
	if !filepath.IsAbs(args[0]) { // it is looked for in there, not out here
		cmd.Path, cmd.Err = filepath.Join("/usr/bin", args[0]), nil
		for _, dir := range []string{"/usr/sbin", "/usr/bin"} {
			if _, err := os.Stat(s.path(filepath.Join(dir, args[0]))); err == nil {
				cmd.Path = filepath.Join(dir, args[0])
			}
		}
	}
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive"}
	uid, gid := s.ids(name)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Chroot: s.root, Credential: &syscall.Credential{Uid: uid, Gid: gid}, Pdeathsig: syscall.SIGKILL,
	}
	return cmd
}

// ids are the numbers of a user of the system.
func (s *system) ids(name string) (uid, gid uint32) {
	s.t.Helper()
	for line := range strings.Lines(s.read("etc/passwd")) {
		if f := strings.Split(line, ":"); f[0] == name {
			return number(s.t, f[2]), number(s.t, f[3])
		}
	}
	s.t.Fatalf("there is no user %s", name)
	return 0, 0
}

func number(t *testing.T, text string) uint32 {
	t.Helper()
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(n)
}

// run runs a command of root in the system.
func (s *system) run(args ...string) string {
	s.t.Helper()
	return finish(s.t, s.as("root", args...))
}

// install copies a package into the system and has apt install it.
func (s *system) install(file string) {
	s.t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	s.write("tmp/"+filepath.Base(file), string(b))
	s.run("apt-get", "-q", "-y", "install", "/tmp/"+filepath.Base(file))
}

func (s *system) read(name string) string {
	s.t.Helper()
	b, err := os.ReadFile(s.path(name))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(b)
}

func (s *system) write(name, content string) {
	s.t.Helper()
	if err := os.WriteFile(s.path(name), []byte(content), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *system) exists(name string) bool {
	_, err := os.Lstat(s.path(name))
	return err == nil
}

// wantFile checks the mode of a file and the names of its owner and group.
func (s *system) wantFile(name, mode, owner, group string) {
	s.t.Helper()
	got := strings.TrimSpace(s.run("stat", "-c", "%a %U %G", "/"+name))
	if want := mode + " " + owner + " " + group; got != want {
		s.t.Errorf("/%s is %s, want %s", name, got, want)
	}
}

// unit is what the unit says under a key.
func (s *system) unit(key string) string {
	s.t.Helper()
	m := regexp.MustCompile(`(?m)^` + key + `=(.*)$`).FindStringSubmatch(s.read("usr/lib/systemd/system/skerry.service"))
	if m == nil {
		s.t.Fatalf("the unit has no %s", key)
	}
	return m[1]
}

// A service is the registry, run in a system as its unit says.
type service struct {
	*system
	cmd  *exec.Cmd
	log  *bytes.Buffer
	done chan error // told once, when it has ended
}

// start runs the unit's ExecStart as the unit's user, listens to what it tells
// systemd, and waits until it is ready.
func (s *system) start() *service {
	s.t.Helper()
	uid, gid := s.ids(s.unit("User"))
	socket := "run/skerry-notify"
	_ = os.Remove(s.path(socket))
	told, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: s.path(socket), Net: "unixgram"})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = told.Close() })
	if err := os.Chown(s.path(socket), int(uid), int(gid)); err != nil {
		s.t.Fatal(err)
	}
	v := &service{system: s, cmd: s.as(s.unit("User"), strings.Fields(s.unit("ExecStart"))...), log: &bytes.Buffer{}}
	v.cmd.Env = []string{"NOTIFY_SOCKET=/" + socket}
	v.cmd.Stdout, v.cmd.Stderr = v.log, v.log
	if err := v.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	v.done = make(chan error, 1)
	go func() { v.done <- v.cmd.Wait() }() // ends with the process, which stop or the test's end ends
	s.t.Cleanup(func() { _ = v.cmd.Process.Kill() })
	v.ready(told)
	return v
}

// ready waits for READY=1.
func (v *service) ready(told *net.UnixConn) {
	v.t.Helper()
	_ = told.SetReadDeadline(time.Now().Add(patience))
	buf := make([]byte, 4096)
	for {
		n, err := told.Read(buf)
		if err != nil {
			_ = v.cmd.Process.Kill()
			v.t.Fatalf("it does not become ready: %v, %v\n%s", err, <-v.done, v.log)
		}
		if strings.HasPrefix(string(buf[:n]), "READY=1\n") {
			return
		}
	}
}

// stop asks it to end, as systemd would.
func (v *service) stop() {
	v.t.Helper()
	if err := v.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		v.t.Fatal(err)
	}
	select {
	case err := <-v.done:
		if err != nil {
			v.t.Errorf("it ended with %v\n%s", err, v.log)
		}
	case <-time.After(patience):
		v.t.Fatalf("it does not stop")
	}
}

// port is a port of this machine that was free just now.
func port(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, p, err := net.SplitHostPort(l.Addr().String())
	if err := errors.Join(err, l.Close()); err != nil {
		t.Fatal(err)
	}
	return p
}

// skopeo runs skopeo from outside, with the registry's own CA and account.
func (s *system) skopeo(verb string, args ...string) string {
	s.t.Helper()
	password := strings.TrimSpace(s.read(data + "/admin-password"))
	flags := []string{"--insecure-policy", verb}
	switch verb {
	case "copy":
		flags = append(flags, "-q", "--all", "--dest-creds", "admin:"+password, "--dest-cert-dir", s.path(data+"/trust"),
			"--src-creds", "admin:"+password, "--src-cert-dir", s.path(data+"/trust"))
	default:
		flags = append(flags, "--creds", "admin:"+password, "--cert-dir", s.path(data+"/trust"))
	}
	return command(s.t, "skopeo", append(flags, args...)...)
}
