// Command skerry is a container registry for places with no cloud under them.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"skerry.dev/skerry/appliance/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Run(ctx, os.Args, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
