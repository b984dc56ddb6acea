package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
)

func main() {
	summary := flag.String("summary", "", "also write the last line to this `file`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	passed, failed := run(ctx, &lines{to: os.Stdout}, flag.Args())
	stop()
	line := fmt.Sprintf("%d passed, %d failed\n", passed, failed)
	if *summary != "" {
		if err := os.WriteFile(*summary, []byte(line), 0o644); err != nil {
			fmt.Fprintln(os.Stderr, "write summary:", err)
			failed++
		}
	}
	fmt.Fprint(os.Stdout, line)
	if failed > 0 {
		os.Exit(1)
	}
}

// run runs the groups of stages one after another and returns their sum.
func run(ctx context.Context, out *lines, groups []string) (passed, failed int) {
	for _, group := range groups {
		var wg sync.WaitGroup
		stages := strings.Split(group, "+")
		counts := make([]count, len(stages))
		for i, name := range stages {
			wg.Go(func() { counts[i] = stage(ctx, out, name) }) // joined below
		}
		wg.Wait()
		for _, c := range counts {
			passed += c.passed
			failed += c.failed
		}
	}
	return passed, failed
}

// lines writes whole texts to one writer, for several stages at once.
type lines struct {
	mu sync.Mutex // held for one write
	to io.Writer
}

func (l *lines) printf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(l.to, format, args...)
}

// program is what stages are run with: the make that runs tally, if one does.
func program() string { return cmp.Or(os.Getenv("MAKE"), "make") }
