package main

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"
)

// pushes measures small images, through the leader, through another node, and with no
// affinity: every image to the next node.
func (b *clusterBench) pushes(ctx context.Context) error {
	return b.with(ctx, func(one *Server, three *Trio) error {
		lead, err := three.leader(ctx, three.nodes[0])
		if err != nil {
			return err
		}
		other := three.nodes[(lead+1)%3]
		for _, clients := range []int{1, 8} {
			alone, err := b.pushTurn(ctx, []*Server{one}, []*Server{one}, clients)
			if err != nil {
				return err
			}
			for _, way := range []struct {
				name string
				to   []*Server
			}{
				{"through the leader", three.nodes[lead : lead+1]},
				{"through another", []*Server{other}},
				{"in turn", three.nodes},
			} {
				t, err := b.pushTurn(ctx, way.to, three.nodes, clients)
				if err != nil {
					return err
				}
				b.row(fmt.Sprintf("small image, %d clients, %s", clients, way.name), alone.rate(), t.rate())
			}
		}
		return nil
	})
}

// pushTurn has clients push to servers in turn, for some slices, and notes what that
// cost all.
func (b *clusterBench) pushTurn(ctx context.Context, to, all []*Server, clients int) (turn, error) {
	seed := uint64(time.Now().UnixNano())
	var next atomic.Int64
	return spend(ctx, all, func() ([]time.Duration, error) {
		end := time.Now().Add(3 * b.opts.Slice)
		took := make([][]time.Duration, clients)
		g, ctx := errgroup.WithContext(ctx)
		for c := range clients {
			g.Go(func() error {
				for time.Now().Before(end) {
					i := int(next.Add(1))
					s, begun := to[i%len(to)], time.Now()
					if err := pushImage(ctx, s, "bench/cluster", fmt.Sprint("v", seed, "-", i), newImage(seed, i)); err != nil {
						return s.explain(err)
					}
					took[c] = append(took[c], time.Since(begun))
				}
				return nil
			})
		}
		err := g.Wait()
		return slices.Concat(took...), err
	})
}

// large measures a large blob in, with the wait for its copies, and out, at a node that
// holds it and at the one that does not.
func (b *clusterBench) large(ctx context.Context) error {
	l := Large{size: b.opts.Sizes.Large, stamp: uint64(time.Now().UnixNano()) >> 32, block: noiseBlock()}
	d, err := l.digest()
	if err != nil {
		return err
	}
	return b.with(ctx, func(one *Server, three *Trio) error {
		push := func(s *Server, all []*Server) (turn, error) {
			return once(ctx, all, func() error { return pushLarge(ctx, s, "bench/large", d, l) })
		}
		pull := func(s *Server, all []*Server) (turn, error) {
			return once(ctx, all, func() error { return s.client.get(ctx, "/v2/bench/large/blobs/"+d.String(), l.size) })
		}
		size := fmt.Sprintf("%d MiB", l.size>>20)
		if err := warm(b.dir, l.size); err != nil {
			return err
		}
		alone, err := push(one, []*Server{one})
		if err != nil {
			return err
		}
		if err := warm(b.dir, 2*l.size); err != nil {
			return err
		}
		t, err := push(three.nodes[0], three.nodes)
		if err != nil {
			return err
		}
		b.row("push "+size+" and its manifest: two copies", alone.single(), t.single())
		if alone, err = pull(one, []*Server{one}); err != nil {
			return err
		}
		holders := three.holders(d.Encoded())
		if t, err = pull(three.nodes[0], three.nodes); err != nil {
			return err
		}
		b.row(fmt.Sprintf("pull it from a holder (of %d)", len(holders)), alone.single(), t.single())
		return b.largeAway(ctx, three, alone)
	})
}

// largeAway pulls from a node that does not have a blob, twice. Whoever takes a blob
// keeps it for a while, wanted or not: one is pushed that is wanted where it is taken.
func (b *clusterBench) largeAway(ctx context.Context, three *Trio, alone turn) error {
	for n := range 6 {
		l := Large{size: b.opts.Sizes.Large, stamp: uint64(time.Now().UnixNano())>>32 + uint64(n) + 1, block: noiseBlock()}
		d, err := l.digest()
		if err == nil {
			err = pushLarge(ctx, three.nodes[n%3], "bench/away", d, l)
		}
		if err != nil {
			return err
		}
		for i, s := range three.nodes {
			if !slices.Contains(three.holders(d.Encoded()), i) {
				return b.pullAway(ctx, three, s, d, l.size, alone)
			}
		}
	}
	return nil
}

// pullAway has s fetch a blob from another zone while it is pulled, and pulls it again.
func (b *clusterBench) pullAway(
	ctx context.Context, three *Trio, s *Server, d digest.Digest, size int64, alone turn,
) error {
	for _, what := range []string{"pull it from the node without it", "the same once more"} {
		before, err := fetched(ctx, s)
		if err != nil {
			return err
		}
		t, err := once(ctx, three.nodes, func() error {
			return s.client.get(ctx, "/v2/bench/away/blobs/"+d.String(), size)
		})
		if err != nil {
			return err
		}
		after, err := fetched(ctx, s)
		if err != nil {
			return err
		}
		b.row(what, alone.single(), fmt.Sprintf("%s; %d MiB from another zone", t.single(), (after-before)>>20))
	}
	return nil
}

// pushLarge pushes a blob and an image of it, which waits for its copies.
func pushLarge(ctx context.Context, s *Server, repo string, d digest.Digest, l Large) error {
	if err := s.client.putLarge(ctx, repo, d, l); err != nil {
		return err
	}
	config := []byte("{}")
	c := digest.FromBytes(config)
	if err := s.client.putBlob(ctx, repo, c, bytes.NewReader(config), int64(len(config))); err != nil {
		return err
	}
	m := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,`+
		`"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":2},`+
		`"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":%q,"size":%d}]}`,
		manifestType, c, d, l.size)
	return s.client.putManifest(ctx, repo, digest.FromBytes(m).String(), manifestType, m)
}

// once is a turn of one operation.
func once(ctx context.Context, all []*Server, work func() error) (turn, error) {
	return spend(ctx, all, func() ([]time.Duration, error) {
		begun := time.Now()
		err := work()
		return []time.Duration{time.Since(begun)}, err
	})
}

// fetchedBytes is the counter of the bytes that a node fetched from others.
const fetchedBytes = `(?m)^skerry_replicate_fetched_bytes_total (\S+)$`

func fetched(ctx context.Context, s *Server) (int64, error) {
	text, err := s.client.text(ctx, "/metrics")
	if err != nil {
		return 0, err
	}
	m := regexp.MustCompile(fetchedBytes).FindSubmatch(text)
	if m == nil {
		return 0, fmt.Errorf("no fetched bytes among the metrics of %s", s.kind.Name)
	}
	f, err := strconv.ParseFloat(string(m[1]), 64)
	return int64(f), err
}
