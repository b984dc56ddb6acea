package resource

import (
	"fmt"
	"slices"
	"strings"
	"time"

	operatorv1 "github.com/openshift/api/operator/v1"

	registryv1 "github.com/openshift/api/imageregistry/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The one ImagePruner there is, as in OpenShift.
const (
	PrunerKind       = "ImagePruner"
	PrunerAPIVersion = "imageregistry.operator.openshift.io/v1"
	PrunerName       = "cluster"
)

// OpenShift's defaults (cluster-image-registry-operator, imagePruner bootstrap).
const (
	prunerSchedule         = "0 0 * * *"
	prunerKeepTagRevisions = 3
	prunerKeepYoungerThan  = 60 * time.Minute
)

// A Pruner is what the appliance does with an ImagePruner.
type Pruner struct {
	Schedule         string // standard cron syntax
	Suspend          bool
	KeepTagRevisions int
	KeepYoungerThan  time.Duration
	// NotApplicable names the fields that are set and mean nothing to a pruner
	// that is not a pod.
	NotApplicable []string
}

// DefaultPruner is the object that a registry without one gets.
func DefaultPruner() ([]byte, error) {
	keep, history := prunerKeepTagRevisions, int32(3)
	suspend := false
	return encode(registryv1.ImagePruner{
		TypeMeta:   metav1.TypeMeta{APIVersion: PrunerAPIVersion, Kind: PrunerKind},
		ObjectMeta: metav1.ObjectMeta{Name: PrunerName},
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

// DecodePruner reads and validates an ImagePruner in YAML or JSON. It returns
// the document to keep, in JSON and without a status, beside what it means.
func DecodePruner(doc []byte) (kept []byte, p Pruner, err error) {
	o, err := decodePruner(doc)
	if err != nil {
		return nil, p, err
	}
	if p, err = prunerOf(o.Spec); err != nil {
		return nil, p, err
	}
	o.Status = registryv1.ImagePrunerStatus{}
	kept, err = encode(o)
	return kept, p, err
}

func decodePruner(doc []byte) (o registryv1.ImagePruner, err error) {
	if err := decode(doc, &o); err != nil {
		return o, err
	}
	if o.Kind != PrunerKind || o.APIVersion != PrunerAPIVersion {
		return o, fmt.Errorf("kind %s of %s: want %s of %s", o.Kind, o.APIVersion, PrunerKind, PrunerAPIVersion)
	}
	if o.Name != PrunerName {
		return o, fmt.Errorf("metadata.name %q: there is one ImagePruner and it is called %q", o.Name, PrunerName)
	}
	return o, nil
}

func prunerOf(spec registryv1.ImagePrunerSpec) (Pruner, error) {
	p := Pruner{
		Schedule:         spec.Schedule,
		Suspend:          spec.Suspend != nil && *spec.Suspend,
		KeepTagRevisions: prunerKeepTagRevisions,
		KeepYoungerThan:  prunerKeepYoungerThan,
		NotApplicable:    notApplicable(spec),
	}
	if p.Schedule == "" {
		p.Schedule = prunerSchedule
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
	if p.KeepTagRevisions < 0 {
		return p, fmt.Errorf("spec.keepTagRevisions %d: must not be negative", p.KeepTagRevisions)
	}
	if p.KeepYoungerThan < 0 {
		return p, fmt.Errorf("spec.keepYoungerThanDuration %s: must not be negative", p.KeepYoungerThan)
	}
	levels := []operatorv1.LogLevel{"", operatorv1.Normal, operatorv1.Debug, operatorv1.Trace, operatorv1.TraceAll}
	if !slices.Contains(levels, spec.LogLevel) {
		return p, fmt.Errorf("spec.logLevel %q: want Normal, Debug, Trace or TraceAll", spec.LogLevel)
	}
	return p, nil
}

func notApplicable(spec registryv1.ImagePrunerSpec) []string {
	var names []string
	for name, set := range map[string]bool{
		"resources":                  spec.Resources != nil,
		"affinity":                   spec.Affinity != nil,
		"nodeSelector":               len(spec.NodeSelector) > 0,
		"tolerations":                len(spec.Tolerations) > 0,
		"successfulJobsHistoryLimit": spec.SuccessfulJobsHistoryLimit != nil,
		"failedJobsHistoryLimit":     spec.FailedJobsHistoryLimit != nil,
		"logLevel":                   spec.LogLevel != "" && spec.LogLevel != operatorv1.Normal,
	} {
		if set {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// A PrunerRun is what is known of the pruner's last run.
type PrunerRun struct {
	At      time.Time // zero: it has not run yet
	Summary string    // what it did
	Err     error     // why it failed
}

// PrunerWithStatus returns doc, a document that [DecodePruner] kept, with the
// status conditions that OpenShift's operator gives an ImagePruner: Available,
// Scheduled, Failed and Degraded.
func PrunerWithStatus(doc []byte, last PrunerRun, next time.Time) ([]byte, error) {
	o, err := decodePruner(doc)
	if err != nil {
		return nil, err
	}
	p, err := prunerOf(o.Spec)
	if err != nil {
		return nil, err
	}
	o.Status.ObservedGeneration = o.Generation
	o.Status.Conditions = prunerConditions(p, last, next)
	return encode(o)
}

func prunerConditions(p Pruner, last PrunerRun, next time.Time) []operatorv1.OperatorCondition {
	scheduled := condition("Scheduled", !p.Suspend, "Scheduled", "Next run at "+next.UTC().Format(time.RFC3339))
	if p.Suspend {
		scheduled.Reason, scheduled.Message = "Suspended", "The pruner is suspended"
	}
	available := condition("Available", true, "AsExpected", "The pruner is part of this process")
	if len(p.NotApplicable) > 0 {
		available.Message += "; not applicable here: " + strings.Join(p.NotApplicable, ", ")
	}
	failed := condition("Failed", false, "Complete", last.Summary)
	degraded := condition("Degraded", false, "AsExpected", "")
	if last.Err != nil {
		failed = condition("Failed", true, "Error", last.Err.Error())
		degraded = condition("Degraded", true, "JobFailed", last.Err.Error())
	}
	conditions := []operatorv1.OperatorCondition{available, scheduled, failed, degraded}
	if !last.At.IsZero() {
		for i := range conditions[2:] {
			conditions[2+i].LastTransitionTime = metav1.NewTime(last.At)
		}
	}
	return conditions
}

func condition(kind string, is bool, reason, message string) operatorv1.OperatorCondition {
	status := operatorv1.ConditionFalse
	if is {
		status = operatorv1.ConditionTrue
	}
	return operatorv1.OperatorCondition{Type: kind, Status: status, Reason: reason, Message: message}
}
