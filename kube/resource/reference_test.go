package resource_test

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"skerry.dev/skerry/kube/resource"
)

// The documentation says of every field what becomes of it.
func TestFieldsReference(t *testing.T) {
	const (
		file  = "../../appliance/doc/operations.md"
		begin = "<!-- fields: made by go test ./kube/resource -run Reference -update -->\n"
		end   = "<!-- end of fields -->"
	)
	var want bytes.Buffer
	want.WriteString("| Object | Fields | What becomes of them |\n|---|---|---|\n")
	for _, k := range resource.Kinds() {
		var order []string
		paths := map[string][]string{}
		for _, f := range k.Fields() {
			if strings.HasPrefix(f.Path, "status.") {
				continue
			}
			what := map[resource.Verdict]string{
				resource.Honoured: "honoured", resource.NotApplicable: "not applicable: ", resource.Waiting: "kept: ",
				resource.Elsewhere: "kept: ",
			}[f.Verdict] + f.Why
			if f.Verdict == resource.Honoured {
				what = "honoured"
			}
			if paths[what] == nil {
				order = append(order, what)
			}
			paths[what] = append(paths[what], "`"+strings.TrimPrefix(f.Path, "spec.")+"`")
		}
		for _, what := range order {
			fmt.Fprintf(&want, "| %s | %s | %s |\n", k.Short, strings.Join(paths[what], ", "), what)
		}
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
		if err := os.WriteFile(file, []byte(head+begin+want.String()+end+tail), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if table != want.String() {
		t.Errorf("%s is out of date: go test ./kube/resource -run Reference -update", file)
	}
}
