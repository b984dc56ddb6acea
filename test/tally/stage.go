package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// grace is what a stage gets to end by itself after an interrupt.
const grace = 10 * time.Second

// stage runs one make target to its end and counts its tests.
func stage(ctx context.Context, out *lines, name string) count {
	start := time.Now()
	out.printf("=== %s\n", name)
	cmd := exec.CommandContext(ctx, program(), "--no-print-directory", name, "JSON=-json")
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = grace
	c, err := follow(cmd, out)
	for _, p := range c.close(err == nil) {
		report(out, p)
	}
	verdict := "ok"
	if c.failed > 0 {
		verdict = "FAILED"
	}
	if err != nil {
		out.printf("%s: %v\n", name, err)
	}
	out.printf("=== %s %s: %d passed, %d failed, %.0fs, %.0fs of CPU\n",
		name, verdict, c.passed, c.failed, time.Since(start).Seconds(), cpu(cmd).Seconds())
	return c
}

// cpu is what an ended command and its children computed.
func cpu(cmd *exec.Cmd) time.Duration {
	if cmd.ProcessState == nil {
		return 0 // it did not start
	}
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
}

// follow runs cmd and counts the events it writes; everything else it writes
// is passed on.
func follow(cmd *exec.Cmd, out *lines) (count, error) {
	var c count
	r, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		return c, err
	}
	exit := make(chan error, 1)
	go func() { // ends with the command, and is waited for below
		err := cmd.Wait()
		exit <- errors.Join(err, w.Close())
	}()
	in := bufio.NewReader(r)
	for {
		line, err := in.ReadString('\n')
		if line != "" {
			c.line(out, line)
		}
		if err != nil {
			return c, <-exit
		}
	}
}

// line takes in one line of a stage's output.
func (c *count) line(out *lines, line string) {
	var e event
	if !strings.HasPrefix(line, "{") || json.Unmarshal([]byte(line), &e) != nil || e.Action == "" {
		out.printf("%s", line)
		return
	}
	if e.Action == "build-output" {
		out.printf("%s", e.Output)
	}
	if p := c.add(e); p != nil {
		report(out, p)
	}
}

// report tells how a package ended, unless it has no tests.
func report(out *lines, p *pkg) {
	switch {
	case p.failed > 0:
		out.printf("%s\nFAIL %s: %d passed, %d failed, %.1fs\n",
			strings.TrimRight(p.trouble, "\n"), p.name, p.passed, p.failed, p.seconds)
	case p.passed > 0:
		out.printf("ok   %s: %d passed, %.1fs\n", p.name, p.passed, p.seconds)
	}
}
