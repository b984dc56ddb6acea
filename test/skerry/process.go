package skerry

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"sync"
	"syscall"
	"time"
)

// logMax is how much of the end of a process's log is kept.
const logMax = 1 << 20

// lastWords is how long the log of an ended process is read on.
const lastWords = time.Second

// serving is the log line that tells the address.
var serving = regexp.MustCompile(`\bmsg="?serving"?\s.*\baddr=(\S+)`)

// A process is one run of the program, until it ended.
type process struct {
	cmd  *exec.Cmd
	addr chan string   // told once, when it serves
	done chan struct{} // closed when it has ended and err is set
	err  error         // how it ended
	log  tail
}

// launch starts the program and follows its log.
func launch(o Options) (*process, error) {
	mode := "self"
	if o.Plain {
		mode = "off"
	}
	// However full this machine's disk is: what that means is tested on one of its own.
	args := append([]string{
		"serve", "--data", o.Data, "--listen", o.Listen, "--tls", mode,
		"--disk-soft", "100", "--disk-high", "100", "--disk-critical", "100",
	}, o.Args...)
	p := &process{cmd: exec.Command(o.Binary, args...), addr: make(chan string, 1), done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), o.Env...)
	// A test that panics or runs out of time cannot clean up.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.cmd.Stdout, p.cmd.Stderr = w, w
	err = p.cmd.Start()
	_ = w.Close() // the child has its own
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	read := make(chan struct{})
	go func() { // ends with the process
		defer close(read)
		p.follow(r)
	}()
	go func() { // ends with the process
		p.err = p.cmd.Wait()
		// What it wrote last is still in the pipe; a child it left behind may
		// keep the pipe open, but is not waited for.
		_ = r.SetReadDeadline(time.Now().Add(lastWords))
		<-read
		_ = r.Close()
		close(p.done)
	}()
	return p, nil
}

// follow keeps the log and finds the address in it.
func (p *process) follow(r io.Reader) {
	told := false
	in := bufio.NewReader(r)
	for {
		line, err := in.ReadString('\n')
		p.log.add(line)
		if m := serving.FindStringSubmatch(line); m != nil && !told {
			told = true
			p.addr <- m[1]
		}
		if err != nil {
			return
		}
	}
}

// address waits until the process tells where it serves.
func (p *process) address(patience time.Duration) (string, error) {
	select {
	case addr := <-p.addr:
		return addr, nil
	case <-p.done:
		return "", fmt.Errorf("ended before it served: %w\n%s", p.err, &p.log)
	case <-time.After(patience):
		return "", fmt.Errorf("does not serve after %s\n%s", patience, &p.log)
	}
}

// terminate sends SIGTERM and waits for a good end.
func (p *process) terminate(patience time.Duration) error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-p.done:
		return p.err
	case <-time.After(patience):
		p.kill()
		return fmt.Errorf("still runs %s after SIGTERM", patience)
	}
}

// kill sends SIGKILL, unless the process has ended, and reaps it.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // fails only when it has ended
	<-p.done
}

// A tail is the end of a text. It is safe for concurrent use.
type tail struct {
	mu   sync.Mutex // guards text; held for one copy
	text []byte
}

func (t *tail) add(s string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, s...)
	if len(t.text) > 2*logMax {
		t.text = append(t.text[:0], t.text[len(t.text)-logMax:]...)
	}
}

// String is the text kept so far.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}
