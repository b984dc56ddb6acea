package cli_test

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// A systemd is the side of the notify socket that listens.
type systemd struct {
	t    *testing.T
	conn *net.UnixConn
}

func listen(t *testing.T, name string) *systemd {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &systemd{t, conn}
}

// next is the next message that is not about the watchdog, and how many about
// it came before.
func (s *systemd) next() (message string, alive int) {
	s.t.Helper()
	for {
		if m := s.any(); m != "WATCHDOG=1" {
			return m, alive
		}
		alive++
	}
}

func (s *systemd) any() string {
	s.t.Helper()
	b := make([]byte, 4096)
	if err := s.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		s.t.Fatal(err)
	}
	n, err := s.conn.Read(b)
	if err != nil {
		s.t.Fatalf("systemd hears nothing: %v", err)
	}
	return string(b[:n])
}

func (s *systemd) want(pattern string) {
	s.t.Helper()
	if got, _ := s.next(); !regexp.MustCompile(`^(?:` + pattern + `)$`).MatchString(got) {
		s.t.Errorf("systemd hears %q, want %q", got, pattern)
	}
}

func TestSystemdIsToldHowItGoes(t *testing.T) {
	for name, socket := range map[string]string{
		"path":     filepath.Join(t.TempDir(), "notify"),
		"abstract": "@skerry-test-" + strconv.Itoa(os.Getpid()),
	} {
		t.Run(name, func(t *testing.T) { hearALife(t, socket) })
	}
}

// hearALife listens from the start to the stop.
func hearALife(t *testing.T, socket string) {
	s := listen(t, socket)
	file := filepath.Join(t.TempDir(), "skerry.yaml")
	write(t, file, "zone: a\n")
	p := launch(t, filepath.Join(t.TempDir(), "data"),
		[]string{"NOTIFY_SOCKET=" + socket, "WATCHDOG_USEC=400000"}, "--config", file)
	s.want(`READY=1\nSTATUS=reads and writes are served; disk pressure [a-z]+`)
	if status, _, _ := p.do(http.MethodGet, "/readyz", nil); status != http.StatusOK {
		t.Errorf("ready, and /readyz has status %d", status)
	}

	began := time.Now()
	for range 4 {
		if m := s.any(); m != "WATCHDOG=1" {
			t.Errorf("systemd hears %q, want WATCHDOG=1", m)
		}
	}
	if took := time.Since(began); took > 1500*time.Millisecond {
		t.Errorf("four times half of 400 ms took %s", took)
	}

	write(t, file, "zone: a\nread-only: true\n")
	p.signal(syscall.SIGHUP)
	s.want(`RELOADING=1\nMONOTONIC_USEC=[0-9]+`)
	s.want(`READY=1`)
	s.want(`STATUS=reads are served, writes are not: the registry is in read-only mode; disk pressure [a-z]+`)

	write(t, file, "zone: [\n")
	p.signal(syscall.SIGHUP)
	s.want(`RELOADING=1\nMONOTONIC_USEC=[0-9]+`)
	s.want(`READY=1`)
	p.eventually("the mistake is in the log", func() bool {
		return strings.Contains(p.log.String(), "reload failed, nothing has changed")
	})

	p.signal(syscall.SIGTERM)
	s.want(`STOPPING=1\nEXTEND_TIMEOUT_USEC=60000000`)
	if err := p.ended(); err != nil {
		t.Errorf("end: %v", err)
	}
}

// Another process's watchdog is none of ours.
func TestAnothersWatchdogIsNotFed(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	s := listen(t, socket)
	p := launch(t, filepath.Join(t.TempDir(), "data"),
		[]string{"NOTIFY_SOCKET=" + socket, "WATCHDOG_USEC=20000", "WATCHDOG_PID=1"})
	s.want(`READY=1\n.*`)
	<-time.After(200 * time.Millisecond) // many times what the other process has
	p.signal(syscall.SIGTERM)
	if m, alive := s.next(); alive > 0 {
		t.Errorf("%d signs of life for another process before %q", alive, m)
	}
}

