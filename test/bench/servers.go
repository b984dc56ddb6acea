package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// A Kind knows how to run one of the programs compared. Its answers are pure.
type Kind struct {
	Name    string
	Program string
	addr    string // where it listens; "" is a free one
	// arguments of a server that keeps its data in dir and listens on addr; files it
	// needs are written to dir first.
	arguments func(dir, addr string, tls bool) ([]string, error)
	// paths that must answer before it counts as ready. 401 is an answer.
	ready []string
	// password of account admin, once it is ready.
	password func(dir string) (string, error)
}

func skerryKind(program string) Kind {
	return Kind{
		Name: "skerry", Program: program,
		arguments: func(dir, addr string, tls bool) ([]string, error) {
			mode := "off"
			if tls {
				mode = "self"
			}
			data := filepath.Join(dir, "data")
			return []string{
				"serve", "--data", data, "--listen", addr, "--tls", mode, "--log-level", "error",
				"--disk-soft", "100", "--disk-high", "100", "--disk-critical", "100",
			}, nil
		},
		ready: []string{"/v2/", "/readyz"},
		password: func(dir string) (string, error) {
			text, err := os.ReadFile(filepath.Join(dir, "data", "admin-password"))
			return strings.TrimSpace(string(text)), err
		},
	}
}

// A Server is a running process. It is stopped by stop or kill, once.
type Server struct {
	kind    Kind
	pid     int
	cmd     *exec.Cmd
	took    time.Duration // from exec until it was ready
	client  *Client
	exited  chan struct{} // closed when the process is gone
	logPath string
}

// start runs a server over dir and waits until it answers. Its output goes to dir/log.
func start(ctx context.Context, kind Kind, dir string, opts clientOptions) (_ *Server, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make %s: %w", dir, err)
	}
	addr, err := kind.addr, error(nil)
	if addr == "" {
		addr, err = freeAddress()
	}
	if err != nil {
		return nil, err
	}
	args, err := kind.arguments(dir, addr, opts.TLS)
	if err != nil {
		return nil, err
	}
	s := &Server{kind: kind, exited: make(chan struct{}), logPath: filepath.Join(dir, "log")}
	output, err := os.OpenFile(s.logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer output.Close()

	s.cmd = exec.Command(kind.Program, args...)
	s.cmd.Dir = dir
	s.cmd.Stdout, s.cmd.Stderr = output, output
	// No tracing: distribution would look for a collector on this host. The rest of the
	// environment would be this shell's, and no two runs alike.
	s.cmd.Env = []string{"HOME=" + dir, "PATH=" + os.Getenv("PATH"), "OTEL_TRACES_EXPORTER=none"}
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	began := time.Now()
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", kind.Name, err)
	}
	s.pid = s.cmd.Process.Pid
	go func() { // ends with the process, which stop and kill end
		_ = s.cmd.Wait()
		close(s.exited)
	}()
	s.client = newClient(addr, opts)
	defer func() {
		if err != nil {
			s.kill()
			err = fmt.Errorf("start %s: %w; its output: %s", kind.Name, err, tail(s.logPath))
		}
	}()
	if err := s.waitReady(ctx); err != nil {
		return nil, err
	}
	s.took = time.Since(began)
	password, err := kind.password(dir)
	if err != nil {
		return nil, fmt.Errorf("find password: %w", err)
	}
	return s, s.client.logIn(password)
}

// waitReady asks until every path of the kind answers, at most for two minutes.
func (s *Server) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for _, path := range s.kind.ready {
		for !s.answers(ctx, path) {
			select {
			case <-s.exited:
				return errors.New("it ended")
			default:
			}
			if err := rest(ctx, 500*time.Microsecond); err != nil {
				return fmt.Errorf("wait for %s: %w", path, err)
			}
		}
	}
	return nil
}

func (s *Server) answers(ctx context.Context, path string) bool {
	r, err := s.client.do(ctx, request{method: http.MethodGet, path: path})
	if err != nil {
		return false
	}
	r.Body.Close()
	return r.StatusCode == http.StatusOK || r.StatusCode == http.StatusUnauthorized
}

// stop asks the server to end and waits for it, at most half a minute.
func (s *Server) stop() error {
	s.client.close()
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // an error means that it has ended
	select {
	case <-s.exited:
		return nil
	case <-time.After(30 * time.Second):
		s.kill()
		return fmt.Errorf("stop %s: still there after half a minute; its output: %s", s.kind.Name, tail(s.logPath))
	}
}

// kill ends the server as a power cut would, except that the page cache survives.
func (s *Server) kill() {
	_ = s.cmd.Process.Kill() // an error means that it has ended
	<-s.exited
	if s.client != nil {
		s.client.close()
	}
}

// explain adds to an error what the server said last. Nil stays nil.
func (s *Server) explain(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w; log of %s: %s", err, s.kind.Name, tail(s.logPath))
}

// freeAddress returns a loopback address nobody listens on at this instant.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}

// tail returns the last kilobyte of a file.
func tail(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-1024):])
}

// rest waits for d, or until ctx ends.
func rest(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
