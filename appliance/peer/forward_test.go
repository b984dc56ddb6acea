package peer_test

import (
	"bufio"
	"bytes"
	"context"
	cryptotls "crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"skerry.dev/skerry/appliance/peer"
	"skerry.dev/skerry/tls"
)

// front is b's public address, which passes everything on.
func front(t *testing.T, b *node, to peer.Node) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.client.Forward(w, r, to, []byte(`{"who":"alice"}`), func(w http.ResponseWriter, _ *http.Request, err error) {
			w.Header().Set("X-Not-Sent", fmt.Sprint(errors.Is(err, peer.ErrNotSent)))
			http.Error(w, err.Error(), http.StatusBadGateway)
		})
	}))
	t.Cleanup(s.Close)
	return s
}

func TestRequestsArePassedOnAsTheyWere(t *testing.T) {
	a, b := pair(t)
	s := front(t, b, a.at)
	seen := make(chan *http.Request, 1)
	a.public = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		seen <- r
		w.Header().Set("Location", "/v2/x/blobs/uploads/1?state=2")
		w.Header().Set("Range", "0-4")
		w.WriteHeader(http.StatusAccepted)
		_, _ = w.Write([]byte("done"))
	})
	for _, target := range []string{
		"/v2/x/blobs/uploads/1?_state=a%2Fb;c&digest=sha256:0&x=%zz", "/v2/a%2Fb/..%2fc//d/", "/peer/v1/status", "/",
		"/v2/x/?", "/v2/%25",
	} {
		c, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = fmt.Fprintf(c, "PATCH %s HTTP/1.1\r\nHost: r.example\r\nContent-Length: 5\r\nAuthorization: Bearer t\r\n"+
			"Skerry-Asker: cm9vdA==\r\nSkerry-Remote: 6.6.6.6:6\r\nskerry-hop: 1\r\nX-Forwarded-For: 10.0.0.1\r\n"+
			"Content-Range: 0-4\r\nAccept-Encoding: identity\r\n\r\n12345", target)
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != http.StatusAccepted || string(answer) != "done" || resp.Header.Get("Range") != "0-4" ||
			resp.Header.Get("Location") != "/v2/x/blobs/uploads/1?state=2" {
			t.Fatalf("%s: %v %q", target, resp, answer)
		}
		r := <-seen
		body, _ := io.ReadAll(r.Body)
		if r.RequestURI != strings.TrimSuffix(target, "?") && r.RequestURI != target || r.Method != http.MethodPatch ||
			r.Host != "r.example" || string(body) != "12345" || r.ContentLength != 5 || r.TLS != nil ||
			r.Header.Get("Authorization") != "Bearer t" || r.Header.Get("X-Forwarded-For") != "10.0.0.1" ||
			r.Header.Get("X-Forwarded-Proto") != "http" || r.Header.Get("Content-Range") != "0-4" {
			t.Errorf("%s arrived as %s %s: %v %q", target, r.Method, r.RequestURI, r.Header, body)
		}
		for name := range r.Header {
			if strings.HasPrefix(name, "Skerry-") {
				t.Errorf("%s: header %s", target, name)
			}
		}
		asker, ok := peer.AskerOf(r.Context())
		if !ok || asker.Server != "b.disk2" || string(asker.Identity) != `{"who":"alice"}` ||
			asker.Remote != c.LocalAddr().String() || r.RemoteAddr != asker.Remote || asker.Proto != "http" {
			t.Errorf("asker %+v, remote %s", asker, r.RemoteAddr)
		}
		_ = c.Close()
	}
}

func TestRequestsArePassedOnOnce(t *testing.T) {
	a, b := pair(t)
	s := front(t, b, a.at)
	a.public = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.client.Forward(w, r, b.at, nil, func(w http.ResponseWriter, _ *http.Request, err error) {
			if !errors.Is(err, peer.ErrLoop) {
				t.Errorf("%v", err)
			}
			http.Error(w, "loop", http.StatusLoopDetected)
		})
	})
	resp, err := http.Get(s.URL + "/v2/")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusLoopDetected {
		t.Errorf("%s", resp.Status)
	}
}

func TestLargeBodiesStreamThrough(t *testing.T) {
	a, b := pair(t)
	s := front(t, b, a.at)
	const size = 32 << 20
	came := make(chan int64, 1)
	a.public = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		came <- n
		_, _ = io.Copy(w, io.LimitReader(zeros{}, size))
	})
	resp, err := http.Post(s.URL+"/v2/x", "application/octet-stream", io.LimitReader(zeros{}, size))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if n, err := io.Copy(io.Discard, resp.Body); n != size || err != nil {
		t.Errorf("back: %d bytes, %v", n, err)
	}
	if n := <-came; n != size {
		t.Errorf("there: %d bytes", n)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

func TestClientsLearnThatTheirNodeIsAway(t *testing.T) {
	a, b := pair(t)
	gone := peer.Node{Server: "c.disk3", Address: a.at.Address}
	for _, c := range []struct {
		to      peer.Node
		notSent string
		words   string
		prepare func()
	}{
		{gone, "true", "another server", func() {}},
		{peer.Node{}, "true", "no address", func() {}},
		{a.at, "false", "b.disk2 was removed", func() {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.gone["b.disk2"] = true
		}},
	} {
		c.prepare()
		resp, err := http.Get(front(t, b, c.to).URL + "/v2/")
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusBadGateway || resp.Header.Get("X-Not-Sent") != c.notSent ||
			!strings.Contains(string(body), c.words) {
			t.Errorf("%v: %s %s %s", c.to, resp.Status, resp.Header.Get("X-Not-Sent"), body)
		}
	}
}

// TestClientsThatLeaveAreNotServedOn has a client go in the middle.
func TestClientsThatLeaveAreNotServedOn(t *testing.T) {
	a, b := pair(t)
	s := front(t, b, a.at)
	ended := make(chan error, 1)
	a.public = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		ended <- r.Context().Err()
	})
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/v2/", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	_ = resp.Body.Close()
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("still served")
	}
}

// A peerConn says who is at its other end.
type peerConn struct{ net.Conn }

func (peerConn) Peer() (protocol, server string) { return tls.ProtocolPeer, "b.disk2" }

func TestACertificateOfANodeIsNotItsClients(t *testing.T) {
	seen := 0
	h := peer.Handler(peer.Config{Log: slog.New(slog.DiscardHandler), Public: http.HandlerFunc(
		func(_ http.ResponseWriter, r *http.Request) {
			seen++
			if r.TLS != nil {
				t.Errorf("a client seems to have shown %v", r.TLS)
			}
		})})
	s := peer.Server(h, slog.New(slog.DiscardHandler))
	r := httptest.NewRequestWithContext(s.ConnContext(t.Context(), peerConn{}), http.MethodGet, "/peer/v1/public/v2/", nil)
	r.Header.Set("Skerry-Remote", "192.0.2.1:1")
	r.Header.Set("Skerry-Proto", "https")
	r.TLS = new(cryptotls.ConnectionState)
	s.Handler.ServeHTTP(httptest.NewRecorder(), r)
	if seen != 1 {
		t.Errorf("it is passed on %d times", seen)
	}
}
