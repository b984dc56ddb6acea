package cli_test

import (
	"bytes"
	"flag"
	"os"
	"strings"
	"testing"

	"skerry.dev/skerry/appliance/cli"
)

var update = flag.Bool("update", false, "write the table of settings into the documentation")

// The documentation has exactly the settings that there are.
func TestReferenceIsUpToDate(t *testing.T) {
	const (
		file  = "../doc/operations.md"
		begin = "-run Reference -update -->\n"
		end   = "<!-- end of settings -->"
	)
	var want, stderr bytes.Buffer
	args := []string{"skerry", "config", "reference", "-o", "markdown"}
	if code := cli.Run(t.Context(), args, &want, &stderr); code != 0 {
		t.Fatalf("exit code %d: %s", code, &stderr)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(b), begin)
	table, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s: the markers of the table are gone", file)
	}
	if *update {
		write(t, file, head+begin+want.String()+end+tail)
		return
	}
	if table != want.String() {
		t.Errorf("%s is out of date: go test ./appliance/cli -run Reference -update", file)
	}
}
