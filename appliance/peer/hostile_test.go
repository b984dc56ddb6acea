package peer_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/appliance/peer"
)

// commands begins a request.
const commands = "POST /peer/v1/commands HTTP/1.1\r\nHost: a\r\n"

func TestHostileRequestsGetAClearNo(t *testing.T) {
	a, b := pair(t)
	for _, c := range []struct {
		name, request string
		status        int
		words         string
	}{
		{"no call", "GET /peer/v1/x HTTP/1.1\r\nHost: a\r\n\r\n", 404, "unknown call"},
		{"another version", "POST /peer/v2/commands HTTP/1.1\r\nHost: a\r\n\r\n", 404, "unknown call"},
		{"outside", "GET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n", 404, "unknown call"},
		{"almost public", "GET /peer/v1/publicx HTTP/1.1\r\nHost: a\r\n\r\n", 404, "unknown call"},
		{"dots", "GET /peer/v1/blobs/../status HTTP/1.1\r\nHost: a\r\n\r\n", 400, "digest"},
		{"another method", "DELETE /peer/v1/commands HTTP/1.1\r\nHost: a\r\n\r\n", 404, "method"},
		{"reading a command", "GET /peer/v1/commands HTTP/1.1\r\nHost: a\r\n\r\n", 404, "method"},
		{"head of a command", "HEAD /peer/v1/commands HTTP/1.1\r\nHost: a\r\n\r\n", 404, ""},
		{"a large command", commands + "Content-Length: 9000000000\r\n\r\n", 413, "too large"},
		{"a large chunked one", commands + "Transfer-Encoding: chunked\r\n\r\n" +
			"100001\r\n" + strings.Repeat("a", 0x100001) + "\r\n0\r\n\r\n", 413, "too large"},
		{"two lengths", commands + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400, ""},
		{"two framings", commands + "Content-Length: 9\r\n" +
			"Transfer-Encoding: x\r\n\r\n", 501, ""},
		{"large headers", commands + "X: " + strings.Repeat("a", 1<<17) + "\r\n\r\n", 431, ""},
		{"no HTTP", "\x00\x01\x02\r\n\r\n", 400, ""},
		{"h2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 404, "unknown call"},
		{"no digest", "GET /peer/v1/blobs/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "digest"},
		{"a long digest", "GET /peer/v1/blobs/" + strings.Repeat("a", 5000) + " HTTP/1.1\r\nHost: a\r\n\r\n", 400, "digest"},
		{"junk wanted", "POST /peer/v1/want HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n[]", 400, "bad request"},
		{"too much wanted", "POST /peer/v1/want HTTP/1.1\r\nHost: a\r\nContent-Length: 3100\r\n\r\n" +
			`{"digests":[` + strings.Repeat(`"",`, 1027) + `""]}` + "   ", 413, "at most 1000"},
		{"nobody asks", "GET /peer/v1/public/v2/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "Skerry-Remote"},
		{"a strange asker", "GET /peer/v1/public/v2/ HTTP/1.1\r\nHost: a\r\nSkerry-Asker: %%\r\n" +
			"Skerry-Remote: 1.2.3.4:5\r\nSkerry-Proto: https\r\n\r\n", 400, "Skerry-Asker"},
		{"from a name", "GET /peer/v1/public/v2/ HTTP/1.1\r\nHost: a\r\n" +
			"Skerry-Remote: localhost:5\r\nSkerry-Proto: https\r\n\r\n", 400, "Skerry-Remote"},
		{"another scheme", "GET /peer/v1/public/v2/ HTTP/1.1\r\nHost: a\r\n" +
			"Skerry-Remote: 1.2.3.4:5\r\nSkerry-Proto: gopher\r\n\r\n", 400, "Skerry-Proto"},
	} {
		conn := b.raw(a)
		go func() { _, _ = io.WriteString(conn, c.request) }() // some of it may never be read
		method, _, _ := strings.Cut(c.request, " ")
		resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != c.status || !strings.Contains(string(body), c.words) {
			t.Errorf("%s: %s %.200q, want %d with %q", c.name, resp.Status, body, c.status, c.words)
		}
		_ = conn.Close()
	}
	if len(a.wanted) > 0 {
		t.Errorf("wanted %v", a.wanted)
	}
	if _, err := b.client.ReadIndex(t.Context(), a.at); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestWithoutAnIdentityNothingIsServed(t *testing.T) {
	a := newNode(t, t.TempDir(), "a.disk1")
	s := httptest.NewServer(peer.Server(peer.Handler(a.cfg), a.cfg.Log).Handler) // wired wrongly
	defer s.Close()
	resp, err := http.Get(s.URL + "/peer/v1/status")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("%s", resp.Status)
	}
}

// piped is a handler behind its server, and a way to it, without a network: in a
// bubble of synctest, where minutes pass at once.
func piped(t *testing.T, cfg peer.Config) func(context.Context, string, string, string) (net.Conn, error) {
	t.Helper()
	l := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
	s := peer.Server(peer.Handler(cfg), cfg.Log)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		_ = s.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return func(context.Context, string, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		l.conns <- member{theirs}
		return ours, nil
	}
}

type member struct{ net.Conn }

func (member) Peer() (protocol, server string) { return "skerry-peer/1", "b.disk2" }

type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	close(p.done)
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// TestWhoStallsIsCutOff speaks to a server, a step at a time, and then waits.
func TestWhoStallsIsCutOff(t *testing.T) {
	for _, c := range []struct {
		name  string
		say   []string      // a pause of 20 s between each
		limit time.Duration // after the last of it
		want  string        // what is answered before the end
	}{
		{"nothing", nil, 11 * time.Second, ""},
		{"half of the headers", []string{"POST /peer/v1/com"}, 11 * time.Second, ""},
		{"half of a body", []string{commands + "Content-Length: 4\r\n\r\n", "a", "b"}, 31 * time.Second, "408"},
		{"a small body, slowly", []string{
			"POST /peer/v1/join HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n", "a",
		}, 11 * time.Second, "408"},
		{"no next request", []string{"GET /peer/v1/status HTTP/1.1\r\nHost: a\r\n\r\n"}, 121 * time.Second, "200"},
	} {
		synctest.Test(t, func(t *testing.T) {
			dial := piped(t, peer.Config{
				Log: slog.New(slog.DiscardHandler), Status: func(context.Context) peer.Status { return peer.Status{} },
			})
			conn, err := dial(t.Context(), "", "", "")
			if err != nil {
				t.Fatal(err)
			}
			answer := make(chan string, 1)
			go func() {
				b, _ := io.ReadAll(conn)
				answer <- string(b)
			}()
			for i, s := range c.say {
				if i > 0 {
					<-time.After(20 * time.Second) // the bubble's clock
				}
				if _, err := io.WriteString(conn, s); err != nil {
					t.Fatalf("%s: cut off too early: %v", c.name, err)
				}
			}
			said := time.Now()
			got := <-answer
			if took := time.Since(said); took > c.limit || !strings.Contains(got, c.want) {
				t.Errorf("%s: cut off after %s with %.100q", c.name, took, got)
			}
		})
	}
}

// TestBlobsNeedTheirReaders has a reader of a blob take nothing any more, and
// then a holder that brings nothing.
func TestBlobsNeedTheirReaders(t *testing.T) {
	content := make([]byte, 8<<20)
	d := digest.FromBytes(content)
	synctest.Test(t, func(t *testing.T) {
		closed := make(chan time.Time, 1)
		dial := piped(t, peer.Config{
			Log: slog.New(slog.DiscardHandler),
			Blob: func(context.Context, digest.Digest) (io.ReadSeekCloser, error) {
				return &watched{Reader: strings.NewReader(string(content)), closed: closed}, nil
			},
		})
		client := peer.NewClient(peer.ClientConfig{Dial: dial, Log: slog.New(slog.DiscardHandler)})
		body, _, err := client.Blob(t.Context(), peer.Node{Server: "a", Address: "a:1"}, d, 0)
		if err != nil {
			t.Fatal(err)
		}
		for range 10 { // slowly, but on and on
			if _, err := io.ReadFull(body, make([]byte, 256<<10)); err != nil {
				t.Fatal(err)
			}
			<-time.After(25 * time.Second) // the bubble's clock
		}
		began := time.Now()
		if at := <-closed; at.Sub(began) > 31*time.Second {
			t.Errorf("let go after %s", at.Sub(began))
		}
		if _, err := io.Copy(io.Discard, body); err == nil {
			t.Error("all of it came")
		}
		_ = body.Close()
		_ = client.Close()
	})
	synctest.Test(t, func(t *testing.T) {
		client := peer.NewClient(peer.ClientConfig{
			Log: slog.New(slog.DiscardHandler),
			Dial: func(context.Context, string, string, string) (net.Conn, error) {
				ours, theirs := net.Pipe()
				go func() {
					_, _ = http.ReadRequest(bufio.NewReader(theirs))
					_, _ = fmt.Fprintf(theirs, "HTTP/1.1 200 OK\r\nETag: %q\r\nContent-Length: 10\r\n\r\n12345", d)
				}()
				return ours, nil
			},
		})
		body, _, err := client.Blob(t.Context(), peer.Node{Server: "a", Address: "a:1"}, d, 0)
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Hour) // whoever does not read cannot be kept waiting
		if _, err := io.ReadFull(body, make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Hour)
		began := time.Now()
		if _, err := body.Read(make([]byte, 5)); !errors.Is(err, peer.ErrStalled) || time.Since(began) != 30*time.Second {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
		_ = body.Close()
		_ = client.Close()
	})
}

// TestDeadlinesEndWithWhatTheyAreFor has a connection used for one thing after
// another, each within its time.
func TestDeadlinesEndWithWhatTheyAreFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dial := piped(t, peer.Config{
			Log: slog.New(slog.DiscardHandler), Agreement: slow{},
			Blob: func(context.Context, digest.Digest) (io.ReadSeekCloser, error) { return nil, errNoBlob },
			Public: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(w, r.Body)
			}),
		})
		dials := 0
		client := peer.NewClient(peer.ClientConfig{
			Log: slog.New(slog.DiscardHandler),
			Dial: func(ctx context.Context, p, a, s string) (net.Conn, error) {
				dials++
				return dial(ctx, p, a, s)
			},
		})
		to := peer.Node{Server: "a", Address: "a:1"}
		for range 3 {
			if _, answer, err := client.Propose(t.Context(), to, []byte("x")); string(answer) != "x" || err != nil {
				t.Errorf("a command that takes a while: %q, %v", answer, err)
			}
		}
		for range 3 {
			if _, _, err := client.Blob(t.Context(), to, digest.FromString("x"), 0); err == nil {
				t.Error("a blob out of nowhere")
			}
			<-time.After(time.Minute) // the bubble's clock
			w := httptest.NewRecorder()
			slowly, body := io.Pipe()
			go func() {
				for range 3 {
					<-time.After(time.Minute)
					_, _ = io.WriteString(body, "a")
				}
				_ = body.Close()
			}()
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPatch, "/v2/", slowly)
			r.RemoteAddr = "1.2.3.4:5"
			client.Forward(w, r, to, nil, func(_ http.ResponseWriter, _ *http.Request, err error) { t.Error(err) })
			if w.Body.String() != "aaa" {
				t.Errorf("of a slow client came back %q", w.Body)
			}
		}
		if dials != 2 {
			t.Errorf("%d dials", dials)
		}
		_ = client.Close()
	})
}

