package resource_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	configv1 "github.com/openshift/api/config/v1"
	registryv1 "github.com/openshift/api/imageregistry/v1"

	"skerry.dev/skerry/kube/resource"
)

// What a field means here has been decided for every field that OpenShift's
// types have, also for those that a later version of them brings.
func TestEveryFieldHasAVerdict(t *testing.T) {
	for kind, v := range map[string]any{
		resource.ConfigKind: registryv1.Config{},
		resource.PrunerKind: registryv1.ImagePruner{},
		resource.ImageKind:  configv1.Image{},
	} {
		k, ok := resource.KindOf(kind)
		if !ok {
			t.Fatalf("no kind %s", kind)
		}
		decided := map[string]bool{}
		for _, f := range k.Fields() {
			if decided[f.Path] {
				t.Errorf("%s %s is decided twice", kind, f.Path)
			}
			if f.Verdict != resource.Honoured && f.Why == "" {
				t.Errorf("%s %s: no reason", kind, f.Path)
			}
			decided[f.Path] = true
		}
		have := typePaths(reflect.TypeOf(v))
		for _, path := range have {
			if !decided[path] {
				t.Errorf("%s has a field %s that nobody has decided about: give it a verdict in kube/resource/field.go", kind, path)
			}
		}
		for path := range decided {
			if !slices.Contains(have, path) {
				t.Errorf("%s has no field %s", kind, path)
			}
		}
	}
}

// typePaths lists spec and status of an object's type.
func typePaths(t reflect.Type) (paths []string) {
	for _, part := range []string{"Spec", "Status"} {
		f, _ := t.FieldByName(part)
		paths = append(paths, structPaths(f.Type, strings.ToLower(part))...)
	}
	return paths
}

// structPaths goes into the types that are OpenShift's own: those of Kubernetes
// mean the same wherever they stand.
func structPaths(t reflect.Type, path string) (paths []string) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct && !strings.HasPrefix(path, "status.") {
		t, path = t.Elem(), path+"[]"
	}
	ours := strings.HasPrefix(t.PkgPath(), "github.com/openshift/api/")
	if t.Kind() != reflect.Struct || !ours || t.NumField() == 0 || path == "status.storage" {
		return []string{strings.TrimSuffix(path, "[]")}
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" {
			paths = append(paths, structPaths(f.Type, path)...)
			continue
		}
		paths = append(paths, structPaths(f.Type, path+"."+name)...)
	}
	return paths
}
