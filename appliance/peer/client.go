package peer

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"time"
)

// ClientConfig says how to reach other nodes.
type ClientConfig struct {
	// Dial connects to a node for a protocol: of tls.Peers. An error of it means
	// that nothing was sent. Required.
	Dial func(ctx context.Context, protocol, address, server string) (net.Conn, error)

	// Errors are those that keep their identity between nodes, the same there.
	Errors []Sentinel

	// Log is told, at debug, of clients' requests that broke on their way.
	Log *slog.Logger

	// CommandMax is the size in bytes of the largest answer to a command; 0 means
	// 16 MiB.
	CommandMax int64
}

// A Client asks other nodes. It keeps connections to each, so many at most, and
// those for bytes beside those for questions, which thus never wait for a large
// blob. It is safe for concurrent use.
type Client struct {
	cfg           ClientConfig
	errors        table
	control, bulk *http.Transport
}

// NewClient returns one without connections.
func NewClient(cfg ClientConfig) *Client {
	if cfg.CommandMax == 0 {
		cfg.CommandMax = commandMax
	}
	c := &Client{cfg: cfg, errors: newTable(cfg.Errors)}
	c.control, c.bulk = c.transport(controlConns), c.transport(bulkConns)
	return c
}

// Close ends the connections that are idle. Those in use end with their calls.
func (c *Client) Close() error {
	c.control.CloseIdleConnections()
	c.bulk.CloseIdleConnections()
	return nil
}

func (c *Client) transport(conns int) *http.Transport {
	return &http.Transport{
		DialContext:            c.dial,
		DisableCompression:     true, // layers are compressed already
		MaxConnsPerHost:        conns,
		MaxIdleConnsPerHost:    idleConns,
		IdleConnTimeout:        clientIdle,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: headerMax,
		WriteBufferSize:        64 << 10,
		ReadBufferSize:         64 << 10,
	}
}

// host is a node as the host of a URL, by which the transport keeps connections
// apart: a node at another address, and another one at the same, are others.
func host(n Node) string {
	return hex.EncodeToString([]byte(n.Server)) + "." + hex.EncodeToString([]byte(n.Address))
}

// dial connects to the node that host wrote.
func (c *Client) dial(ctx context.Context, _, address string) (net.Conn, error) {
	name, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	server, at, _ := strings.Cut(name, ".")
	s, err := hex.DecodeString(server)
	if err != nil {
		return nil, err
	}
	a, err := hex.DecodeString(at)
	if err != nil {
		return nil, err
	}
	return c.cfg.Dial(ctx, protocolPeer, string(a), string(s))
}

// request prepares a call.
func request(ctx context.Context, method string, to Node, path string, body []byte) (*http.Request, error) {
	if to.Server == "" || to.Address == "" {
		return nil, fmt.Errorf("%w: node %q has no address, or no server id", ErrNotSent, to)
	}
	var r io.Reader = http.NoBody
	if body != nil {
		r = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+host(to)+path, r)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotSent, err)
	}
	req.Host = "skerry"
	return req, nil
}

// again lets the transport send a request again that has no effect, when the
// connection ended that it was sent by.
func again(req *http.Request) { req.Header["Idempotency-Key"] = nil }

// raw sends a request, and says of a failure whether anything can have happened.
// The caller closes the body.
func (c *Client) raw(t *http.Transport, req *http.Request, to Node) (*http.Response, error) {
	var begun atomic.Bool // read here while a connection of the transport may still write
	resp, err := t.RoundTrip(req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		// Of a request whose headers were not all written nothing happens there.
		WroteHeaders: func() { begun.Store(true) },
	})))
	if err == nil {
		return resp, nil
	}
	if cause := context.Cause(req.Context()); cause != nil && !errors.Is(err, cause) {
		err = fmt.Errorf("%w: %w", cause, err)
	}
	if !begun.Load() {
		return nil, fmt.Errorf("%s: %w: %w", to.Server, ErrNotSent, err)
	}
	return nil, fmt.Errorf("%s did not answer: %w", to.Server, err)
}

// send is raw for calls: an answer that is no success is an error.
func (c *Client) send(t *http.Transport, req *http.Request, to Node) (*http.Response, error) {
	resp, err := c.raw(t, req, to)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 != 2 {
		defer func() { _ = resp.Body.Close() }()
		return nil, c.errors.failure(to.Server, resp)
	}
	return resp, nil
}

// ask is a call with a small answer, of at most so many bytes.
func (c *Client) ask(req *http.Request, to Node, most int64) (http.Header, []byte, error) {
	resp, err := c.send(c.control, req, to)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(resp.Body, most+1))
	if err != nil {
		return nil, nil, fmt.Errorf("%s: read answer: %w", to.Server, err)
	}
	if int64(len(b)) > most {
		return nil, nil, fmt.Errorf("%s: %w: more than %d bytes", to.Server, ErrAnswer, most)
	}
	return resp.Header, b, nil
}

// bounded gives a call an end.
func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, callMax)
}
