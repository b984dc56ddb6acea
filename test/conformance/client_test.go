//go:build conformance

package conformance_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// A registry is the registry under test, reached over HTTP and in no other way.
// It is safe for concurrent use.
type registry struct {
	base      *url.URL
	client    *http.Client // logs in where it is asked to
	anonymous *http.Client // never does
	protected bool         // whether there are credentials at all
}

// A repository is a name in a registry that no other test uses.
type repository struct {
	*registry
	t    *testing.T
	name string
}

// repo returns a repository that does not exist yet.
func (r *registry) repo(t *testing.T) *repository {
	t.Helper()
	return &repository{registry: r, t: t, name: "conformance/" + strings.ToLower(rand.Text())}
}

// in returns the same repository for the subtest t.
func (r *repository) in(t *testing.T) *repository {
	t.Helper()
	return &repository{registry: r.registry, t: t, name: r.name}
}

func (r *repository) blobPath(d digest.Digest) string {
	return "/v2/" + r.name + "/blobs/" + d.String()
}

func (r *repository) manifestPath(ref string) string { return "/v2/" + r.name + "/manifests/" + ref }
func (r *repository) uploadsPath() string            { return "/v2/" + r.name + "/blobs/uploads/" }
func (r *repository) tagsPath(query string) string   { return "/v2/" + r.name + "/tags/list" + query }

func (r *repository) referrersPath(d digest.Digest) string {
	return "/v2/" + r.name + "/referrers/" + d.String()
}

// A call is one request. The zero value is a GET.
type call struct {
	method    string
	to        string // an absolute URL, or a path with its query
	header    map[string]string
	body      []byte
	stream    bool // do not say how long the body is
	anonymous bool
}

func (c call) String() string {
	return fmt.Sprintf("%s %s %v (%d bytes)", c.method, c.to, c.header, len(c.body))
}

// do sends c and reads the whole answer. An answer that breaks a rule which
// holds for all of them fails the test, whatever it was asked for.
func (r *repository) do(c call) *reply {
	r.t.Helper()
	if c.method == "" {
		c.method = http.MethodGet
	}
	to, err := r.base.Parse(c.to)
	if err != nil {
		r.t.Fatalf("%s: %v", c, err)
	}
	body := io.Reader(http.NoBody)
	if len(c.body) > 0 || c.stream {
		body = bytes.NewReader(c.body)
	}
	req, err := http.NewRequestWithContext(r.t.Context(), c.method, to.String(), body)
	if err != nil {
		r.t.Fatalf("%s: %v", c, err)
	}
	if c.stream {
		req.ContentLength = -1
	}
	for k, v := range c.header {
		req.Header.Set(k, v)
	}
	client := r.client
	if c.anonymous {
		client = r.anonymous
	}
	resp, err := client.Do(req)
	if err != nil {
		r.t.Fatalf("%s: %v", c, err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatalf("%s: read the answer: %v", c, err)
	}
	p := &reply{t: r.t, call: c, url: to, status: resp.StatusCode, header: resp.Header, body: answer}
	p.checkAlways()
	return p
}

func (r *repository) get(to string) *reply {
	r.t.Helper()
	return r.do(call{to: to, header: map[string]string{"Accept": accept}})
}

func (r *repository) head(to string) *reply {
	r.t.Helper()
	return r.do(call{method: http.MethodHead, to: to, header: map[string]string{"Accept": accept}})
}

func (r *repository) delete(to string) *reply {
	r.t.Helper()
	return r.do(call{method: http.MethodDelete, to: to})
}

// A reply is what the registry answered. Its want methods fail the test and
// return the reply, so that demands can be chained.
type reply struct {
	t      *testing.T
	call   call
	url    *url.URL
	status int
	header http.Header
	body   []byte
}

// fail reports what was wrong together with the exchange.
func (p *reply) fail(format string, args ...any) {
	p.t.Helper()
	var headers strings.Builder
	for _, k := range slices.Sorted(maps.Keys(p.header)) {
		fmt.Fprintf(&headers, "\n    %s: %s", k, strings.Join(p.header[k], ", "))
	}
	p.t.Errorf("%s\n  request: %s\n  answer: %d%s\n    %.600q",
		fmt.Sprintf(format, args...), p.call, p.status, &headers, p.body)
}

// want demands one of the statuses; nothing after it makes sense otherwise.
func (p *reply) want(statuses ...int) *reply {
	p.t.Helper()
	if !slices.Contains(statuses, p.status) {
		p.fail("status %d, want %v", p.status, statuses)
		p.t.FailNow()
	}
	return p
}

// wantRefused demands an error that blames the client.
func (p *reply) wantRefused() *reply {
	p.t.Helper()
	if p.status < 400 || p.status > 499 {
		p.fail("status %d, want a refusal (4xx)", p.status)
		p.t.FailNow()
	}
	return p
}

func (p *reply) wantHeader(key, value string) *reply {
	p.t.Helper()
	if got := p.header.Get(key); got != value {
		p.fail("%s is %q, want %q", key, got, value)
	}
	return p
}

func (p *reply) wantNoHeader(key string) *reply {
	p.t.Helper()
	if got := p.header.Values(key); len(got) > 0 {
		p.fail("%s is %q, want none", key, got)
	}
	return p
}

func (p *reply) wantDigest(d digest.Digest) *reply {
	p.t.Helper()
	return p.wantHeader("Docker-Content-Digest", d.String())
}

func (p *reply) wantBody(want []byte) *reply {
	p.t.Helper()
	if !bytes.Equal(p.body, want) {
		p.fail("body of %d bytes differs from the %d expected, which begin %.60q", len(p.body), len(want), want)
	}
	return p
}

// wantError demands the status and an error body that names code.
func (p *reply) wantError(status int, code string) *reply {
	p.t.Helper()
	p.want(status)
	if codes := p.errorCodes(); !slices.Contains(codes, code) {
		p.fail("error codes %v, want %s", codes, code)
	}
	return p
}

// location returns the Location header as an absolute URL.
func (p *reply) location() string {
	p.t.Helper()
	s := p.header.Get("Location")
	if s == "" {
		p.fail("no Location header")
		p.t.FailNow()
	}
	u, err := p.url.Parse(s)
	if err != nil {
		p.fail("Location %q: %v", s, err)
		p.t.FailNow()
	}
	return u.String()
}
