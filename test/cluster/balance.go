//go:build cluster

package cluster

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// A balancer gives each connection to the next of its nodes, whoever makes it: the
// least that stands in front of a cluster. It knows no client and no protocol.
type balancer struct {
	listener net.Listener
	nodes    []string
	served   []atomic.Int64 // connections, by node
	next     atomic.Int64
	open     sync.WaitGroup
}

// balance starts one on loopback, which ends with the test.
func balance(t testing.TB, nodes ...string) *balancer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &balancer{listener: l, nodes: nodes, served: make([]atomic.Int64, len(nodes))}
	b.open.Go(b.accept)
	t.Cleanup(func() { _ = l.Close() }) // its connections end with clients and nodes
	return b
}

func (b *balancer) addr() string { return b.listener.Addr().String() }

func (b *balancer) accept() {
	for {
		c, err := b.listener.Accept()
		if err != nil {
			return
		}
		b.open.Go(func() { b.serve(c) })
	}
}

// serve connects a client to a node, or to the next one that answers.
func (b *balancer) serve(client net.Conn) {
	defer func() { _ = client.Close() }()
	for range b.nodes {
		i := int(b.next.Add(1)) % len(b.nodes)
		node, err := net.Dial("tcp", b.nodes[i])
		if err != nil {
			continue
		}
		b.served[i].Add(1)
		b.open.Go(func() { carry(client, node) })
		carry(node, client)
		_ = node.Close()
		return
	}
}

// carry passes on what from sends, and that it is done.
func carry(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	if half, ok := to.(*net.TCPConn); ok {
		_ = half.CloseWrite()
	}
}
