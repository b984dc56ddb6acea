//go:build alerts

package alerts

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

const (
	rules     = "../../packaging/prometheus/skerry.rules.yaml"
	cases     = "../../packaging/prometheus/skerry.rules_test.yaml"
	dashboard = "../../packaging/grafana/skerry.json"
)

// promtool must succeed.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "promtool", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func read(t *testing.T, path string, decode func([]byte, any) error, v any) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := decode(b, v); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func fromYAML(b []byte, v any) error { return yaml.Unmarshal(b, v) }

func TestRulesAreValid(t *testing.T) {
	promtool(t, "check", "rules", "--lint=all", "--lint-fatal", rules)
}

func TestAlertsFireWhenTheyShould(t *testing.T) { promtool(t, "test", "rules", cases) }

// An alert without a case that fires may be one that never does. Each tells
// what is wrong, what to do, and how much it matters.
func TestEveryAlertHasACaseAndARunbook(t *testing.T) {
	var all struct {
		Groups []struct {
			Rules []struct {
				Alert               string
				Labels, Annotations map[string]string
			}
		}
	}
	read(t, rules, fromYAML, &all)
	b, err := os.ReadFile(cases)
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range all.Groups {
		for _, r := range g.Rules {
			if !strings.Contains(string(b), `{alertname="`+r.Alert+`"`) {
				t.Errorf("%s: no case in which it fires", r.Alert)
			}
			if r.Annotations["summary"] == "" || r.Annotations["runbook"] == "" {
				t.Errorf("%s: a summary and a runbook are needed", r.Alert)
			}
			if s := r.Labels["severity"]; s != "critical" && s != "warning" {
				t.Errorf("%s: severity %q", r.Alert, s)
			}
		}
	}
}

// A dashboard's query with a mistake shows an empty panel, which looks like
// quiet. So each becomes a rule, for promtool to read.
func TestEveryPanelsQueryIsOne(t *testing.T) {
	var d struct {
		Panels []struct {
			Title   string
			Type    string
			Targets []struct{ Expr string }
		}
	}
	read(t, dashboard, json.Unmarshal, &d)
	type rule struct {
		Record string `json:"record"`
		Expr   string `json:"expr"`
	}
	grafana := strings.NewReplacer("$__rate_interval", "5m", "$job", ".*", "$instance", ".*")
	var records []rule
	for _, p := range d.Panels {
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("panel %q asks nothing", p.Title)
		}
		for _, q := range p.Targets {
			records = append(records, rule{"panel:query", grafana.Replace(q.Expr)})
		}
	}
	file := filepath.Join(t.TempDir(), "dashboard.yaml")
	b, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": records}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "check", "rules", "--lint=none", file)
}
