package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	manifestType = ocispec.MediaTypeImageManifest
	indexType    = ocispec.MediaTypeImageIndex
)

// pushImage pushes config, layer and manifest, in five requests.
func pushImage(ctx context.Context, s *Server, repo, tag string, image Image) error {
	for _, blob := range [][]byte{image.Config, image.Layer} {
		d := digest.FromBytes(blob)
		if err := s.client.putBlob(ctx, repo, d, bytes.NewReader(blob), int64(len(blob))); err != nil {
			return err
		}
	}
	return s.client.putManifest(ctx, repo, tag, manifestType, image.Manifest)
}

// emptyIndex is the smallest manifest that needs no blob; n makes it unique.
func emptyIndex(n int) []byte {
	return fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":"%s","manifests":[],"annotations":{"n":"%d"}}`, indexType, n)
}

// pushes measures images nobody has pushed before, and tags on one that is there.
func (b *Bench) pushes(ctx context.Context) error {
	const repo = "bench/pushes"
	tagged := newImage(4, 0)
	push := func(ctx context.Context, s *Server, i int) error {
		return pushImage(ctx, s, repo, fmt.Sprint("v", i), newImage(3, i))
	}
	return b.withPair(ctx, clientOptions{}, func(p *Pair) error {
		if err := b.seed(ctx, p, 1, func(ctx context.Context, s *Server, _ int) error {
			return pushImage(ctx, s, repo+"-tags", "first", tagged)
		}); err != nil {
			return err
		}
		if err := b.compare(ctx, p,
			Work{row: "push-image", op: push, clients: 1, writes: true},
			Work{row: "push-image-4", op: push, clients: 4, writes: true},
			Work{row: "push-tag", clients: 1, writes: true, op: func(ctx context.Context, s *Server, i int) error {
				return s.client.putManifest(ctx, repo+"-tags", fmt.Sprint("v", i), manifestType, tagged.Manifest)
			}}); err != nil {
			return err
		}
		return b.countSyncs(ctx, p, push)
	})
}

// countSyncs lets strace count how often each server waits for the disk while images
// are pushed one after the other. Without strace the row is left out.
func (b *Bench) countSyncs(ctx context.Context, p *Pair, push Op) error {
	const row, images = "push-syncs", 20
	if _, err := exec.LookPath("strace"); err != nil || !b.wants(row) {
		return nil
	}
	for side, s := range p.servers {
		n, err := syncs(ctx, s, p.dir, func() error {
			for range images {
				if err := push(ctx, s, int(p.op.Add(1))); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("count syncs of %s: %w", b.report.Names[side], err)
		}
		b.add(row, side, Sample{Value: float64(n) / images, Ops: images})
	}
	b.say(row)
	return nil
}

// syncs counts the calls of s that wait for a disk while do runs.
func syncs(ctx context.Context, s *Server, dir string, do func() error) (int, error) {
	const calls = "trace=fsync,fdatasync,msync,sync,syncfs,sync_file_range"
	path := filepath.Join(dir, "syncs-"+s.kind.Name)
	c := exec.CommandContext(ctx, "strace", "-f", "-qq", "-e", calls, "-o", path, "-p", fmt.Sprint(s.pid))
	if err := c.Start(); err != nil {
		return 0, err
	}
	err := waitTraced(ctx, s.pid)
	if err == nil {
		err = do()
	}
	_ = c.Process.Signal(syscall.SIGINT) // it detaches
	_ = c.Wait()                         // and says that it was interrupted
	if err != nil {
		return 0, err
	}
	text, err := os.ReadFile(path)
	n := 0
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, "sync") && !strings.Contains(line, "resumed>") {
			n++
		}
	}
	return n, err
}

// waitTraced waits until a tracer has all threads of pid.
func waitTraced(ctx context.Context, pid int) error {
	deadline := time.Now().Add(10 * time.Second)
	for time.Now().Before(deadline) {
		if ok, err := traced(pid); ok || err != nil {
			return err
		}
		if err := rest(ctx, time.Millisecond); err != nil {
			return err
		}
	}
	return errors.New("strace did not attach within ten seconds")
}
