package resource_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"skerry.dev/skerry/kube/resource"
)

const head = "apiVersion: imageregistry.operator.openshift.io/v1\nkind: ImagePruner\nmetadata: {name: cluster}\n"

func TestTheDefaultPrunerIsOpenShifts(t *testing.T) {
	doc, err := resource.DefaultPruner()
	if err != nil {
		t.Fatal(err)
	}
	p := readPruner(t, string(doc))
	midnight := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	if !p.Next(midnight.Add(-time.Hour)).Equal(midnight) || p.Suspend ||
		p.KeepTagRevisions != 3 || p.KeepYoungerThan != time.Hour {
		t.Errorf("default: %+v", p)
	}
}

func TestPrunerFields(t *testing.T) {
	for _, c := range []struct {
		name, spec string
		check      func(p resource.Pruner) bool
	}{
		{"empty", "spec: {}", func(p resource.Pruner) bool { return p.KeepTagRevisions == 3 }},
		{"zero revisions", "spec: {keepTagRevisions: 0}", func(p resource.Pruner) bool { return p.KeepTagRevisions == 0 }},
		{"schedule", "spec: {schedule: '*/5 * * * *', suspend: true}", func(p resource.Pruner) bool {
			noon := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
			return p.Next(noon).Equal(noon.Add(5*time.Minute)) && p.Suspend
		}},
		{
			"duration wins over the old field", "spec: {keepYoungerThan: 1000, keepYoungerThanDuration: 2h}",
			func(p resource.Pruner) bool { return p.KeepYoungerThan == 2*time.Hour },
		},
		{
			"the old field alone", "spec: {keepYoungerThan: 3600000000000}",
			func(p resource.Pruner) bool { return p.KeepYoungerThan == time.Hour },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if p := readPruner(t, head+c.spec); !c.check(p) {
				t.Errorf("%+v", p)
			}
		})
	}
}

func TestAWrongPrunerIsRefusedWithTheFieldsName(t *testing.T) {
	for _, c := range []struct{ doc, want string }{
		{head + "spec: {keepTagRevision: 3}", "keepTagRevision"},
		{head + "spec: {keepTagRevisions: -1}", "spec.keepTagRevisions"},
		{head + "spec: {keepYoungerThanDuration: -1h}", "spec.keepYoungerThanDuration"},
		{head + "spec: {logLevel: Loud}", "spec.logLevel"},
		{head + "spec: {schedule: every now and then}", "spec.schedule"},
		{strings.Replace(head, "name: cluster", "name: mine", 1), "metadata.name"},
		{strings.Replace(head, "ImagePruner", "Pruner", 1), "kind Pruner of imageregistry"},
	} {
		if _, err := resource.Decode([]byte(c.doc)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s\ngot %v, want it to name %s", c.doc, err, c.want)
		}
	}
}

func TestStatusTellsScheduleAndFailure(t *testing.T) {
	kept := store(t, head+"spec: {nodeSelector: {a: b}, tolerations: [{key: k}], failedJobsHistoryLimit: 3}")
	next := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	last := resource.PrunerRun{At: next, Err: errors.New("disk on fire")}
	doc, err := resource.PrunerWithStatus(kept, last, next, always(next))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"type":"Scheduled","status":"True"`, "2026-11-21T00:00:00Z",
		"spec.nodeSelector: the pruner is part", "spec.tolerations: ",
		`"type":"Failed","status":"True"`, `"reason":"JobFailed"`, "disk on fire",
	} {
		if !strings.Contains(string(doc), want) {
			t.Errorf("status lacks %s:\n%s", want, doc)
		}
	}
	if strings.Contains(string(doc), "spec.failedJobsHistoryLimit") {
		t.Errorf("OpenShift's default is named as not applicable:\n%s", doc)
	}
}

// store returns what is stored of an object that is new.
func store(t *testing.T, doc string) []byte {
	t.Helper()
	d, err := resource.Decode([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	stored, _, err := d.Revise(nil, resource.Stamp{UID: "uid", Now: time.Unix(1_800_000_000, 0)})
	if err != nil {
		t.Fatal(err)
	}
	return stored
}

// always is the memory of conditions that have been so since a time.
func always(at time.Time) resource.Since {
	return func(string, string) time.Time { return at }
}

func readPruner(t *testing.T, doc string) resource.Pruner {
	t.Helper()
	p, err := resource.ReadPruner(store(t, doc))
	if err != nil {
		t.Fatal(err)
	}
	return p
}
