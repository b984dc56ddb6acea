package skerry

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// shownMax is how much of the log's end a failed test shows.
const shownMax = 8 << 10

// Options says how to run the server. The zero value runs bin/skerry with TLS,
// new data and defaults for everything else.
type Options struct {
	// Binary is the program. The default is what SKERRY_BINARY names, such as a
	// packaged one, or else bin/skerry of this module, which make build makes.
	Binary string
	// Data is the data directory. The default is a new one, removed with the test.
	Data string
	// Listen is the address. The default is a free port of 127.0.0.1.
	Listen string
	// Plain serves http instead of https.
	Plain bool
	// Args are further flags of "skerry serve".
	Args []string
	// Env are further variables, "KEY=value".
	Env []string
	// Dial is how the test reaches it. The default is as usual.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Ready is how long it may take to become ready. Default a minute.
	Ready time.Duration
	// Drain is how long it may take to end after SIGTERM. Default a minute.
	Drain time.Duration
}

// A Server is one data directory and the process that serves it, if it runs.
// Its fields stay the same when the process is restarted. Its methods are for
// the test's own goroutine, except Client, Done, Log and PID.
type Server struct {
	// Options are those it was started with, defaults filled in. A change
	// takes effect with the next Restart.
	Options Options

	Addr     string // host:port, which is also the registry's name in image names
	URL      string // of the root, without a slash at the end
	CA       string // file with the certificate that clients must trust; "" if plain
	User     string // an account that may do everything
	Password string // for a node that joins others, to be set before it starts

	t      testing.TB
	proc   *process     // the present one, or the last
	client *http.Client // for Do and readiness; made by TryRestart
}

// Start runs a server and waits until it is ready. The test fails if that does
// not work, and shows the server's log if it fails for whatever reason.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	s := New(t, o)
	s.Restart()
	return s
}

// New prepares a server without starting it; Restart or TryRestart do.
func New(t testing.TB, o Options) *Server {
	t.Helper()
	s := &Server{Options: o, User: "admin", t: t}
	if s.Options.Binary == "" {
		s.Options.Binary = os.Getenv("SKERRY_BINARY")
	}
	if s.Options.Binary == "" {
		s.Options.Binary = filepath.Join(ModuleRoot(t), "bin", "skerry")
	}
	if s.Options.Data == "" {
		s.Options.Data = filepath.Join(t.TempDir(), "data")
	}
	if s.Options.Listen == "" {
		s.Options.Listen = "127.0.0.1:0"
	}
	if s.Options.Ready == 0 {
		s.Options.Ready = time.Minute
	}
	if s.Options.Drain == 0 {
		s.Options.Drain = time.Minute
	}
	t.Cleanup(func() {
		s.Kill()
		if t.Failed() {
			log := s.Log()
			t.Logf("log of skerry:\n%s", log[max(0, len(log)-shownMax):])
		}
	})
	return s
}

// Restart starts the process, at the address it had before if it ran before,
// and waits until it is ready. The test fails if that does not work.
func (s *Server) Restart() {
	s.t.Helper()
	if err := s.TryRestart(); err != nil {
		s.t.Fatalf("start skerry: %v", err)
	}
}

// TryRestart is Restart for a process that is meant to end before it is ready,
// or that may: it returns what happened instead of failing the test.
func (s *Server) TryRestart() error {
	s.Kill()
	p, err := launch(s.Options)
	if err != nil {
		return err
	}
	s.proc = p
	addr, err := p.address(s.Options.Ready)
	if err != nil {
		return err
	}
	s.Options.Listen, s.Addr, s.URL = addr, addr, "http://"+addr
	if !s.Options.Plain {
		s.URL = "https://" + addr
		s.CA = filepath.Join(s.Options.Data, "tls", "ca.crt")
	}
	s.client = s.Client()
	if err := s.ready(); err != nil {
		return err
	}
	password, err := os.ReadFile(filepath.Join(s.Options.Data, "admin-password"))
	if errors.Is(err, fs.ErrNotExist) && s.Password != "" {
		return nil // it joined others, whose accounts it has
	}
	if err != nil {
		return fmt.Errorf("read password: %w", err)
	}
	s.Password = strings.TrimSpace(string(password))
	return nil
}

// Stop asks the process to end, as systemd would, and waits for it. The test
// fails if it ends with an error or not in time.
func (s *Server) Stop() {
	s.t.Helper()
	if err := s.proc.terminate(s.Options.Drain); err != nil {
		s.t.Errorf("stop skerry: %v", err)
	}
}

// Kill ends the process at once, with SIGKILL. It does nothing when the process
// does not run.
func (s *Server) Kill() {
	if s.proc != nil {
		s.proc.kill()
	}
}

// Done is closed when the present process has ended.
func (s *Server) Done() <-chan struct{} { return s.proc.done }

// PID is the number of the present process.
func (s *Server) PID() int { return s.proc.cmd.Process.Pid }

// Log is the end of what the present process logged so far, or the last one.
func (s *Server) Log() string {
	if s.proc == nil {
		return ""
	}
	return s.proc.log.String()
}

// ModuleRoot is the directory of the go.mod that a test runs under.
func ModuleRoot(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
	}
	t.Fatal("no go.mod above the working directory")
	return ""
}
