package peer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/appliance/peer"
	"skerry.dev/skerry/tls"
)

// What stands in the place of raft's and the blob store's sentinels.
var (
	errNoLeader = errors.New("test: no leader")
	errFull     = errors.New("test: disk full")
	errNoBlob   = errors.New("test: no such blob")
)

func sentinels() []peer.Sentinel {
	return []peer.Sentinel{
		{Code: "no-leader", Err: errNoLeader},
		{Code: "full", Err: errFull, Status: http.StatusInsufficientStorage},
		{Code: "no-blob", Err: errNoBlob, Status: http.StatusNotFound},
	}
}

// A node answers and asks, with certificates and all.
type node struct {
	tb     testing.TB
	peers  *tls.Peers
	server string
	at     peer.Node
	client *peer.Client
	cfg    peer.Config
	dials  atomic.Int64
	log    *logged

	mu      sync.Mutex // guards what follows
	propose func(ctx context.Context, command []byte) (uint64, []byte, error)
	blobs   map[digest.Digest][]byte
	wanted  []digest.Digest
	told    []string // calls without words
	gone    map[string]bool
	public  http.Handler
	joins   *joins
}

func (n *node) ProposeHere(ctx context.Context, command []byte) (uint64, []byte, error) {
	n.mu.Lock()
	f := n.propose
	n.mu.Unlock()
	return f(ctx, command)
}

func (n *node) ReadIndexHere(ctx context.Context) (uint64, error) {
	index, _, err := n.ProposeHere(ctx, nil)
	return index, err
}

func (n *node) agree(f func(ctx context.Context, command []byte) (uint64, []byte, error)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.propose = f
}

// fails lets every command and question fail.
func (n *node) fails(err error) {
	n.agree(func(context.Context, []byte) (uint64, []byte, error) { return 0, nil, err })
}

func (n *node) member(server string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.gone[server] {
		return fmt.Errorf("%s was removed", server)
	}
	return nil
}

func (n *node) blob(_ context.Context, d digest.Digest) (io.ReadSeekCloser, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	b, ok := n.blobs[d]
	if !ok {
		return nil, fmt.Errorf("open %s: %w", d, errNoBlob)
	}
	return struct {
		io.ReadSeeker
		io.Closer
	}{bytes.NewReader(b), io.NopCloser(nil)}, nil
}

func (n *node) want(_ context.Context, _ string, ds []digest.Digest) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.wanted = append(n.wanted, ds...)
	return nil
}

// hear notes a call without words. It fails as commands do.
func (n *node) hear(ctx context.Context, call string) error {
	n.mu.Lock()
	n.told = append(n.told, call)
	f := n.propose
	n.mu.Unlock()
	_, _, err := f(ctx, nil)
	return err
}

func (n *node) put(b []byte) digest.Digest {
	n.mu.Lock()
	defer n.mu.Unlock()
	d := digest.FromBytes(b)
	n.blobs[d] = b
	return d
}

