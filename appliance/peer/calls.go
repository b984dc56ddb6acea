package peer

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"github.com/opencontainers/go-digest"
)

// Propose has a node, which should lead, agree on a command, and returns the
// index and the answer. [ErrNotSent] and the sentinels of that node say what
// became of the command; after any other error nothing is known about it.
func (c *Client) Propose(ctx context.Context, to Node, command []byte) (index uint64, answer []byte, err error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	req, err := request(ctx, http.MethodPost, to, pathCommands, command)
	if err != nil {
		return 0, nil, err
	}
	head, answer, err := c.ask(req, to, c.cfg.CommandMax)
	if err != nil {
		return 0, nil, err
	}
	index, err = indexIn(head, to)
	return index, answer, err
}

// ReadIndex asks a node, which should lead, for its read index.
func (c *Client) ReadIndex(ctx context.Context, to Node) (index uint64, err error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	req, err := request(ctx, http.MethodPost, to, pathReadIndex, nil)
	if err != nil {
		return 0, err
	}
	again(req)
	head, _, err := c.ask(req, to, smallMax)
	if err != nil {
		return 0, err
	}
	return indexIn(head, to)
}

func indexIn(head http.Header, to Node) (uint64, error) {
	index, err := strconv.ParseUint(head.Get(headerIndex), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %w: index: %w", to.Server, ErrAnswer, err)
	}
	return index, nil
}

// Status asks a node how it is.
func (c *Client) Status(ctx context.Context, to Node) (s Status, err error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	req, err := request(ctx, http.MethodGet, to, pathStatus, nil)
	if err != nil {
		return s, err
	}
	_, b, err := c.ask(req, to, smallMax)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return s, fmt.Errorf("%s: %w: status: %w", to.Server, ErrAnswer, err)
	}
	return s, nil
}

// Renew has a node renew the leases of what it told clients of: it returns when that
// is agreed on, and garbage may be collected.
func (c *Client) Renew(ctx context.Context, to Node) error { return c.tell(ctx, to, pathRenew) }

// Sweep tells a node that garbage was collected: it unlinks what it holds of it, later.
func (c *Client) Sweep(ctx context.Context, to Node) error { return c.tell(ctx, to, pathSweep) }

// tell makes a call that has no words.
func (c *Client) tell(ctx context.Context, to Node, path string) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	req, err := request(ctx, http.MethodPost, to, path, nil)
	if err != nil {
		return err
	}
	again(req)
	_, _, err = c.ask(req, to, smallMax)
	return err
}

// Want asks a node to fetch what of digests it lacks, now.
func (c *Client) Want(ctx context.Context, to Node, digests []digest.Digest) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	for len(digests) > 0 {
		n := min(len(digests), wantMax)
		body := wanted{Digests: make([]string, n)}
		for i, d := range digests[:n] {
			body.Digests[i] = d.String()
		}
		digests = digests[n:]
		b, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("%w: encode want: %w", ErrNotSent, err)
		}
		req, err := request(ctx, http.MethodPost, to, pathWant, b)
		if err != nil {
			return err
		}
		again(req)
		if _, _, err := c.ask(req, to, smallMax); err != nil {
			return err
		}
	}
	return nil
}
