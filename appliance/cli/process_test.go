package cli_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait for another process.
const patience = 20 * time.Second

// A process is a skerry that serves plain HTTP on loopback.
type process struct {
	t        *testing.T
	cmd      *exec.Cmd
	data     string
	addr     string
	password string
	log      *logged
	done     chan error // told once how it ended
}

// logged is what a process has written so far.
type logged struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// launch starts skerry serve on data and waits until it is up.
func launch(t *testing.T, data string, env []string, args ...string) *process {
	t.Helper()
	bin, err := exec.LookPath("skerry")
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, data: data, log: new(logged), done: make(chan error, 1)}
	args = append([]string{
		"serve", "--data", data, "--listen", "127.0.0.1:0", "--tls", "off",
		"--disk-soft", "100", "--disk-high", "100", "--disk-critical", "100", // however full this machine's disk is
	}, args...)
	p.cmd = exec.Command(bin, args...)
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stderr = p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.done <- p.cmd.Wait() }() // ends with the process
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		if t.Failed() {
			t.Logf("log of skerry:\n%s", p.log)
		}
	})
	p.eventually("it serves", func() bool {
		m := served.FindStringSubmatch(p.log.String())
		if m != nil {
			p.addr = m[1]
		}
		return m != nil
	})
	b, err := os.ReadFile(filepath.Join(data, "admin-password"))
	if err != nil {
		t.Fatal(err)
	}
	p.password = strings.TrimSpace(string(b))
	return p
}

// eventually waits for what another process brings about.
func (p *process) eventually(what string, is func() bool) {
	p.t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-deadline:
			p.t.Fatalf("waited in vain: %s\n%s", what, p.log)
		}
	}
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// ended waits for the end of the process and returns how it was.
func (p *process) ended() error {
	p.t.Helper()
	select {
	case err := <-p.done:
		return err
	case <-time.After(patience):
		p.t.Fatalf("it does not end:\n%s", p.log)
		return nil
	}
}

// do sends one request on a connection of its own; status 0 means refused.
func (p *process) do(method, path string, body io.Reader) (int, http.Header, string) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), method, "http://"+p.addr+path, body)
	if err != nil {
		p.t.Fatal(err)
	}
	req.Close = true
	req.SetBasicAuth("admin", p.password)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(b)
}

// status is one field of the control API's status.
func (p *process) status(field string) any {
	p.t.Helper()
	_, _, body := p.do(http.MethodGet, "/apis/skerry.dev/v1/status", nil)
	var fields map[string]any
	if err := json.Unmarshal([]byte(body), &fields); err != nil {
		p.t.Fatalf("%v: %s", err, body)
	}
	return fields[field]
}

// A slow is an upload of which the body comes when the test wants it.
type slow struct {
	p        *process
	conn     net.Conn
	location string
}

// open opens an upload and begins a PATCH that says neither its length nor its end.
func (p *process) open(repo string) *slow {
	p.t.Helper()
	status, head, body := p.do(http.MethodPost, "/v2/"+repo+"/blobs/uploads/", nil)
	if status != http.StatusAccepted {
		p.t.Fatalf("open upload: %d %s", status, body)
	}
	s := &slow{p: p, location: head.Get("Location")}
	var d net.Dialer
	conn, err := d.DialContext(p.t.Context(), "tcp", p.addr)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = conn.Close() })
	s.conn = conn
	req, err := http.NewRequest(http.MethodPatch, s.location, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	req.SetBasicAuth("admin", p.password)
	_, err = fmt.Fprintf(conn, "PATCH %s HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\nTransfer-Encoding: chunked\r\n\r\n",
		s.location, req.Header.Get("Authorization"))
	if err != nil {
		p.t.Fatal(err)
	}
	return s
}

// block is as much as the registry takes before it writes.
var block = strings.Repeat("0123456789abcdef", 1<<16)

// send sends one chunk.
func (s *slow) send(chunk string) {
	s.p.t.Helper()
	if _, err := fmt.Fprintf(s.conn, "%x\r\n%s\r\n", len(chunk), chunk); err != nil {
		s.p.t.Fatal(err)
	}
}

// begin sends a block, and waits until the registry says that it is there.
func (s *slow) begin() {
	s.p.t.Helper()
	s.send(block)
	s.p.eventually("the block arrives", func() bool { return s.has() == fmt.Sprintf("0-%d", len(block)-1) })
}

// has is the range that the registry has of the upload.
func (s *slow) has() string {
	s.p.t.Helper()
	_, head, _ := s.p.do(http.MethodGet, s.location, nil)
	return head.Get("Range")
}

// end ends the body, and returns the status of the PATCH.
func (s *slow) end() int {
	s.p.t.Helper()
	if _, err := io.WriteString(s.conn, "0\r\n\r\n"); err != nil {
		s.p.t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(s.conn), nil)
	if err != nil {
		s.p.t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}
