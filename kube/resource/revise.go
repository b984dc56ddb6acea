package resource

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	configv1 "github.com/openshift/api/config/v1"
	registryv1 "github.com/openshift/api/imageregistry/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// A Stamp is what a change brings along that cannot be computed.
type Stamp struct {
	UID string // for an object that is new
	Now time.Time
}

// A Change is one field that an apply changes. Secret values are [Hidden].
type Change struct {
	Path string `json:"path"`
	From string `json:"from"` // JSON; "" when it was not there
	To   string `json:"to"`
}

// Revise returns the document to store when d is applied over old, which is
// nil when there is none, and what it changes; without a change that is old
// itself. What d does not say gets its default, except hidden values, which
// stay. The document is JSON and has no status.
func (d Document) Revise(old []byte, stamp Stamp) ([]byte, []Change, error) {
	before := d.Kind.empty()
	if old != nil {
		if err := json.Unmarshal(old, before); err != nil {
			return nil, nil, fmt.Errorf("read stored object: %w", err)
		}
	}
	if err := unhide(d.object, before); err != nil {
		return nil, nil, err
	}
	clean(d.object, d.Kind)
	next, err := encode(d.object)
	if err != nil {
		return nil, nil, err
	}
	changes, generation, err := compare(old, next)
	if err != nil || (old != nil && len(changes) == 0) {
		return old, nil, err
	}
	d.object.SetUID(before.GetUID())
	d.object.SetCreationTimestamp(before.GetCreationTimestamp())
	d.object.SetGeneration(before.GetGeneration())
	if old == nil {
		d.object.SetUID(types.UID(stamp.UID))
		d.object.SetCreationTimestamp(metav1.NewTime(stamp.Now.UTC().Truncate(time.Second)))
	}
	if generation && d.Kind.Single() {
		d.object.SetGeneration(d.object.GetGeneration() + 1)
	}
	next, err = encode(d.object)
	return next, changes, err
}

// clean removes what is not the caller's to say.
func clean(o metav1.Object, k Kind) {
	annotations := map[string]string{}
	for name, v := range o.GetAnnotations() {
		if !strings.HasPrefix(name, ownPrefix) && name != corev1.LastAppliedConfigAnnotation {
			annotations[name] = v
		}
	}
	name, labels := o.GetName(), o.GetLabels()
	fresh := metav1.ObjectMeta{Name: name, Namespace: k.Namespace, Labels: labels}
	if len(annotations) > 0 {
		fresh.Annotations = annotations
	}
	switch o := o.(type) {
	case *registryv1.Config:
		o.ObjectMeta, o.Status = fresh, registryv1.ImageRegistryStatus{}
	case *registryv1.ImagePruner:
		o.ObjectMeta, o.Status = fresh, registryv1.ImagePrunerStatus{}
	case *configv1.Image:
		o.ObjectMeta, o.Status = fresh, configv1.ImageStatus{}
	case *corev1.Secret:
		o.ObjectMeta = fresh
	case *corev1.ConfigMap:
		o.ObjectMeta = fresh
	}
}

// compare lists what differs between two documents, and reports whether that
// is more than labels and annotations.
func compare(old, next []byte) (changes []Change, generation bool, err error) {
	before, after := map[string]any{}, map[string]any{}
	if old != nil {
		if err := json.Unmarshal(old, &before); err != nil {
			return nil, false, fmt.Errorf("read stored object: %w", err)
		}
	}
	if err := json.Unmarshal(next, &after); err != nil {
		return nil, false, fmt.Errorf("read object: %w", err)
	}
	secret := after["kind"] == SecretKind
	from, to := leaves(before), leaves(after)
	for path := range from {
		if _, ok := to[path]; !ok {
			to[path] = ""
		}
	}
	for _, path := range sortedKeys(to) {
		silent := silence(from[path]) && silence(to[path]) || opened(path, from, to) || opened(path, to, from)
		if from[path] == to[path] || silent || identity(path) {
			continue
		}
		c := Change{path, from[path], to[path]}
		if secret && strings.HasPrefix(path, "data.") || path == "spec.httpSecret" {
			c.From, c.To = hide(c.From), hide(c.To)
		}
		changes = append(changes, c)
		generation = generation || !strings.HasPrefix(path, "metadata.")
	}
	return changes, generation, nil
}

