package cli

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// Main runs the command line of this process, and returns its exit code. The
// first SIGTERM or interrupt asks the command to end, the second ends the
// process where it stands: nothing acknowledged is lost by that, as by no power cut.
func Main() int {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() { // ends with the process
		<-signals
		stop()
		end(<-signals)
	}()
	return Run(ctx, os.Args, os.Stdout, os.Stderr)
}

// end lets the process die of a signal, so that its parent sees that it did.
func end(s os.Signal) {
	signal.Reset(s)
	if number, ok := s.(syscall.Signal); ok {
		_ = syscall.Kill(os.Getpid(), number)
	}
}
