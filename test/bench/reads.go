package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"

	"github.com/opencontainers/go-digest"
)

// small measures reads of one small image: what a node that starts a container asks
// for again and again.
func (b *Bench) small(ctx context.Context) error {
	const repo = "bench/small"
	image := newImage(1, 0)
	manifests, blobs := "/v2/"+repo+"/manifests/", "/v2/"+repo+"/blobs/"
	layer := blobs + digest.FromBytes(image.Layer).String() // the 4 KiB blob
	byDigest := manifests + digest.FromBytes(image.Manifest).String()
	size := int64(len(image.Manifest))

	read := func(path string, size int64) Op {
		return func(ctx context.Context, s *Server, _ int) error { return s.client.get(ctx, path, size) }
	}
	look := func(path string, size int64) Op {
		return func(ctx context.Context, s *Server, _ int) error { return s.client.head(ctx, path, size) }
	}
	return b.withPair(ctx, clientOptions{}, func(p *Pair) error {
		if err := b.seed(ctx, p, 1, func(ctx context.Context, s *Server, _ int) error {
			return errors.Join(
				pushImage(ctx, s, repo, "latest", image),
				sameText(ctx, s, layer, image.Layer), sameText(ctx, s, byDigest, image.Manifest))
		}); err != nil {
			return err
		}
		return b.compare(ctx, p,
			Work{row: "ping", op: read("/v2/", -1)},
			Work{row: "manifest-tag", op: read(manifests+"latest", size)},
			Work{row: "manifest-digest", op: read(byDigest, size)},
			Work{row: "manifest-head", op: look(manifests+"latest", size)},
			Work{row: "blob-head", op: look(layer, layerSize)},
			Work{row: "blob-4k", op: read(layer, layerSize)},
			Work{row: "blob-head-latency", op: look(layer, layerSize), clients: 1, latency: true},
			Work{row: "blob-4k-latency", op: read(layer, layerSize), clients: 1, latency: true},
			Work{row: "manifest-latency", op: read(manifests+"latest", size), clients: 1, latency: true})
	})
}

// sameText checks, once, that what is going to be measured is also right.
func sameText(ctx context.Context, s *Server, path string, want []byte) error {
	got, err := s.client.text(ctx, path)
	if err == nil && !bytes.Equal(got, want) {
		return fmt.Errorf("GET %s: other bytes than were pushed", path)
	}
	return err
}

// tags measures a repository with many tags on one image.
func (b *Bench) tags(ctx context.Context) error {
	const repo = "bench/tags"
	n := b.opts.Sizes.Tags
	image := newImage(2, 0)
	tag := func(i int) string { return fmt.Sprintf("v%06d", i) }
	return b.withPair(ctx, clientOptions{}, func(p *Pair) error {
		for _, s := range p.servers {
			if err := pushImage(ctx, s, repo, tag(0), image); err != nil {
				return err
			}
		}
		if err := b.seed(ctx, p, n, func(ctx context.Context, s *Server, i int) error {
			return s.client.putManifest(ctx, repo, tag(i), manifestType, image.Manifest)
		}); err != nil {
			return err
		}
		return b.compare(ctx, p,
			Work{row: "tags-page", op: func(ctx context.Context, s *Server, i int) error {
				return page(ctx, s, "/v2/"+repo+"/tags/list", tag(scatter(i, n-pageSize)))
			}},
			Work{row: "manifest-of-many", op: func(ctx context.Context, s *Server, i int) error {
				return s.client.get(ctx, "/v2/"+repo+"/manifests/"+tag(scatter(i, n)), int64(len(image.Manifest)))
			}})
	})
}

// catalog measures a registry with many repositories, all in one namespace and then in
// a hundred: where directories are walked, that is not the same.
func (b *Bench) catalog(ctx context.Context) error {
	n := b.opts.Sizes.Repositories
	if err := b.catalogOf(ctx, "catalog-page", func(i int) string {
		return fmt.Sprintf("team/project%06d", i)
	}); err != nil {
		return err
	}
	return b.catalogOf(ctx, "catalog-page-spread", func(i int) string {
		return fmt.Sprintf("team%02d/project%06d", i*100/n, i)
	})
}

// catalogOf measures repositories called name(0), name(1), … in this order, of one image
// each. The images are indexes of nothing: what is in a repository does not matter here.
func (b *Bench) catalogOf(ctx context.Context, row string, name func(int) string) error {
	n := b.opts.Sizes.Repositories
	if !b.wants(row) {
		return nil
	}
	return b.withPair(ctx, clientOptions{}, func(p *Pair) error {
		if err := b.seed(ctx, p, n, func(ctx context.Context, s *Server, i int) error {
			return s.client.putManifest(ctx, name(i), "latest", indexType, emptyIndex(i))
		}); err != nil {
			return err
		}
		return b.compare(ctx, p, Work{row: row, op: func(ctx context.Context, s *Server, i int) error {
			return page(ctx, s, "/v2/_catalog", name(scatter(i, n-pageSize)))
		}})
	})
}

const pageSize = 100

// page reads the page after last and checks that it is full.
func page(ctx context.Context, s *Server, list, last string) error {
	q := url.Values{"n": {fmt.Sprint(pageSize)}, "last": {last}}
	path := list + "?" + q.Encode()
	text, err := s.client.text(ctx, path)
	if err != nil {
		return err
	}
	var names struct{ Tags, Repositories []string }
	if err := json.Unmarshal(text, &names); err != nil {
		return fmt.Errorf("GET %s: %w", path, err)
	}
	if got := len(names.Tags) + len(names.Repositories); got != pageSize {
		return fmt.Errorf("GET %s: %d names, want %d", path, got, pageSize)
	}
	return nil
}

// scatter maps i to a number below n, neighbours far apart and all met alike.
func scatter(i, n int) int { return int(uint32(i)*2_654_435_761>>1) % n }
