package main

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"
)

// sizing measures what an image costs the metadata, for the arithmetic in
// appliance/doc/sizing.md: images of two blobs that no other one has.
func (b *clusterBench) sizing(ctx context.Context) error {
	dir := filepath.Join(b.dir, "sizing")
	kind := skerryKind(b.program)
	o := clientOptions{TLS: true}
	s, err := start(ctx, kind, dir, o)
	if err != nil {
		return err
	}
	empty, err := dirBytes(filepath.Join(dir, "data", "meta"))
	if err == nil {
		err = seedServer(ctx, s, b.opts.Sizes.Images, func(ctx context.Context, s *Server, i int) error {
			return pushImage(ctx, s, fmt.Sprint("team/app-", i/100), fmt.Sprint("v", i), newImage(9, i))
		})
	}
	if err == nil {
		err = rest(ctx, settle)
	}
	if err != nil {
		s.kill()
		return err
	}
	if err := s.stop(); err != nil {
		return err
	}
	full, err := dirBytes(filepath.Join(dir, "data", "meta"))
	if err != nil {
		return err
	}
	if s, err = start(ctx, kind, dir, o); err != nil {
		return err
	}
	defer s.kill()
	if err := rest(ctx, idleRest); err != nil {
		return err
	}
	memory, err := resident(s.pid)
	if err != nil {
		return err
	}
	n := b.opts.Sizes.Images
	b.row(fmt.Sprintf("metadata of %s images of 2 blobs", count(n)),
		fmt.Sprintf("%d B an image on disk, %s resident, start %s", (full-empty)/int64(n), size(float64(memory)),
			short(s.took.Round(time.Millisecond))), "the same on each")
	return nil
}

// dirBytes is what the files under dir take of the disk's space.
func dirBytes(dir string) (sum int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			sum += info.Size()
		}
		return err
	})
	return sum, err
}
