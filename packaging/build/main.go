package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "build:", err)
		os.Exit(1)
	}
}

// A job is one run: what is built, from where, to where.
type job struct {
	root    string // of the sources
	out     string // for what is made
	stage   string // for what is made on the way
	version string
	archs   []string  // as Go calls them
	time    time.Time // of everything in what is made
}

func run(ctx context.Context, args []string) (err error) {
	flags := flag.NewFlagSet("build", flag.ContinueOnError)
	root := flags.String("root", ".", "`directory` of the sources")
	out := flags.String("out", "dist", "`directory` for what is made")
	version := flags.String("version", "", "`version`, as in 1.2.3 or 1.3.0~rc.1 (default: from git describe)")
	archs := flags.String("arch", "amd64,arm64", "`architectures` to build for")
	if err := flags.Parse(args); err != nil {
		return err
	}
	j := job{root: *root, out: *out, archs: strings.Split(*archs, ",")}
	if j.version, err = j.pickVersion(ctx, *version); err != nil {
		return err
	}
	if j.time, err = j.pickTime(ctx); err != nil {
		return err
	}
	if j.stage, err = os.MkdirTemp("", "skerry-build-"); err != nil {
		return err
	}
	defer os.RemoveAll(j.stage)
	if err := j.compile(ctx); err != nil {
		return err
	}
	for _, what := range flags.Args() {
		switch what {
		case "packages":
			err = j.packages(ctx)
		case "image":
			err = j.image()
		default:
			err = fmt.Errorf("%q: want packages or image", what)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// pickTime is SOURCE_DATE_EPOCH, else the time of the commit, else the beginning
// of time.
func (j job) pickTime(ctx context.Context) (time.Time, error) {
	text := os.Getenv("SOURCE_DATE_EPOCH")
	if text == "" {
		var err error
		if text, err = j.git(ctx, "log", "-1", "--format=%ct"); err != nil {
			text = "0" // sources without their history
		}
	}
	sec, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
	}
	return time.Unix(sec, 0).UTC(), nil
}

func (j job) git(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = j.root
	out, err := cmd.Output()
	return strings.TrimSpace(string(out)), err
}

// source is a path in the sources.
func (j job) source(path string) string { return filepath.Join(j.root, path) }

// staged is a path of something made on the way.
func (j job) staged(name string) string { return filepath.Join(j.stage, name) }