// Uploads and requests do not notice a reload.
func TestAnUploadSpansAReload(t *testing.T) {
	file := filepath.Join(t.TempDir(), "skerry.yaml")
	write(t, file, "grace: 1h\n")
	p := launch(t, filepath.Join(t.TempDir(), "data"), nil, "--config", file)
	up := p.open("reload/app")
	up.begin()
	write(t, file, "grace: 2h\nread-only: true\nlog-level: debug\nnode: other\n")
	p.signal(syscall.SIGHUP)
	p.eventually("the reload is over", func() bool { return strings.Contains(p.log.String(), "msg=reloaded") })
	if p.status("readOnly") != true {
		t.Error("the registry is not read-only after the reload")
	}
	if p.status("node") == "other" {
		t.Error("the node has another name without a restart")
	}
	if !strings.Contains(p.log.String(), `needs a restart to take effect" key=node`) {
		t.Error("the log does not say that the name waits for a restart")
	}
	if status, _, _ := p.do(http.MethodPost, "/v2/reload/app/blobs/uploads/", nil); status != http.StatusMethodNotAllowed {
		t.Errorf("a new upload in read-only mode: status %d", status)
	}
	up.send(" second")
	if status := up.end(); status != http.StatusAccepted {
		t.Errorf("the upload's PATCH: status %d", status)
	}
	write(t, file, "grace: 2h\n")
	p.signal(syscall.SIGHUP)
	p.eventually("writes are taken again", func() bool { return p.status("readOnly") == false })
	d := digest.FromString(block + " second").String()
	if status, _, body := p.do(http.MethodPut, up.location+"?digest="+d, nil); status != http.StatusCreated {
		t.Errorf("the upload's commit: status %d: %s", status, body)
	}
}

// Under systemd a line has its priority and no time; a stream that is not the
// journal's has neither.
func TestTheJournalGetsPriorities(t *testing.T) {
	for _, c := range []struct {
		name string
		more int // added to the inode in JOURNAL_STREAM
		want string
	}{
		{"journal", 0, "<6>msg=serving addr="},
		{"another stream", 1, "time="},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, err := os.Create(filepath.Join(t.TempDir(), "journal"))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			var st syscall.Stat_t
			if err := syscall.Fstat(int(f.Fd()), &st); err != nil {
				t.Fatal(err)
			}
			bin, err := exec.LookPath("skerry")
			if err != nil {
				t.Fatal(err)
			}
			data := filepath.Join(t.TempDir(), "data")
			cmd := exec.Command(bin, "serve", "--data", data, "--listen", "127.0.0.1:0", "--tls", "off")
			cmd.Stderr = f
			cmd.Env = append(os.Environ(), fmt.Sprintf("JOURNAL_STREAM=%d:%d", st.Dev, int(st.Ino)+c.more), "SKERRY_LISEN=x")
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			p := &process{t: t, cmd: cmd, log: new(logged), done: make(chan error, 1)}
			t.Cleanup(func() { _ = cmd.Process.Kill() })
			go func() { p.done <- cmd.Wait() }() // ends with the process
			var text []byte
			p.eventually("it serves", func() bool {
				text, err = os.ReadFile(f.Name())
				return err == nil && bytes.Contains(text, []byte("msg=serving"))
			})
			p.signal(syscall.SIGTERM)
			if err := p.ended(); err != nil {
				t.Error(err)
			}
			if !strings.Contains(string(text), c.want) {
				t.Errorf("no %q in:\n%s", c.want, text)
			}
			if journal := c.more == 0; journal != strings.Contains(string(text), "<4>msg=configuration warning=") ||
				journal == strings.Contains(string(text), "log in ") {
				t.Errorf("not as expected:\n%s", text)
			}
		})
	}
}

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
