package cli_test

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"skerry.dev/skerry/appliance/cli"
)

// The test binary is skerry when a script calls it so.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"skerry": func() { os.Exit(cli.Main()) },
	})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":     exits,
			"serving":   serving,
			"push":      push,
			"uncomment": uncomment,

			"fingerprint": fingerprint,
		},
		RequireExplicitExec: true,
	})
}