// A logged keeps what was logged.
type logged struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// newNode starts one in a directory that may have an authority.
func newNode(tb testing.TB, dir, server string) *node {
	tb.Helper()
	n := &node{
		tb: tb, server: server, log: &logged{}, blobs: map[digest.Digest][]byte{}, gone: map[string]bool{},
		public: http.NotFoundHandler(),
	}
	n.agree(func(_ context.Context, command []byte) (uint64, []byte, error) {
		return uint64(len(command)), append([]byte("did "), command...), nil
	})
	log := slog.New(slog.NewTextHandler(n.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var err error
	if n.peers, err = tls.OpenPeers(tls.PeersConfig{Dir: dir, Server: server, Log: log}); err != nil {
		tb.Fatal(err)
	}
	n.client = peer.NewClient(peer.ClientConfig{Dial: n.dial, Errors: sentinels(), Log: log, CommandMax: 1 << 20})
	n.joins = &joins{node: n, invitations: map[string]peer.Invitation{}, members: map[string]peer.Member{}}
	n.cfg = peer.Config{
		Agreement: n, CommandMax: 1 << 20, Blob: n.blob, Want: n.want, Member: n.member, Errors: sentinels(), Log: log,
		Status: func(context.Context) peer.Status {
			return peer.Status{Server: server, Term: 3, LastContact: time.Second}
		},
		Renew:  func(ctx context.Context) error { return n.hear(ctx, "renew") },
		Sweep:  func() { _ = n.hear(context.Background(), "sweep") },
		Public: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { n.public.ServeHTTP(w, r) }),
		Join:   n.joins, Client: n.client,
	}
	n.start()
	return n
}

func (n *node) dial(ctx context.Context, protocol, address, server string) (net.Conn, error) {
	n.dials.Add(1)
	return n.peers.Dial(ctx, protocol, address, server)
}

func (n *node) start() {
	n.tb.Helper()
	at, err := n.peers.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		n.tb.Fatal(err)
	}
	n.at = peer.Node{Server: n.server, Address: at.String()}
	s := peer.Server(peer.Handler(n.cfg), n.cfg.Log)
	done := make(chan error, 1)
	go func() { done <- s.Serve(n.peers.HTTP()) }()
	n.tb.Cleanup(func() {
		_ = n.client.Close()
		_ = s.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			n.tb.Error(err)
		}
		if err := n.peers.Close(); err != nil {
			n.tb.Error(err)
		}
	})
}

// bare is a member of n's cluster that answers with a handler of the test.
func (n *node) bare(server string, h http.Handler) peer.Node {
	n.tb.Helper()
	cert, key, err := n.peers.Authority()
	if err != nil {
		n.tb.Fatal(err)
	}
	dir := n.tb.TempDir()
	if err := tls.InstallAuthority(dir, cert, key); err != nil {
		n.tb.Fatal(err)
	}
	peers, err := tls.OpenPeers(tls.PeersConfig{Dir: dir, Server: server, Log: n.cfg.Log})
	if err != nil {
		n.tb.Fatal(err)
	}
	at, err := peers.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		n.tb.Fatal(err)
	}
	s := &http.Server{Handler: h, ErrorLog: slog.NewLogLogger(n.cfg.Log.Handler(), slog.LevelDebug)}
	done := make(chan error, 1)
	go func() { done <- s.Serve(peers.HTTP()) }()
	n.tb.Cleanup(func() {
		_ = s.Close()
		if err := errors.Join(<-done, peers.Close()); !errors.Is(err, http.ErrServerClosed) {
			n.tb.Error(err)
		}
	})
	return peer.Node{Server: server, Address: at.String()}
}

// beside is a further member of n's cluster.
func (n *node) beside(server string) *node {
	n.tb.Helper()
	cert, key, err := n.peers.Authority()
	if err != nil {
		n.tb.Fatal(err)
	}
	dir := n.tb.TempDir()
	if err := tls.InstallAuthority(dir, cert, key); err != nil {
		n.tb.Fatal(err)
	}
	return newNode(n.tb, dir, server)
}

func pair(tb testing.TB) (a, b *node) {
	tb.Helper()
	a = newNode(tb, tb.TempDir(), "a.disk1")
	return a, a.beside("b.disk2")
}

// raw is a connection of a member, for what no client of ours sends.
func (n *node) raw(to *node) net.Conn {
	n.tb.Helper()
	c, err := n.peers.Dial(n.tb.Context(), tls.ProtocolPeer, to.at.Address, to.server)
	if err != nil {
		n.tb.Fatal(err)
	}
	n.tb.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		n.tb.Fatal(err)
	}
	return c
}

// within fails unless f is true soon.
func within(tb testing.TB, what string, f func() bool) {
	tb.Helper()
	for end := time.Now().Add(10 * time.Second); !f(); {
		if time.Now().After(end) {
			tb.Fatalf("not within 10 s: %s", what)
		}
		<-time.After(2 * time.Millisecond)
	}
}
