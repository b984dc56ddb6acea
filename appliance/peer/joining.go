package peer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
)

// Join asks a node of a cluster to make this one a member, with the secret of a
// token. dial connects to it, having checked that it is of the cluster whose
// hash the token has: of tls.DialJoin. Errors keep their identity if they are of
// this package, [ErrTokenExpired] for one, or in known. It can be asked again:
// who is a member already gets the same answer.
func Join(
	ctx context.Context, dial func(context.Context) (net.Conn, error), t Token, m Member, known ...Sentinel,
) (a Admission, err error) {
	body, err := json.Marshal(joinRequest{t.ID, t.Secret, m})
	if err != nil {
		return a, fmt.Errorf("join: encode request: %w", err)
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	conn, err := dial(ctx)
	if err != nil {
		return a, fmt.Errorf("join: %w: %w", ErrNotSent, err)
	}
	defer func() { _ = conn.Close() }() // all was read, or nothing matters
	var used atomic.Bool
	transport := &http.Transport{
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			if used.Swap(true) {
				return nil, errors.New("the connection ended")
			}
			return conn, nil
		},
		// Keeping connections is not turned off: a server that is told so ends a
		// connection as soon as it has answered, although it did not read it all,
		// and then the answer may be lost.
		MaxConnsPerHost: 1, MaxResponseHeaderBytes: headerMax,
	}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://skerry"+pathJoin, bytes.NewReader(body))
	if err != nil {
		return a, fmt.Errorf("join: %w", err)
	}
	const asked = "the node that was asked"
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return a, fmt.Errorf("join: %s did not answer: %w", asked, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return a, fmt.Errorf("join: %w", newTable(known).failure(asked, resp))
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, admissionMax))
	if err != nil {
		return a, fmt.Errorf("join: read answer: %w", err)
	}
	return readAdmission(asked, b)
}
