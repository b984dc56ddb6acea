//go:build cluster

package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"skerry.dev/skerry/test/skerry"
)

// A demo is make cluster-demo, at ports of its own.
type demo struct {
	*shell
	data  string
	port  int // of the first node
	cmd   *exec.Cmd
	out   bytes.Buffer  // to be read when it has ended
	ended chan struct{} // closed when it has
}

// startDemo starts the demo and waits until it says that the nodes are one registry.
func startDemo(t *testing.T, data string, port int) *demo {
	t.Helper()
	root := skerry.ModuleRoot(t)
	d := &demo{data: data, port: port, ended: make(chan struct{})}
	said, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	d.cmd = exec.Command(filepath.Join(root, "packaging", "demo", "cluster"),
		filepath.Join(root, "bin", "skerry"), data, strconv.Itoa(port))
	d.cmd.Stdout, d.cmd.Stderr = w, w
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = w.Close() // the demo has it
	ready := make(chan struct{})
	go func() { // ends with the demo
		defer close(d.ended)
		b, told := make([]byte, 4096), false
		for {
			n, err := said.Read(b)
			d.out.Write(b[:n])
			if !told && bytes.Contains(d.out.Bytes(), []byte("Ctrl-C ends all")) {
				told = true
				close(ready)
			}
			if err != nil {
				_ = d.cmd.Wait()
				return
			}
		}
	}()
	t.Cleanup(func() { d.interrupt(t) })
	select {
	case <-ready:
	case <-d.ended:
		t.Fatalf("the demo ended: %s", &d.out)
	case <-time.After(patience):
		t.Fatal("the demo is not ready")
	}
	d.shell = newShell(t, d.file("n1", "trust", "ca.crt"))
	return d
}

// interrupt is Ctrl-C, as far as the script is concerned, and waits for its end.
func (d *demo) interrupt(t *testing.T) {
	t.Helper()
	_ = d.cmd.Process.Signal(syscall.SIGTERM) // fails when it has ended
	select {
	case <-d.ended:
	case <-time.After(patience):
		t.Errorf("the demo does not end: %s", &d.out)
	}
}

func (d *demo) file(elem ...string) string {
	return filepath.Join(append([]string{d.data}, elem...)...)
}
func (d *demo) addr(node int) string { return fmt.Sprint("127.0.0.1:", d.port+node-1) }

// logIn logs in at a node with the password of the first.
func (d *demo) logIn(node int) {
	d.t.Helper()
	password, err := os.ReadFile(d.file("n1", "admin-password"))
	if err != nil {
		d.t.Fatal(err)
	}
	d.login(d.addr(node), &skerry.Server{User: "admin", Password: strings.TrimSpace(string(password))})
}

// push and pull copy an image to and from a node.
func (d *demo) push(node int, from, name string) {
	d.t.Helper()
	d.run("skopeo", "copy", "--dest-cert-dir", d.certs(), "oci:"+from+":latest", "docker://"+d.addr(node)+"/"+name)
}

func (d *demo) pull(node int, name string) {
	d.t.Helper()
	d.run("skopeo", "copy", "--src-cert-dir", d.certs(), "docker://"+d.addr(node)+"/"+name, "dir:"+d.t.TempDir())
}

// TestTheDemoIsOneRegistryAndGoesOn does what the demo says that one can do, and starts
// it a second time.
func TestTheDemoIsOneRegistryAndGoesOn(t *testing.T) {
	image, data, port := t.TempDir(), t.TempDir(), freePorts(t)
	writeLayout(t, image, 2, 100<<10)
	d := startDemo(t, data, port)
	d.logIn(1)
	d.logIn(3)
	d.push(1, image, "team/app:1")
	d.pull(3, "team/app:1")

	pid, err := os.ReadFile(d.file("n2.pid"))
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(pid)))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(n, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	d.push(3, image, "team/app:2")
	d.pull(1, "team/app:2")

	d.interrupt(t)
	if d.cmd.ProcessState.ExitCode() != 0 {
		t.Errorf("interrupted, it ends with %v: %s", d.cmd.ProcessState, &d.out)
	}
	d = startDemo(t, data, port)
	d.logIn(2)
	d.pull(2, "team/app:2")
}

// freePorts finds three ports in a row that nobody listens on at this instant.
func freePorts(t *testing.T) int {
	t.Helper()
	var failed error
	for port := 20000 + os.Getpid()%10000; port < 32000; port += 3 {
		failed = nil
		for i := range 3 {
			l, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", port+i))
			if err == nil {
				err = l.Close()
			}
			failed = errors.Join(failed, err)
		}
		if failed == nil {
			return port
		}
	}
	t.Fatal(failed)
	return 0
}
