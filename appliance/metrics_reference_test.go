package appliance_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"sigs.k8s.io/yaml"

	"skerry.dev/skerry/appliance"
)

var update = flag.Bool("update", false, "rewrite the table of metrics in doc/operations.md")

const (
	operations = "doc/operations.md"
	tableBegin = "<!-- The table is made by: go test ./appliance -run TestMetricsReference -update -->\n"
	tableEnd   = "<!-- End of the table of metrics. -->\n"
)

// The reference in the manual is made from what a running appliance exports, so
// neither has what the other has not.
func TestMetricsReference(t *testing.T) {
	n := metered(t, appliance.Config{TLS: appliance.TLSSelf})
	want := reference(n.scrape())
	b, err := os.ReadFile(operations)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(b), tableBegin)
	got, after, ok2 := strings.Cut(rest, tableEnd)
	if !ok1 || !ok2 {
		t.Fatalf("%s has no place for the table of metrics", operations)
	}
	if got == want {
		return
	}
	if !*update {
		t.Fatalf("the table of metrics in %s is not what is exported; run with -update", operations)
	}
	if err := os.WriteFile(operations, []byte(before+tableBegin+want+tableEnd+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// reference is the table of our metrics.
func reference(families map[string]*dto.MetricFamily) string {
	var b strings.Builder
	b.WriteString("| Metric | Type | Labels | What |\n|---|---|---|---|\n")
	for _, name := range slices.Sorted(maps.Keys(families)) {
		if f := families[name]; strings.HasPrefix(name, "skerry_") {
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n",
				name, strings.ToLower(f.GetType().String()), labelsOf(f), strings.ReplaceAll(f.GetHelp(), "|", "\\|"))
		}
	}
	return b.String()
}

// labelsOf names the labels of a metric, and their values, which are all known.
func labelsOf(f *dto.MetricFamily) string {
	values := map[string]map[string]bool{}
	for _, m := range f.GetMetric() {
		for _, l := range m.GetLabel() {
			if values[l.GetName()] == nil {
				values[l.GetName()] = map[string]bool{}
			}
			values[l.GetName()][l.GetValue()] = true
		}
	}
	var all []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		label := "`" + name + "`"
		if !strings.HasSuffix(name, "version") { // of the build
			label += ": " + strings.Join(slices.Sorted(maps.Keys(values[name])), ", ")
		}
		all = append(all, label)
	}
	return strings.Join(all, "; ")
}

// A dashboard or an alert that names a metric which does not exist is silent
// for ever. Histograms are named by their series.
func TestDashboardsAndAlertsNameWhatIsExported(t *testing.T) {
	n := metered(t, appliance.Config{TLS: appliance.TLSSelf})
	exported := map[string]bool{"up": true} // Prometheus' own
	for name, f := range n.scrape() {
		exported[name] = true
		if f.GetType() == dto.MetricType_HISTOGRAM {
			exported[name+"_bucket"], exported[name+"_sum"], exported[name+"_count"] = true, true, true
		}
	}
	names := regexp.MustCompile(`\b(up|skerry_\w+|process_\w+|go_\w+)\b`)
	for file, decode := range map[string]func([]byte, any) error{
		"../packaging/grafana/skerry.json":          json.Unmarshal,
		"../packaging/prometheus/skerry.rules.yaml": func(b []byte, v any) error { return yaml.Unmarshal(b, v) },
	} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var doc any
		if err := decode(b, &doc); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		found := 0
		for _, expr := range expressions(doc) {
			for _, name := range names.FindAllString(expr, -1) {
				found++
				if !exported[name] {
					t.Errorf("%s: no metric is called %s: %s", file, name, expr)
				}
			}
		}
		if found < 10 {
			t.Errorf("%s: only %d metrics found; where are its queries?", file, found)
		}
	}
}

// expressions are the queries in a dashboard or a file of rules, wherever they
// stand: everything called expr, and the queries of variables.
func expressions(doc any) (all []string) {
	switch doc := doc.(type) {
	case []any:
		for _, v := range doc {
			all = append(all, expressions(v)...)
		}
	case map[string]any:
		for k, v := range doc {
			if s, ok := v.(string); ok && (k == "expr" || k == "query") {
				all = append(all, s)
				continue
			}
			all = append(all, expressions(v)...)
		}
	}
	return all
}