// silence reports whether a value says no more than none would. 0 is not among
// them, for a pruner that keeps no revisions keeps fewer than one that is not
// told; neither is an empty string, which a label may have.
func silence(leaf string) bool { return leaf == "" || leaf == "false" || leaf == `"0s"` }

// opened reports whether a path that is empty in one tree has fields in other.
func opened(path string, one, other map[string]string) bool {
	if one[path] != "{}" {
		return false
	}
	for p := range other {
		if strings.HasPrefix(p, path+".") {
			return true
		}
	}
	return false
}

// identity reports whether a path is what the registry says of an object itself.
func identity(path string) bool {
	rest, ok := strings.CutPrefix(path, "metadata.")
	return !ok && (path == "kind" || path == "apiVersion" || path == "status" || strings.HasPrefix(path, "status.")) ||
		ok && !strings.HasPrefix(rest, "labels.") && !strings.HasPrefix(rest, "annotations.")
}

func hide(s string) string {
	if s == "" {
		return ""
	}
	return Hidden
}

// leaves is every value of a tree as JSON, by its path. Lists are one value.
func leaves(tree map[string]any) map[string]string {
	all := map[string]string{}
	for name, v := range tree {
		inner, ok := v.(map[string]any)
		if ok && len(inner) > 0 {
			for path, leaf := range leaves(inner) {
				all[name+"."+path] = leaf
			}
			continue
		}
		if v == nil {
			continue
		}
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		_ = enc.Encode(v) // it came from JSON
		all[name] = strings.TrimSpace(b.String())
	}
	return all
}

// unhide puts values that were shown as hidden back into o.
func unhide(o, before metav1.Object) error {
	switch o := o.(type) {
	case *registryv1.Config:
		if o.Spec.HTTPSecret == Hidden {
			o.Spec.HTTPSecret = before.(*registryv1.Config).Spec.HTTPSecret
		}
	case *corev1.Secret:
		return unhideSecret(o, before.(*corev1.Secret))
	}
	return nil
}

func unhideSecret(o, before *corev1.Secret) error {
	if o.Data == nil {
		o.Data = map[string][]byte{}
	}
	for key, v := range o.StringData {
		if v != Hidden {
			o.Data[key] = []byte(v)
			continue
		}
		kept, ok := before.Data[key]
		if !ok {
			return fmt.Errorf("stringData.%s: %s keeps the value that is stored, and there is none", key, Hidden)
		}
		o.Data[key] = kept
	}
	o.StringData = nil
	return nil
}

// Show returns a stored document as it is shown: with its version, and secret
// values hidden unless reveal is set.
func Show(doc []byte, version uint64, reveal bool) ([]byte, error) {
	o, err := Identify(doc)
	if err != nil {
		return nil, err
	}
	k, err := o.kind()
	if err != nil {
		return nil, err
	}
	v := k.empty()
	if err := json.Unmarshal(doc, v); err != nil {
		return nil, fmt.Errorf("read stored object: %w", err)
	}
	if version > 0 {
		v.SetResourceVersion(strconv.FormatUint(version, 10))
	}
	if reveal {
		return encode(v)
	}
	switch v := v.(type) {
	case *registryv1.Config:
		v.Spec.HTTPSecret = hide(v.Spec.HTTPSecret)
	case *corev1.Secret:
		v.StringData = map[string]string{}
		for key := range v.Data {
			v.StringData[key] = Hidden
		}
		v.Data = nil
	}
	return encode(v)
}
