package appliance_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"skerry.dev/skerry/appliance"
)

// aged makes everything that is noted of conditions an hour older.
func aged(t *testing.T, file string) {
	t.Helper()
	var seen map[string]map[string]any
	b, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(b, &seen)
	}
	if err != nil || len(seen) < 5 {
		t.Fatalf("noted %s (%v)", b, err)
	}
	for _, was := range seen {
		since, err := time.Parse(time.RFC3339Nano, was["since"].(string))
		if err != nil {
			t.Fatal(err)
		}
		was["since"] = since.Add(-time.Hour)
	}
	if b, err = json.Marshal(seen); err == nil {
		err = os.WriteFile(file, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// age is how long a condition of the Config is what it is.
func (n *node) age(condition string) time.Duration { return time.Since(n.condition(condition).Since) }

// A restart is no transition: what was so before it and is so after it has been so
// since then, also where the status at the start depends on what is read later.
func TestTransitionTimesOutliveRestarts(t *testing.T) {
	data := t.TempDir()
	file := filepath.Join(data, "conditions")
	n := start(t, appliance.Config{Data: data})
	n.config("{managementState: Managed, replicas: 1, httpSecret: sixteen-or-more-characters}")
	n.stop() // the secret takes effect with the next start
	start(t, appliance.Config{Data: data}).stop()
	aged(t, file)

	n = start(t, appliance.Config{Data: data})
	for _, c := range []string{"Available", "Progressing", "Degraded", "Removed", "StorageExists"} {
		if age := n.age(c); age < time.Hour || age > 2*time.Hour {
			t.Errorf("%s is what it is for %s", c, age)
		}
	}
	n.config("{managementState: Removed, replicas: 1}")
	if age := n.age("Removed"); age > 10*time.Minute {
		t.Errorf("Removed is True for %s", age)
	}
	if age := n.age("Available"); age < time.Hour {
		t.Errorf("Available is True for %s", age)
	}
	n.stop()

	n = start(t, appliance.Config{Data: data})
	if removed, available := n.age("Removed"), n.age("Available"); removed > 10*time.Minute || available < time.Hour {
		t.Errorf("after the change and a restart: Removed for %s, Available for %s", removed, available)
	}
}

// The file is written when a condition changes, and only then.
func TestConditionsAreNotedWhenTheyChange(t *testing.T) {
	n := newNode(t)
	file := filepath.Join(n.data, "conditions")
	stat := func() os.FileInfo {
		t.Helper()
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	before := stat()
	n.config("{managementState: Managed, replicas: 1, readOnly: true}") // looks at all conditions; none changes
	n.condition("Available")
	if !os.SameFile(before, stat()) {
		t.Error("it was written though no condition had changed")
	}
	n.config("{managementState: Removed, replicas: 1}")
	if os.SameFile(before, stat()) {
		t.Error("it was not written when a condition changed")
	}
}

// Whatever is in the file, the registry starts, and conditions hold since then.
func TestLostTransitionTimesAreHarmless(t *testing.T) {
	data := t.TempDir()
	file := filepath.Join(data, "conditions")
	start(t, appliance.Config{Data: data}).stop()
	tomorrow := time.Now().Add(24 * time.Hour).Format(time.RFC3339)
	for name, content := range map[string]string{
		"nothing":   "",
		"a half":    `{"Config Available": {"status": "True", "sin`,
		"a list":    `[1, 2]`,
		"null":      `null`,
		"no time":   `{"Config Available": {"status": "True"}}`,
		"nonsense":  `{"Config Available": {"status": "True", "since": "yesterday"}}`,
		"tomorrow":  `{"Config Available": {"status": "True", "since": "` + tomorrow + `"}}`,
		"no status": `{"Config Available": {"since": "2020-01-01T00:00:00Z"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			n := start(t, appliance.Config{Data: data})
			if age := n.age("Available"); age < -time.Second || age > 10*time.Minute {
				t.Errorf("Available for %s", age)
			}
			n.stop()
			aged(t, file) // it is whole again
		})
	}
	t.Run("lost", func(t *testing.T) {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		if age := start(t, appliance.Config{Data: data}).age("Available"); age > 10*time.Minute {
			t.Errorf("Available for %s", age)
		}
	})
}
