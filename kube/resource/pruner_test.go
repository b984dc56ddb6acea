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
	_, p, err := resource.DecodePruner(doc)
	if err != nil {
		t.Fatal(err)
	}
	if p.Schedule != "0 0 * * *" || p.Suspend || p.KeepTagRevisions != 3 || p.KeepYoungerThan != time.Hour {
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
			return p.Schedule == "*/5 * * * *" && p.Suspend
		}},
		{
			"duration wins over the old field", "spec: {keepYoungerThan: 1000, keepYoungerThanDuration: 2h}",
			func(p resource.Pruner) bool { return p.KeepYoungerThan == 2*time.Hour },
		},
		{
			"the old field alone", "spec: {keepYoungerThan: 3600000000000}",
			func(p resource.Pruner) bool { return p.KeepYoungerThan == time.Hour },
		},
		{"pod fields are named", "spec: {nodeSelector: {a: b}, tolerations: [{key: k}]}", func(p resource.Pruner) bool {
			return strings.Join(p.NotApplicable, " ") == "nodeSelector tolerations"
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, p, err := resource.DecodePruner([]byte(head + c.spec)); err != nil || !c.check(p) {
				t.Errorf("%+v, %v", p, err)
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
		{strings.Replace(head, "name: cluster", "name: mine", 1), "metadata.name"},
		{strings.Replace(head, "ImagePruner", "Pruner", 1), "kind Pruner"},
	} {
		if _, _, err := resource.DecodePruner([]byte(c.doc)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s\ngot %v, want it to name %s", c.doc, err, c.want)
		}
	}
}

func TestStatusTellsScheduleAndFailure(t *testing.T) {
	kept, _, err := resource.DecodePruner([]byte(head + "spec: {affinity: {}}"))
	if err != nil {
		t.Fatal(err)
	}
	next := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	doc, err := resource.PrunerWithStatus(kept, resource.PrunerRun{At: next, Err: errors.New("disk on fire")}, next)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"type":"Scheduled","status":"True"`, "2026-11-21T00:00:00Z", "not applicable here: affinity",
		`"type":"Failed","status":"True"`, `"reason":"JobFailed"`, "disk on fire",
	} {
		if !strings.Contains(string(doc), want) {
			t.Errorf("status lacks %s:\n%s", want, doc)
		}
	}
}
