//go:build storage

package storage

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// A proxy stands between Skerry and an object store, and does to it what networks
// and services do.
type proxy struct {
	url string
	mu  sync.Mutex
	// hook sees each request first, and says whether it was answered; guarded by mu.
	hook func(http.ResponseWriter, *http.Request) bool

	requests atomic.Int64
	server   *httptest.Server
	to       *httputil.ReverseProxy
}

func startProxy(t *testing.T, addr string) *proxy {
	t.Helper()
	p := &proxy{}
	p.to = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: addr})
			r.Out.Host = r.In.Host // it is signed
		},
		FlushInterval: -1,
	}
	p.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.requests.Add(1)
		if h := p.now(); h != nil && h(w, r) {
			return
		}
		p.to.ServeHTTP(w, r)
	}))
	t.Cleanup(p.server.Close)
	p.url = p.server.URL
	return p
}

func (p *proxy) now() func(http.ResponseWriter, *http.Request) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hook
}

// do has hook see requests from now on; nil lets them through.
func (p *proxy) do(hook func(http.ResponseWriter, *http.Request) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hook = hook
}

// answer fails requests that match with a status.
func answer(status int, match func(*http.Request) bool) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if !match(r) {
			return false
		}
		w.WriteHeader(status)
		return true
	}
}

func anything(*http.Request) bool { return true }

// A filter changes the bodies of downloads that pass the proxy.
type filter struct {
	http.ResponseWriter
	write func(w http.ResponseWriter, p []byte) (int, error)
}

func (f filter) Write(p []byte) (int, error) { return f.write(f.ResponseWriter, p) }
func (f filter) Flush()                      { _ = http.NewResponseController(f.ResponseWriter).Flush() }

// download tells whether a request asks for a blob's bytes.
func download(r *http.Request) bool {
	return r.Method == http.MethodGet && strings.Contains(r.URL.Path, "blobs") &&
		!strings.Contains(r.URL.RawQuery, "prefix=") &&
		(!strings.Contains(r.URL.Path, "/storage/v1/b/") || strings.Contains(r.URL.RawQuery, "alt=media"))
}

// cutAfter breaks the connection of downloads after n bytes, times times.
func (p *proxy) cutAfter(n, times int64) {
	var cuts atomic.Int64
	p.do(func(w http.ResponseWriter, r *http.Request) bool {
		if !download(r) || cuts.Add(1) > times {
			return false
		}
		left := n
		p.to.ServeHTTP(filter{w, func(w http.ResponseWriter, b []byte) (int, error) {
			if left -= int64(len(b)); left < 0 {
				panic(http.ErrAbortHandler)
			}
			return w.Write(b)
		}}, r)
		return true
	})
}

// spoil changes a byte of each piece of downloads.
func (p *proxy) spoil() {
	p.do(func(w http.ResponseWriter, r *http.Request) bool {
		if !download(r) {
			return false
		}
		p.to.ServeHTTP(filter{w, func(w http.ResponseWriter, b []byte) (int, error) {
			b[0] ^= 1
			return w.Write(b)
		}}, r)
		return true
	})
}
