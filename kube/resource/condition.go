package resource

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	operatorv1 "github.com/openshift/api/operator/v1"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// notApplicableType is the condition that names fields which are set and do
// nothing here. Its name ends like none that OpenShift sums up.
const notApplicableType = ownPrefix + "FieldsNotApplicable"

// A Condition is one line of a status.
type Condition struct {
	Type    string    `json:"type"`
	Status  string    `json:"status"`
	Since   time.Time `json:"lastTransitionTime"`
	Reason  string    `json:"reason,omitempty"`
	Message string    `json:"message,omitempty"`
}

// Since tells for how long a condition has had a status.
type Since func(condition, status string) time.Time

// Conditions reads them from an object as [Show] and the functions for status
// return it. Kinds without have none.
func Conditions(doc []byte) ([]Condition, error) {
	var o struct {
		Status struct {
			Conditions []Condition `json:"conditions"`
		} `json:"status"`
	}
	if err := json.Unmarshal(doc, &o); err != nil {
		return nil, fmt.Errorf("read conditions: %w", err)
	}
	return o.Status.Conditions, nil
}

func condition(kind string, is bool, reason, message string) operatorv1.OperatorCondition {
	status := operatorv1.ConditionFalse
	if is {
		status = operatorv1.ConditionTrue
	}
	return operatorv1.OperatorCondition{Type: kind, Status: status, Reason: reason, Message: message}
}

// unmetCondition names what is set and not honoured, a line for each field.
func unmetCondition(lines []string) operatorv1.OperatorCondition {
	if len(lines) == 0 {
		return condition(notApplicableType, false, "AsExpected", "")
	}
	return condition(notApplicableType, true, "NotApplicable", strings.Join(lines, "\n"))
}

func stamp(all []operatorv1.OperatorCondition, since Since) {
	for i := range all {
		at := since(all[i].Type, string(all[i].Status))
		all[i].LastTransitionTime = metav1.NewTime(at.UTC().Truncate(time.Second))
	}
}

// treeOf is the JSON of a document.
func treeOf(doc []byte) (tree map[string]any, err error) {
	if err := json.Unmarshal(doc, &tree); err != nil {
		return nil, fmt.Errorf("read stored object: %w", err)
	}
	return tree, nil
}

// Warnings are the lines of an object's status that whoever applies it should
// see: what is degraded, and what does nothing here.
func Warnings(doc []byte) (lines []string, err error) {
	conditions, err := Conditions(doc)
	if err != nil {
		return nil, err
	}
	for _, c := range conditions {
		bad := operatorv1.ConditionFalse
		switch {
		case c.Type == notApplicableType, c.Type == "Progressing", strings.HasSuffix(c.Type, "Degraded"):
			bad = operatorv1.ConditionTrue
		case c.Type != "StorageExists":
			continue
		}
		if c.Status == string(bad) {
			for line := range strings.SplitSeq(c.Message, "\n") {
				if !slices.Contains(lines, line) { // two conditions may have one reason
					lines = append(lines, line)
				}
			}
		}
	}
	var o metav1.PartialObjectMetadata
	if err := json.Unmarshal(doc, &o); err != nil {
		return nil, fmt.Errorf("read object: %w", err)
	}
	if note := o.Annotations[notApplicableNote]; note != "" {
		lines = append(lines, strings.Split(note, "\n")...)
	}
	return lines, nil
}
