package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
)

// large measures a large blob on its way in and out.
func (b *Bench) large(ctx context.Context) error {
	return b.largeRounds(ctx, clientOptions{Large: true}, "large-push", "large-pull", "large-push-patch")
}

// largeTLS is large over TLS.
func (b *Bench) largeTLS(ctx context.Context) error {
	o := clientOptions{Large: true, TLS: true, HTTP2: b.opts.HTTP2}
	return b.largeRounds(ctx, o, "large-push-tls", "large-pull-tls", "")
}

// largeRounds has both servers push and pull, each round with new servers over empty
// directories: what earlier rounds wrote would fill the disk and the page cache.
func (b *Bench) largeRounds(ctx context.Context, o clientOptions, push, pull, patch string) error {
	block := noiseBlock()
	for round := range b.opts.Rounds {
		err := b.withPair(ctx, o, func(p *Pair) error {
			put := Large{size: b.opts.Sizes.Large, stamp: uint64(2*round + 1), block: block}
			if err := b.largeTurn(ctx, p, push, pull, put, (*Client).putLarge); err != nil || !b.wants(patch) {
				return err
			}
			streamed := Large{size: put.size, stamp: put.stamp + 1, block: block}
			return b.largeTurn(ctx, p, patch, "", streamed, (*Client).streamLarge)
		})
		if err != nil {
			return fmt.Errorf("round %d: %w", round+1, err)
		}
	}
	b.tell(push, patch, pull)
	return nil
}

// sendLarge pushes a large blob.
type sendLarge func(c *Client, ctx context.Context, repo string, d digest.Digest, l Large) error

func (c *Client) putLarge(ctx context.Context, repo string, d digest.Digest, l Large) error {
	return c.putBlob(ctx, repo, d, l.reader(), l.size)
}

func (c *Client) streamLarge(ctx context.Context, repo string, d digest.Digest, l Large) error {
	return c.streamBlob(ctx, repo, d, l.reader())
}

// largeTurn has each server take l once as row push, and then give it once as row pull.
func (b *Bench) largeTurn(ctx context.Context, p *Pair, push, pull string, l Large, send sendLarge) error {
	const repo = "bench/large"
	d, err := l.digest() // before the turn: the client's hashing is nobody's cost
	if err != nil {
		return err
	}
	path := "/v2/" + repo + "/blobs/" + d.String()
	for side, s := range p.servers {
		if err := warm(p.dir, l.size); err != nil {
			return err
		}
		in := Work{row: push, clients: 1, once: true, writes: true, op: func(ctx context.Context, s *Server, _ int) error {
			return send(s.client, ctx, repo, d, l)
		}}
		if err := b.sampleOnce(ctx, p, side, s, in); err != nil {
			return err
		}
	}
	if !b.wants(pull) {
		return nil
	}
	for side, s := range p.servers {
		out := Work{row: pull, clients: 1, once: true, op: func(ctx context.Context, s *Server, _ int) error {
			return s.client.get(ctx, path, l.size)
		}}
		if err := b.sampleOnce(ctx, p, side, s, out); err != nil {
			return err
		}
	}
	return nil
}

// sampleOnce has server s take one turn of w, and notes it if its row is wanted.
func (b *Bench) sampleOnce(ctx context.Context, p *Pair, side int, s *Server, w Work) error {
	sample, err := b.turn(ctx, p, s, w)
	if err != nil {
		return fmt.Errorf("%s on %s: %w", w.row, b.report.Names[side], err)
	}
	if b.wants(w.row) {
		b.add(w.row, side, sample)
	}
	return nil
}

// warm makes the kernel touch as many pages as a push is about to need, and frees
// them. In a virtual machine the first touch of a page costs more than everything the
// server does with it, and whoever comes first would pay for both.
func warm(dir string, size int64) (err error) {
	path := filepath.Join(dir, "warm")
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("warm the page cache: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(path)) }()
	block := make([]byte, blockSize)
	for n := int64(0); n < size+size/8; n += blockSize {
		if _, err := f.Write(block); err != nil {
			return fmt.Errorf("warm the page cache: %w", err)
		}
	}
	return nil
}
