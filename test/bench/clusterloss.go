package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
)

// failover kills whoever leads and takes the time until another node acknowledges a
// write, again and again.
func (b *clusterBench) failover(ctx context.Context) error {
	return b.with(ctx, func(_ *Server, three *Trio) error {
		kills, took := 20, []time.Duration(nil)
		if b.opts.Quick {
			kills = 3
		}
		for i := range kills {
			d, err := three.loseLeader(ctx, i)
			if err != nil {
				return fmt.Errorf("kill %d: %w", i+1, err)
			}
			took = append(took, d)
			fmt.Fprintf(b.progress, "  kill %d: %s\n", i+1, short(d))
		}
		slices.Sort(took)
		b.row(fmt.Sprintf("kill -9 of the leader to the next write, %d times", kills), "-",
			fmt.Sprintf("p50 %s, max %s", short(percentile(took, 50)), short(took[len(took)-1])))
		return nil
	})
}

// loseLeader kills the leader and starts it again when a write has been acknowledged.
func (t *Trio) loseLeader(ctx context.Context, n int) (time.Duration, error) {
	lead, err := t.leader(ctx, t.nodes[0])
	if err != nil {
		return 0, err
	}
	alive := t.nodes[(lead+1+n%2)%3]
	t.nodes[lead].kill()
	begun := time.Now()
	write := emptyIndex(n)
	for tag := fmt.Sprint("kill-", n); ; {
		err := alive.client.putManifest(ctx, "bench/loss", tag, indexType, write)
		if err == nil {
			break
		}
		if time.Since(begun) > patience || ctx.Err() != nil {
			return 0, errors.Join(ctx.Err(), err)
		}
	}
	took := time.Since(begun)
	if err := t.restart(ctx, lead); err != nil {
		return 0, err
	}
	return took, t.whole(ctx)
}

// repairBlobs is of how many blobs a node's loss takes a copy.
const repairBlobs = 16

// repair loses a node for good and takes the time until all blobs have two copies.
func (b *clusterBench) repair(ctx context.Context) error {
	size := b.opts.Sizes.Large / repairBlobs
	return b.with(ctx, func(_ *Server, three *Trio) error {
		all, err := three.fill(ctx, size)
		if err != nil {
			return err
		}
		three.nodes[2].kill()
		three.nodes = three.nodes[:2]
		if err := until(ctx, func() error { // the lost one may have led
			return three.nodes[0].client.putManifest(ctx, "bench/repair", "x", indexType, emptyIndex(1))
		}); err != nil {
			return err
		}
		lacking := int64(0)
		for _, hex := range all {
			if len(three.holders(hex)) < 2 {
				lacking++
			}
		}
		t, err := once(ctx, three.nodes, func() error {
			if _, err := three.nodes[0].command("cluster", "remove", "--force", "n3"); err != nil {
				return err
			}
			return until(ctx, func() error { return three.twice(all) })
		})
		if err == nil {
			b.row(fmt.Sprintf("repair after a node is removed: %d MiB of %d MiB short of a copy",
				lacking*size>>20, repairBlobs*size>>20), "-", t.single())
		}
		return err
	})
}

// fill pushes blobs through all nodes and returns what is in their digests.
func (t *Trio) fill(ctx context.Context, size int64) (all []string, err error) {
	for i := range repairBlobs {
		l := Large{size: size, stamp: uint64(time.Now().UnixNano())>>32 + uint64(i) + 1, block: noiseBlock()}
		d, err := l.digest()
		if err == nil {
			err = pushLarge(ctx, t.nodes[i%3], "bench/repair", d, l)
		}
		if err != nil {
			return nil, err
		}
		all = append(all, d.Encoded())
	}
	return all, nil
}

// twice says whether all blobs have two copies.
func (t *Trio) twice(all []string) error {
	for _, hex := range all {
		if n := len(t.holders(hex)); n < 2 {
			return fmt.Errorf("%s has %d copies", hex, n)
		}
	}
	return nil
}

// join has a node join a registry of many manifests, and takes the time from exec until
// it is ready.
func (b *clusterBench) join(ctx context.Context) error {
	t := &Trio{program: b.program, dir: filepath.Join(b.dir, "join")}
	if err := t.add(ctx); err != nil {
		return err
	}
	defer func() { t.stop() }()
	begun, n := time.Now(), b.opts.Sizes.Manifests
	image := newImage(7, 0)
	for _, blob := range [][]byte{image.Config, image.Layer} {
		for repo := range (n + perRepository - 1) / perRepository {
			if err := t.nodes[0].client.putSmall(ctx, fmt.Sprint("bench/many-", repo), blob); err != nil {
				return err
			}
		}
	}
	err := seedServer(ctx, t.nodes[0], n, func(ctx context.Context, s *Server, i int) error {
		m := manifest(image.Config, image.Layer, fmt.Sprint(i))
		return s.client.putManifest(ctx, fmt.Sprint("bench/many-", i/perRepository), fmt.Sprint("v", i), manifestType, m)
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(b.progress, "  %d manifests pushed in %s\n", n, short(time.Since(begun)))
	before, err := cpuOf(t.nodes)
	if err != nil {
		return err
	}
	if err := t.add(ctx); err != nil {
		return err
	}
	after, err := cpuOf(t.nodes)
	if err != nil {
		return err
	}
	b.row(fmt.Sprintf("join with %d manifests: exec to ready", n), "-",
		fmt.Sprintf("%s, CPU %s of both", short(t.nodes[1].took), short(after-before)))
	return nil
}

const perRepository = 1000

// putSmall pushes a small blob.
func (c *Client) putSmall(ctx context.Context, repo string, blob []byte) error {
	return c.putBlob(ctx, repo, digest.FromBytes(blob), bytes.NewReader(blob), int64(len(blob)))
}
