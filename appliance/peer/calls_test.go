package peer_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/appliance/peer"
	"skerry.dev/skerry/tls"
)

func TestCommandsReachTheLeader(t *testing.T) {
	a, b := pair(t)
	for _, command := range [][]byte{[]byte("x"), {}, bytes.Repeat([]byte{0, 255}, 1<<18)} {
		index, answer, err := b.client.Propose(t.Context(), a.at, command)
		if err != nil || index != uint64(len(command)) || string(answer) != "did "+string(command) {
			t.Errorf("%d bytes: index %d, %d bytes, %v", len(command), index, len(answer), err)
		}
	}
	a.agree(func(context.Context, []byte) (uint64, []byte, error) { return 1<<64 - 1, nil, nil })
	if index, err := b.client.ReadIndex(t.Context(), a.at); index != 1<<64-1 || err != nil {
		t.Errorf("read index %d, %v", index, err)
	}
	s, err := b.client.Status(t.Context(), a.at)
	if err != nil || s != (peer.Status{Server: "a.disk1", Term: 3, LastContact: time.Second}) {
		t.Errorf("status %+v, %v", s, err)
	}
}

func TestSentinelsSurviveTheWay(t *testing.T) {
	a, b := pair(t)
	unknown := errors.New("something else")
	for _, c := range []struct {
		err  error
		is   error
		not  []error
		code string
	}{
		{fmt.Errorf("propose: %w: lost", errNoLeader), errNoLeader, []error{errFull, peer.ErrNotSent}, "no-leader"},
		{errFull, errFull, []error{errNoLeader, peer.ErrNotSent}, "full"},
		{unknown, nil, []error{errNoLeader, errFull, peer.ErrNotSent, unknown}, ""},
	} {
		a.fails(c.err)
		_, _, err := b.client.Propose(t.Context(), a.at, []byte("x"))
		_, readErr := b.client.ReadIndex(t.Context(), a.at)
		for _, err := range []error{err, readErr} {
			var remote *peer.RemoteError
			if !errors.As(err, &remote) || remote.Code != c.code || remote.Server != "a.disk1" ||
				!strings.Contains(err.Error(), c.err.Error()) || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("%v became %#v", c.err, err)
			}
			for _, not := range c.not {
				if errors.Is(err, not) {
					t.Errorf("%v became %v, which is %v", c.err, err, not)
				}
			}
		}
	}
	// A node with other sentinels, of another version.
	old := peer.NewClient(peer.ClientConfig{Dial: b.peers.Dial, Log: b.cfg.Log})
	a.fails(errNoLeader)
	_, _, err := old.Propose(t.Context(), a.at, []byte("x"))
	var remote *peer.RemoteError
	if !errors.As(err, &remote) || remote.Code != "no-leader" || errors.Is(err, errNoLeader) {
		t.Errorf("%v", err)
	}
	_ = old.Close()
}

// TestNotSentIsCertain tries what fails before a command reached anybody.
func TestNotSentIsCertain(t *testing.T) {
	a, b := pair(t)
	var acted sync.Map
	a.agree(func(context.Context, []byte) (uint64, []byte, error) {
		acted.Store("did", true)
		return 0, nil, nil
	})
	stranger := newNode(t, t.TempDir(), "o.disk7")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = nobody.Close()
	for what, call := range map[string]func() error{
		"nobody listens": func() error {
			_, _, err := b.client.Propose(t.Context(), peer.Node{Server: a.server, Address: nobody.Addr().String()}, nil)
			return err
		},
		"no such name": func() error {
			_, _, err := b.client.Propose(t.Context(), peer.Node{Server: "a.disk1", Address: "none.invalid:1"}, []byte("x"))
			return err
		},
		"no address": func() error {
			_, _, err := b.client.Propose(t.Context(), peer.Node{Server: "a.disk1"}, []byte("x"))
			return err
		},
		"another server": func() error {
			_, _, err := b.client.Propose(t.Context(), peer.Node{Server: "a.old", Address: a.at.Address}, []byte("x"))
			return err
		},
		"another cluster": func() error {
			_, _, err := stranger.client.Propose(t.Context(), a.at, []byte("x"))
			return err
		},
		"context ended": func() error {
			_, _, err := b.client.Propose(ended, a.at, []byte("x"))
			return err
		},
	} {
		if err := call(); !errors.Is(err, peer.ErrNotSent) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, did := acted.Load("did"); did {
		t.Error("and yet it did something")
	}
	_, _, err = b.client.Propose(ended, a.at, []byte("x"))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v hides the context's end", err)
	}
}

// TestFateIsUnknownOnceSent has the other side go away with the command.
func TestFateIsUnknownOnceSent(t *testing.T) {
	a, b := pair(t)
	began := make(chan struct{}, 1)
	a.agree(func(ctx context.Context, _ []byte) (uint64, []byte, error) {
		began <- struct{}{}
		<-ctx.Done() // which is also how it learns that nobody waits
		return 0, nil, ctx.Err()
	})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, _, err := b.client.Propose(ctx, a.at, []byte("x"))
	if errors.Is(err, peer.ErrNotSent) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("context ended: %v", err)
	}
	<-began
	got := make(chan error, 1)
	go func() {
		_, _, err := b.client.Propose(t.Context(), a.at, []byte("x"))
		got <- err
	}()
	<-began
	a.peers.Disconnect("b.disk2")
	if err := <-got; err == nil || errors.Is(err, peer.ErrNotSent) {
		t.Errorf("connection ended: %v", err)
	}
}

