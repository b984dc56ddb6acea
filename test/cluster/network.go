//go:build cluster

package cluster

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// networks numbers the networks of this process.
//
//nolint:gochecknoglobals // names of namespaces are the machine's, as a counter of the process must be
var networks atomic.Int32

// A network is a namespace with a bridge, which is also where clients are, and one
// namespace for each host, with the address 10.99.0.N.
type network struct {
	t   testing.TB
	hub string
}

// newNetwork makes the hub. The network ends with the test.
func newNetwork(t testing.TB) *network {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("want root, to make network namespaces: sudo make cluster")
	}
	n := &network{t, fmt.Sprintf("skerry-%d-%d", os.Getpid(), networks.Add(1))}
	n.namespace(n.hub)
	n.ip("-n", n.hub, "link", "add", "bridge", "type", "bridge")
	n.ip("-n", n.hub, "link", "set", "bridge", "up")
	n.ip("-n", n.hub, "addr", "add", "10.99.0.254/24", "dev", "bridge")
	return n
}

// namespace makes a namespace with a loopback interface.
func (n *network) namespace(name string) {
	n.t.Helper()
	n.ip("netns", "add", name)
	n.t.Cleanup(func() { n.ip("netns", "del", name) })
	n.ip("-n", name, "link", "set", "lo", "up")
}

func (n *network) ip(args ...string) {
	n.t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		n.t.Fatalf("ip %v: %v\n%s", args, err, out)
	}
}

// A host is a place for one node.
type host struct {
	net    *network
	number int
}

// host makes one, connected to all others.
func (n *network) host(number int) *host {
	n.t.Helper()
	h := &host{n, number}
	n.namespace(h.name())
	port := fmt.Sprint("port", number)
	n.ip("-n", n.hub, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", h.name())
	n.ip("-n", n.hub, "link", "set", port, "master", "bridge", "up")
	n.ip("-n", h.name(), "addr", "add", h.ip()+"/24", "dev", "eth0")
	n.ip("-n", h.name(), "link", "set", "eth0", "up")
	return h
}

func (h *host) name() string { return fmt.Sprint(h.net.hub, "-", h.number) }
func (h *host) ip() string   { return fmt.Sprint("10.99.0.", h.number) }

// program is a file that runs a program at the host, as the same process.
func (h *host) program(path string) string {
	h.net.t.Helper()
	file := filepath.Join(h.net.t.TempDir(), "at-"+h.name())
	script := fmt.Sprintf("#!/bin/sh\nexec ip netns exec %s %s \"$@\"\n", h.name(), path)
	if err := os.WriteFile(file, []byte(script), 0o700); err != nil { //nolint:gosec // it is run
		h.net.t.Fatal(err)
	}
	return file
}

// deaf keeps what from sends from reaching h; hears ends that.
func (h *host) deaf(from *host)  { h.rule("-A", from) }
func (h *host) hears(from *host) { h.rule("-D", from) }

func (h *host) rule(do string, from *host) {
	h.net.t.Helper()
	h.net.ip("netns", "exec", h.name(), "iptables", "-w", do, "INPUT", "-s", from.ip(), "-j", "DROP")
}

// heal lets everything through to h again.
func (h *host) heal() {
	h.net.t.Helper()
	h.net.ip("netns", "exec", h.name(), "iptables", "-w", "-F", "INPUT")
}

// dial connects from the hub, where clients are: a connection stays in the
// namespace that it was made in.
func (n *network) dial(ctx context.Context, network, address string) (net.Conn, error) {
	hub, err := os.Open(filepath.Join("/run/netns", n.hub))
	if err != nil {
		return nil, err
	}
	defer func() { _ = hub.Close() }()
	// The thread goes back to where it was: one that ends takes the processes along
	// that were started from it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, err
	}
	defer func() { _ = home.Close() }()
	if err := unix.Setns(int(hub.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, fmt.Errorf("enter namespace %s: %w", n.hub, err)
	}
	// With more than one address, net would dial in goroutines of its own.
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
		panic(fmt.Sprintf("a thread is lost in namespace %s: %v", n.hub, back))
	}
	return conn, err
}
