package resource

import (
	"cmp"
	"encoding/json"
	"fmt"
	"time"

	"github.com/robfig/cron/v3"

	operatorv1 "github.com/openshift/api/operator/v1"

	registryv1 "github.com/openshift/api/imageregistry/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// OpenShift's defaults (cluster-image-registry-operator, imagePruner bootstrap).
const (
	prunerSchedule         = "0 0 * * *"
	prunerKeepTagRevisions = 3
	prunerKeepYoungerThan  = 60 * time.Minute
	prunerJobsHistory      = 3
)

// A Pruner is what the appliance does with an ImagePruner.
type Pruner struct {
	Suspend          bool
	KeepTagRevisions int
	KeepYoungerThan  time.Duration

	schedule cron.Schedule
}

// Next is the first time after another at which the schedule is due.
func (p Pruner) Next(after time.Time) time.Time { return p.schedule.Next(after) }

// DefaultPruner is the object that a registry without one gets.
func DefaultPruner() ([]byte, error) {
	keep, history := prunerKeepTagRevisions, int32(prunerJobsHistory)
	suspend := false
	return encode(registryv1.ImagePruner{
		TypeMeta:   metav1.TypeMeta{APIVersion: "imageregistry.operator.openshift.io/v1", Kind: PrunerKind},
		ObjectMeta: metav1.ObjectMeta{Name: SingleName},
		Spec: registryv1.ImagePrunerSpec{
			Suspend:                      &suspend,
			KeepTagRevisions:             &keep,
			SuccessfulJobsHistoryLimit:   &history,
			FailedJobsHistoryLimit:       &history,
			IgnoreInvalidImageReferences: true,
			LogLevel:                     operatorv1.Normal,
		},
	})
}

// ReadPruner is what a stored ImagePruner means.
func ReadPruner(doc []byte) (Pruner, error) {
	var o registryv1.ImagePruner
	if err := json.Unmarshal(doc, &o); err != nil {
		return Pruner{}, fmt.Errorf("read stored %s: %w", PrunerKind, err)
	}
	spec := o.Spec
	schedule, err := cron.ParseStandard(cmp.Or(spec.Schedule, prunerSchedule))
	if err != nil {
		return Pruner{}, fmt.Errorf("stored %s: spec.schedule %q: %w", PrunerKind, spec.Schedule, err)
	}
	p := Pruner{
		schedule:         schedule,
		Suspend:          spec.Suspend != nil && *spec.Suspend,
		KeepTagRevisions: prunerKeepTagRevisions,
		KeepYoungerThan:  prunerKeepYoungerThan,
	}
	if spec.KeepTagRevisions != nil {
		p.KeepTagRevisions = *spec.KeepTagRevisions
	}
	switch {
	case spec.KeepYoungerThanDuration != nil:
		p.KeepYoungerThan = spec.KeepYoungerThanDuration.Duration
	case spec.KeepYoungerThan != nil:
		p.KeepYoungerThan = *spec.KeepYoungerThan
	}
	return p, nil
}

func validatePruner(spec registryv1.ImagePrunerSpec, p *problems) {
	if n := spec.KeepTagRevisions; n != nil && *n < 0 {
		p.add("spec.keepTagRevisions", "%d: must not be negative", *n)
	}
	if d := spec.KeepYoungerThan; d != nil && *d < 0 {
		p.add("spec.keepYoungerThan", "%d: must not be negative", *d)
	}
	if d := spec.KeepYoungerThanDuration; d != nil && d.Duration < 0 {
		p.add("spec.keepYoungerThanDuration", "%s: must not be negative", d.Duration)
	}
	if _, err := cron.ParseStandard(cmp.Or(spec.Schedule, prunerSchedule)); err != nil {
		p.add("spec.schedule", "%q: %v", spec.Schedule, err)
	}
	logLevel(p, "spec.logLevel", spec.LogLevel)
}

// prunerDefaults are values that every ImagePruner of OpenShift has: they ask
// for nothing.
func prunerDefaults() map[string]any {
	return map[string]any{
		"spec.successfulJobsHistoryLimit": float64(prunerJobsHistory),
		"spec.failedJobsHistoryLimit":     float64(prunerJobsHistory),
		"spec.logLevel":                   string(operatorv1.Normal),
	}
}

// A PrunerRun is what is known of the pruner's last run.
type PrunerRun struct {
	At      time.Time // zero: it has not run yet
	Summary string    // what it did
	Err     error     // why it failed
}

// PrunerWithStatus returns doc, a stored ImagePruner, with the status conditions
// that OpenShift's operator gives one: Available, Scheduled, Failed and
// Degraded. Next is when it runs next.
func PrunerWithStatus(doc []byte, last PrunerRun, next time.Time, since Since) ([]byte, error) {
	var o registryv1.ImagePruner
	if err := json.Unmarshal(doc, &o); err != nil {
		return nil, fmt.Errorf("read stored %s: %w", PrunerKind, err)
	}
	tree, err := treeOf(doc)
	if err != nil {
		return nil, err
	}
	kind, _ := KindOf(PrunerKind)
	o.Status.ObservedGeneration = o.Generation
	o.Status.Conditions = append(prunerConditions(o.Spec, last, next), unmetCondition(unmet(kind, tree, prunerDefaults())))
	stamp(o.Status.Conditions, since)
	return encode(o)
}

func prunerConditions(spec registryv1.ImagePrunerSpec, last PrunerRun, next time.Time) []operatorv1.OperatorCondition {
	scheduled := condition("Scheduled", true, "Scheduled", "Next run at "+next.UTC().Format(time.RFC3339))
	if spec.Suspend != nil && *spec.Suspend {
		scheduled = condition("Scheduled", false, "Suspended", "The pruner is suspended")
	}
	available := condition("Available", true, "AsExpected", "The pruner is part of this process")
	failed := condition("Failed", false, "Complete", last.Summary)
	degraded := condition("Degraded", false, "AsExpected", "")
	if last.Err != nil {
		failed = condition("Failed", true, "Error", last.Err.Error())
		degraded = condition("Degraded", true, "JobFailed", last.Err.Error())
	}
	return []operatorv1.OperatorCondition{available, scheduled, failed, degraded}
}
