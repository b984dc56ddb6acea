package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// starts measures servers over empty directories: the first start, which has to make
// them, the second, and what memory they rest in.
func (b *Bench) starts(ctx context.Context) error {
	for round := range b.opts.Rounds {
		for side, kind := range b.sides() {
			dir := b.place(filepath.Join(b.dir, fmt.Sprint("start", round)), side)
			idle := ""
			if round <= b.opts.Rounds/3 { // memory at rest hardly varies
				idle = "idle"
			}
			if err := b.startTwice(ctx, side, kind, dir, idle); err != nil {
				return err
			}
		}
	}
	b.tell("start-first", "start-empty", "idle", "idle-cpu")
	return nil
}

// idleRest is how long a server is left alone before its memory at rest is read.
const idleRest = 3 * time.Second

func (b *Bench) startTwice(ctx context.Context, side int, kind Kind, dir, idle string) error {
	if err := b.timeStart(ctx, "start-first", side, kind, dir, ""); err != nil {
		return err
	}
	return b.timeStart(ctx, "start-empty", side, kind, dir, idle)
}

// timeStart starts a server, notes how long that took as row, and stops it. With an
// idle row it first waits until the server has come to rest and notes its memory and
// the CPU it goes on using. A row "" is none.
func (b *Bench) timeStart(ctx context.Context, row string, side int, kind Kind, dir, idle string) error {
	s, err := start(ctx, kind, dir, clientOptions{})
	if err != nil {
		return err
	}
	defer s.kill()
	cpu, err := cpuTime(s.pid)
	if err != nil {
		return err
	}
	if row != "" && b.wants(row) {
		b.add(row, side, Sample{Value: s.took.Seconds(), CPU: cpu})
	}
	if idle != "" && b.wants(idle, idle+"-cpu") {
		if err := b.watchIdle(ctx, idle, side, s); err != nil {
			return err
		}
	}
	return s.stop()
}

// watchIdle leaves s alone and notes what memory it rests in and what CPU it uses.
func (b *Bench) watchIdle(ctx context.Context, row string, side int, s *Server) error {
	if err := rest(ctx, idleRest); err != nil { // what a start leaves to be done
		return err
	}
	memory, err := resident(s.pid)
	if err != nil {
		return err
	}
	before, err := cpuTime(s.pid)
	if err != nil {
		return err
	}
	if err := rest(ctx, idleRest); err != nil {
		return err
	}
	after, err := cpuTime(s.pid)
	if err != nil {
		return err
	}
	if b.wants(row) {
		b.add(row, side, Sample{Value: float64(memory)})
	}
	if b.wants(row + "-cpu") {
		b.add(row+"-cpu", side, Sample{Value: (after - before).Seconds() / idleRest.Seconds()})
	}
	return nil
}

// tell says all of the rows that were measured.
func (b *Bench) tell(rows ...string) {
	for _, row := range rows {
		if b.results[row] != nil {
			b.say(row)
		}
	}
}

// startsMany measures Skerry's start with many manifests. Distribution's is not
// measured again: it keeps no database, looks at no content when it starts, and would
// need an hour to take as many.
func (b *Bench) startsMany(ctx context.Context) error {
	const ours = 1
	if b.opts.Null {
		return nil
	}
	kind := b.sides()[ours]
	dir := b.place(filepath.Join(b.dir, "many"), ours)
	if err := b.fill(ctx, kind, dir); err != nil {
		return err
	}
	for range b.opts.Rounds {
		if err := b.timeStart(ctx, "start-many", ours, kind, dir, ""); err != nil {
			return err
		}
		if err := b.timeStartKilled(ctx, kind, dir); err != nil {
			return err
		}
		if err := forget(dir); err != nil {
			return err
		}
		if err := b.timeStart(ctx, "start-many-cold", ours, kind, dir, ""); err != nil {
			return err
		}
	}
	if b.wants("idle-many", "idle-many-cpu") {
		if err := b.timeStart(ctx, "", ours, kind, dir, "idle-many"); err != nil {
			return err
		}
	}
	b.tell("start-many", "start-many-killed", "start-many-cold", "idle-many", "idle-many-cpu")
	return nil
}

// fill pushes the manifests, a thousand to a repository, each under a tag of its own
// and naming the same two blobs as its neighbours.
func (b *Bench) fill(ctx context.Context, kind Kind, dir string) error {
	s, err := start(ctx, kind, dir, clientOptions{})
	if err != nil {
		return err
	}
	defer s.kill()
	fmt.Fprintf(b.progress, "pushing %s manifests\n", count(b.opts.Sizes.Manifests))
	image := newImage(5, 0)
	repo := func(i int) string { return fmt.Sprint("many/r", i) }
	err = seedServer(ctx, s, (b.opts.Sizes.Manifests+999)/1000, func(ctx context.Context, s *Server, i int) error {
		return pushImage(ctx, s, repo(i), "first", image)
	})
	if err == nil {
		err = seedServer(ctx, s, b.opts.Sizes.Manifests, func(ctx context.Context, s *Server, i int) error {
			m := manifest(image.Config, image.Layer, fmt.Sprint(i))
			return s.client.putManifest(ctx, repo(i/1000), fmt.Sprint("v", i%1000), manifestType, m)
		})
	}
	if err != nil {
		return fmt.Errorf("push many manifests: %w", err)
	}
	return s.stop()
}

// timeStartKilled kills a server that has just taken writes, and times the next start.
func (b *Bench) timeStartKilled(ctx context.Context, kind Kind, dir string) error {
	const row, ours = "start-many-killed", 1
	if !b.wants(row) {
		return nil
	}
	s, err := start(ctx, kind, dir, clientOptions{})
	if err != nil {
		return err
	}
	err = seedServer(ctx, s, 1000, func(ctx context.Context, s *Server, _ int) error {
		n := int(time.Now().UnixNano())
		return s.client.putManifest(ctx, "many/killed", fmt.Sprint("v", n), indexType, emptyIndex(n))
	})
	s.kill()
	if err != nil {
		return fmt.Errorf("push before the kill: %w", err)
	}
	return b.timeStart(ctx, row, ours, kind, dir, "")
}

// forget drops what the page cache holds of the files below dir, as a machine that has
// just been switched on would not have it. The files must be closed.
func forget(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := f.Sync(); err != nil { // dirty pages cannot be dropped
			return err
		}
		return unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	})
}

// binary notes the size of both programs.
func (b *Bench) binary(context.Context) error {
	for side, kind := range b.sides() {
		info, err := os.Stat(kind.Program)
		if err != nil {
			return err
		}
		b.add("binary", side, Sample{Value: float64(info.Size())})
	}
	b.say("binary")
	return nil
}
