package main

import (
	"bytes"
	"context"
	cryptotls "crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
)

// A Client speaks to one server over connections it keeps. Safe for concurrent use.
type Client struct {
	base     string // https://127.0.0.1:5000
	password string // of account admin, sent with every request; "" sends none
	http     *http.Client
	wire     *Wire // for small reads; nil until logIn, and over TLS
}

type clientOptions struct {
	TLS   bool
	HTTP2 bool
	Large bool // buffers for large bodies instead of small ones
}

// account is who pushes and pulls.
const account = "admin"

// most bounds how long any single request may take.
const most = 5 * time.Minute

func newClient(addr string, o clientOptions) *Client {
	t := &http.Transport{
		MaxIdleConnsPerHost: 64,
		DisableCompression:  true,
		// The certificate's worth is not what is measured here, and both are on loopback.
		TLSClientConfig:   &cryptotls.Config{InsecureSkipVerify: true},
		ForceAttemptHTTP2: o.HTTP2,
	}
	if o.Large {
		t.WriteBufferSize, t.ReadBufferSize = 256<<10, 256<<10
	}
	scheme := "http://"
	if o.TLS {
		scheme = "https://"
	}
	return &Client{base: scheme + addr, http: &http.Client{Transport: t, Timeout: most}}
}

func (c *Client) close() {
	c.http.CloseIdleConnections()
	if c.wire != nil {
		c.wire.close()
	}
}

// logIn has the client send a password from now on. It is called before any other use.
func (c *Client) logIn(password string) error {
	c.password = password
	addr, plain := strings.CutPrefix(c.base, "http://")
	if !plain {
		return nil
	}
	r, err := http.NewRequest(http.MethodGet, c.base, nil)
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	r.SetBasicAuth(account, password)
	c.wire = &Wire{addr: addr, header: "Host: " + addr + "\r\nAuthorization: " + r.Header.Get("Authorization") +
		"\r\nAccept: " + acceptManifests + "\r\n"}
	return nil
}

// A request is what a row asks for.
type request struct {
	method string
	path   string // or a whole URL
	kind   string // Content-Type of the body, or what is accepted
	body   io.Reader
	length int64 // of the body; -1 sends it in chunks
}

// do sends r. The caller closes the response's body.
func (c *Client) do(ctx context.Context, r request) (*http.Response, error) {
	target := r.path
	if strings.HasPrefix(target, "/") {
		target = c.base + target
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, r.body)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	if r.body != nil {
		req.ContentLength = r.length
	}
	if header := "Content-Type"; r.kind != "" {
		if r.body == nil {
			header = "Accept"
		}
		req.Header.Set(header, r.kind)
	}
	if c.password != "" {
		req.SetBasicAuth(account, c.password)
	}
	return c.http.Do(req)
}

// An answer is what a row may check about a response that has been read.
type answer struct {
	read     int64 // bytes of body
	length   int64 // Content-Length
	location string
}

// expect sends r and reads the response to its end into dst. Any status but want is an
// error that quotes the response.
func (c *Client) expect(ctx context.Context, r request, want int, dst io.Writer) (a answer, err error) {
	response, err := c.do(ctx, r)
	if err != nil {
		return a, err
	}
	defer response.Body.Close()
	if response.StatusCode != want {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 1024)) // what there is of it
		return a, fmt.Errorf("%s %s: status %s, want %d: %s", r.method, r.path, response.Status, want, text)
	}
	if a.read, err = io.Copy(dst, response.Body); err != nil {
		return a, fmt.Errorf("%s %s: read answer: %w", r.method, r.path, err)
	}
	a.length = response.ContentLength
	// A server may answer with a path only. No Location is "".
	if u, err := response.Location(); err == nil {
		a.location = u.String()
	}
	return a, nil
}

// read asks for path, the shortest way there is, and reads the answer into dst.
func (c *Client) read(ctx context.Context, method, path string, dst io.Writer) (answer, error) {
	if c.wire != nil {
		return c.wire.ask(method, path, dst)
	}
	return c.expect(ctx, request{method: method, path: path, kind: acceptManifests}, http.StatusOK, dst)
}

// get reads path and checks that the answer has size bytes; -1: any.
func (c *Client) get(ctx context.Context, path string, size int64) error {
	a, err := c.read(ctx, http.MethodGet, path, io.Discard)
	if err == nil && size >= 0 && a.read != size {
		return fmt.Errorf("GET %s: %d bytes, want %d", path, a.read, size)
	}
	return err
}

// text reads path.
func (c *Client) text(ctx context.Context, path string) ([]byte, error) {
	var b bytes.Buffer
	_, err := c.read(ctx, http.MethodGet, path, &b)
	return b.Bytes(), err
}

// head asks for path and checks the Content-Length answered.
func (c *Client) head(ctx context.Context, path string, size int64) error {
	a, err := c.read(ctx, http.MethodHead, path, io.Discard)
	if err == nil && a.length != size {
		return fmt.Errorf("HEAD %s: Content-Length %d, want %d", path, a.length, size)
	}
	return err
}

// upload opens an upload session of repo and returns its URL.
func (c *Client) upload(ctx context.Context, repo string) (string, error) {
	r := request{method: http.MethodPost, path: "/v2/" + repo + "/blobs/uploads/"}
	a, err := c.expect(ctx, r, http.StatusAccepted, io.Discard)
	return a.location, err
}

// putBlob pushes a blob as POST and one PUT.
func (c *Client) putBlob(ctx context.Context, repo string, d digest.Digest, body io.Reader, size int64) error {
	session, err := c.upload(ctx, repo)
	if err != nil {
		return err
	}
	return c.finish(ctx, session, d, body, size)
}

// streamBlob pushes a blob as POST, one PATCH of unknown length, and an empty PUT.
func (c *Client) streamBlob(ctx context.Context, repo string, d digest.Digest, body io.Reader) error {
	session, err := c.upload(ctx, repo)
	if err != nil {
		return err
	}
	r := request{method: http.MethodPatch, path: session, kind: "application/octet-stream", body: body, length: -1}
	a, err := c.expect(ctx, r, http.StatusAccepted, io.Discard)
	if err != nil {
		return err
	}
	return c.finish(ctx, a.location, d, http.NoBody, 0)
}

// finish ends an upload session with the rest of its content.
func (c *Client) finish(ctx context.Context, session string, d digest.Digest, body io.Reader, size int64) error {
	u, err := url.Parse(session)
	if err != nil {
		return fmt.Errorf("parse location: %w", err)
	}
	q := u.Query()
	q.Set("digest", d.String())
	u.RawQuery = q.Encode()
	r := request{method: http.MethodPut, path: u.String(), kind: "application/octet-stream", body: body, length: size}
	_, err = c.expect(ctx, r, http.StatusCreated, io.Discard)
	return err
}

// putManifest pushes a manifest under a tag or digest.
func (c *Client) putManifest(ctx context.Context, repo, reference, kind string, manifest []byte) error {
	r := request{
		method: http.MethodPut, path: "/v2/" + repo + "/manifests/" + reference, kind: kind,
		body: bytes.NewReader(manifest), length: int64(len(manifest)),
	}
	_, err := c.expect(ctx, r, http.StatusCreated, io.Discard)
	return err
}
