//go:build crash

package ledger

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"

	"skerry.dev/skerry/test/skerry"
)

// A Client speaks to one server as its administrator. It follows the server to
// a new address. It is safe for concurrent use while the server is not
// restarted.
type Client struct {
	http *http.Client
	s    *skerry.Server
}

// NewClient returns a client of s, with connections of its own.
func NewClient(s *skerry.Server) *Client { return &Client{s.Client(), s} }

// Do returns the status and the body; an error means that no whole answer came.
func (c *Client) Do(ctx context.Context, method, path, kind string, body []byte) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.s.URL+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.SetBasicAuth(c.s.User, c.s.Password)
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, b, err
}

// A Refusal is an answer that a healthy registry must not give.
type Refusal struct{ error }

// Want turns an answer into an error: nil if it is status, err if none came, or
// else a [Refusal].
func Want(what string, status int, got int, body []byte, err error) error {
	if err == nil && got != status {
		return Refusal{fmt.Errorf("%s: status %d, want %d: %s", what, got, status, body)}
	}
	return err
}
