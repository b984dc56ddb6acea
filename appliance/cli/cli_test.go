package cli_test

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"skerry.dev/skerry/appliance/cli"
)

// The test binary is skerry when a script calls it so.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"skerry": func() {
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
			code := cli.Run(ctx, os.Args, os.Stdout, os.Stderr)
			stop()
			os.Exit(code)
		},
	})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":   exits,
			"serving": serving,
			"push":    push,
		},
		RequireExplicitExec: true,
	})
}