// TestCutCommandsDoNothing sends the first half of one.
func TestCutCommandsDoNothing(t *testing.T) {
	a, b := pair(t)
	did := make(chan []byte, 1)
	a.agree(func(_ context.Context, command []byte) (uint64, []byte, error) {
		did <- command
		return 0, nil, nil
	})
	for _, head := range []string{"Content-Length: 10\r\n\r\nhalf", "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"} {
		c := b.raw(a)
		_, _ = io.WriteString(c, "POST /peer/v1/commands HTTP/1.1\r\nHost: a\r\n"+head)
		_ = c.Close()
	}
	within(t, "both failed", func() bool { return strings.Count(a.log.String(), "unexpected EOF") == 2 })
	select {
	case c := <-did:
		t.Errorf("proposed %q", c)
	default:
	}
}

func TestConnectionsAreKept(t *testing.T) {
	a, b := pair(t)
	for range 50 {
		if _, _, err := b.client.Propose(t.Context(), a.at, []byte("x")); err != nil {
			t.Fatal(err)
		}
		a.fails(errNoLeader)
		if _, err := b.client.ReadIndex(t.Context(), a.at); !errors.Is(err, errNoLeader) {
			t.Fatal(err)
		}
		a.agree(func(context.Context, []byte) (uint64, []byte, error) { return 1, nil, nil })
	}
	if n := b.dials.Load(); n != 1 {
		t.Errorf("%d dials for 100 calls in a row", n)
	}
	// Many at once, and no more connections than allowed.
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			if _, err := b.client.ReadIndex(t.Context(), a.at); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := b.dials.Load(); n > 200 {
		t.Errorf("%d dials", n)
	}
	// The same server at another address is dialed there.
	at, err := a.peers.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	before := b.dials.Load()
	if _, err := b.client.ReadIndex(t.Context(), peer.Node{Server: a.server, Address: at.String()}); err != nil {
		t.Fatal(err)
	}
	if b.dials.Load() != before+1 {
		t.Error("not dialed at its new address")
	}
}

// TestQuestionsDoNotWaitForBytes holds as many blobs open as there may be.
func TestQuestionsDoNotWaitForBytes(t *testing.T) {
	a, b := pair(t)
	d := a.put(make([]byte, 8<<20))
	for range 64 {
		body, _, err := b.client.Blob(t.Context(), a.at, d, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = body.Close() })
	}
	if _, err := b.client.ReadIndex(t.Context(), a.at); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, _, err := b.client.Blob(ctx, a.at, d, 0); !errors.Is(err, peer.ErrNotSent) {
		t.Errorf("one more: %v", err)
	}
}

func TestRemovedMembersAreRefused(t *testing.T) {
	a, b := pair(t)
	if _, err := b.client.ReadIndex(t.Context(), a.at); err != nil {
		t.Fatal(err)
	}
	a.mu.Lock()
	a.gone["b.disk2"] = true
	a.mu.Unlock()
	for range 3 { // over the connection that there is, and others
		_, err := b.client.ReadIndex(t.Context(), a.at)
		if !errors.Is(err, peer.ErrNotMember) || !strings.Contains(err.Error(), "b.disk2 was removed") {
			t.Errorf("%v", err)
		}
	}
	if !strings.Contains(a.log.String(), `level=WARN msg="node refused" server=b.disk2`) {
		t.Errorf("log:\n%s", a.log)
	}
}

func TestWhoJoinsMayAskForNothingElse(t *testing.T) {
	a := newNode(t, t.TempDir(), "a.disk1")
	hash, err := a.peers.CAHash()
	if err != nil {
		t.Fatal(err)
	}
	d := a.put([]byte("secret"))
	for _, path := range []string{
		"commands", "read-index", "status", "blobs/" + d.String(), "want", "renew", "sweep", "public/v2/", "x",
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			c, err := tls.DialJoin(t.Context(), a.at.Address, hash)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = fmt.Fprintf(c, "%s /peer/v1/%s HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", method, path)
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil || resp.StatusCode != http.StatusForbidden || !resp.Close {
				t.Errorf("%s %s: %v, %v", method, path, resp, err)
			}
			_ = c.Close()
		}
	}
}

func TestWantsArrive(t *testing.T) {
	a, b := pair(t)
	var ds []digest.Digest
	for i := range 1500 {
		ds = append(ds, digest.FromString(fmt.Sprint(i)))
	}
	ds = append(ds, digest.SHA512.FromString("x"))
	if err := b.client.Want(t.Context(), a.at, ds); err != nil {
		t.Fatal(err)
	}
	if len(a.wanted) != 1501 || a.wanted[1499] != ds[1499] || a.wanted[1500] != ds[1500] {
		t.Errorf("%d arrived", len(a.wanted))
	}
	if err := b.client.Want(t.Context(), a.at, nil); err != nil {
		t.Error(err)
	}
	if err := b.client.Want(t.Context(), a.at, []digest.Digest{"sha256:short"}); !errors.Is(err, peer.ErrRequest) {
		t.Errorf("%v", err)
	}
}

func TestCallsWithoutWordsArriveAndFail(t *testing.T) {
	a, b := pair(t)
	if err := b.client.Renew(t.Context(), a.at); err != nil {
		t.Error(err)
	}
	if err := b.client.Sweep(t.Context(), a.at); err != nil {
		t.Error(err)
	}
	if want := []string{"renew", "sweep"}; !slices.Equal(a.told, want) {
		t.Errorf("%q arrived, want %q", a.told, want)
	}
	a.fails(errNoLeader)
	if err := b.client.Renew(t.Context(), a.at); !errors.Is(err, errNoLeader) {
		t.Errorf("%v: who renewed nothing must say so", err)
	}
}
