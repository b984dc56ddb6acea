package main

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"time"
)

// compile makes the binary for each architecture, and has the one for this
// machine write its documents.
func (j job) compile(ctx context.Context) error {
	archs := slices.Clone(j.archs)
	if !slices.Contains(archs, runtime.GOARCH) {
		archs = append(archs, runtime.GOARCH)
	}
	for _, arch := range archs {
		out, err := filepath.Abs(j.staged("skerry-" + arch))
		if err != nil {
			return err
		}
		cmd := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-tags", "disable_grpc_modules", "-trimpath",
			"-ldflags=-s -w -X skerry.dev/skerry/appliance.stamp="+j.version, "-o", out, ".")
		cmd.Dir = j.root
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch, "GOFLAGS=", "GOAMD64=v1")
		cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("build for %s: %w", arch, err)
		}
	}
	return j.documents(ctx)
}

// documents has the program write what it knows best.
func (j job) documents(ctx context.Context) error {
	for name, args := range map[string][]string{
		"skerry.1":    {"man", "--date", j.time.Format(time.DateOnly)},
		"skerry.yaml": {"config", "example", "--data", "/var/lib/skerry"},
		"skerry.bash": {"completion", "bash"},
		"skerry.zsh":  {"completion", "zsh"},
		"skerry.fish": {"completion", "fish"},
	} {
		cmd := exec.CommandContext(ctx, j.staged("skerry-"+runtime.GOARCH), args...)
		cmd.Env = []string{"PATH=" + os.Getenv("PATH")} // no variable of ours
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			return fmt.Errorf("skerry %v: %w", args, err)
		}
		if err := os.WriteFile(j.staged(name), out, 0o600); err != nil {
			return err
		}
	}
	return errors.Join(
		j.compress(j.staged("skerry.1"), "skerry.1.gz"),
		j.compress(j.source("CHANGELOG.md"), "CHANGELOG.md.gz"),
		j.debianChangelog())
}

// debianChangelog is the one that Debian wants in its own form.
func (j job) debianChangelog() error {
	const form = "skerry (%s) stable; urgency=medium\n\n  * See CHANGELOG.md.gz for what has changed.\n\n -- %s  %s\n"
	text := fmt.Sprintf(form, j.version, maintainer, j.time.Format(time.RFC1123Z))
	if err := os.WriteFile(j.staged("changelog"), []byte(text), 0o600); err != nil {
		return err
	}
	return j.compress(j.staged("changelog"), "changelog.gz")
}

// compress makes a compressed copy that tells neither a name nor a time.
func (j job) compress(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(j.staged(to))
	if err != nil {
		return err
	}
	w, err := gzip.NewWriterLevel(out, gzip.BestCompression)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, in)
	return errors.Join(err, w.Close(), out.Close())
}