// slow agrees, but not at once.
type slow struct{}

func (slow) ProposeHere(ctx context.Context, command []byte) (uint64, []byte, error) {
	select {
	case <-time.After(45 * time.Second):
		return 1, command, nil
	case <-ctx.Done():
		return 0, nil, ctx.Err()
	}
}

func (slow) ReadIndexHere(context.Context) (uint64, error) { return 1, nil }

type watched struct {
	*strings.Reader
	closed chan time.Time
}

func (w *watched) Close() error {
	w.closed <- time.Now()
	return nil
}

// FuzzRequests sends anything as a member, or as one who joins.
func FuzzRequests(f *testing.F) {
	f.Add("GET", "/peer/v1/blobs/sha256:00", "Range", "bytes=1-", "", false)
	f.Add("POST", "/peer/v1/join", "Skerry-Hop", "1", `{"member":{}}`, true)
	f.Add("PUT", "/peer/v1/public//../x", "Skerry-Remote", "1.2.3.4:5", "x", false)
	f.Add("POST", "/peer/v1/want", "Skerry-Asker", "=", `{"digests":["sha256:0"]}`, false)
	var did int
	cfg := peer.Config{
		Agreement: refusing{}, Log: slog.New(slog.DiscardHandler), Errors: sentinels(),
		Status: func(context.Context) peer.Status { return peer.Status{} },
		Blob:   func(context.Context, digest.Digest) (io.ReadSeekCloser, error) { return nil, errNoBlob },
		Want:   func(context.Context, string, []digest.Digest) error { return nil },
		Renew:  func(context.Context) error { return nil },
		Sweep:  func() {},
		Public: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			did++
			if _, ok := peer.AskerOf(r.Context()); !ok || !strings.HasPrefix(r.URL.Path, "/") {
				panic("public without an asker or a path")
			}
		}),
	}
	s := peer.Server(peer.Handler(cfg), cfg.Log)
	f.Fuzz(func(t *testing.T, method, path, name, value, body string, joins bool) {
		r, err := http.NewRequest(method, "http://a"+path, strings.NewReader(body))
		if err != nil {
			return
		}
		r.Header.Set(name, value)
		as := member{}
		conn := net.Conn(as)
		if joins {
			conn = joining{}
		}
		r = r.WithContext(s.ConnContext(t.Context(), conn))
		w := httptest.NewRecorder()
		before := did
		s.Handler.ServeHTTP(w, r)
		if w.Code < 200 || w.Code > 599 {
			t.Errorf("status %d", w.Code)
		}
		if joins && (w.Code < 400 || did != before) {
			t.Errorf("one who joins got %d for %s %s", w.Code, method, path)
		}
	})
}

type joining struct{ net.Conn }

func (joining) Peer() (protocol, server string) { return "skerry-join/1", "" }

type refusing struct{}

func (refusing) ProposeHere(context.Context, []byte) (uint64, []byte, error) {
	return 0, nil, errNoLeader
}

func (refusing) ReadIndexHere(context.Context) (uint64, error) { return 0, errNoLeader }
