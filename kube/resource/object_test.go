package resource_test

import (
	"strings"
	"testing"

	"skerry.dev/skerry/kube/resource"
)

const configHead = "apiVersion: imageregistry.operator.openshift.io/v1\nkind: Config\nmetadata: {name: cluster}\n"

const imageHead = "apiVersion: config.openshift.io/v1\nkind: Image\nmetadata: {name: cluster}\n"

func TestKindsByTheWordsPeopleType(t *testing.T) {
	for word, want := range map[string]string{
		"config.imageregistry":                        resource.ConfigKind,
		"configs.imageregistry.operator.openshift.io": resource.ConfigKind,
		"Config": resource.ConfigKind,
		"configs.v1.imageregistry.operator.openshift.io": resource.ConfigKind,
		"imagepruner":                resource.PrunerKind,
		"imagepruners":               resource.PrunerKind,
		"image.config":               resource.ImageKind,
		"images.config.openshift.io": resource.ImageKind,
		"secrets":                    resource.SecretKind,
		"cm":                         resource.ConfigMapKind,
		"pod":                        "",
		"config.image":               "",
		"image.imageregistry":        "",
		"":                           "",
	} {
		k, err := resource.FindKind(word)
		if k.Name != want || (err != nil) != (want == "") {
			t.Errorf("%q is %q, %v; want %q", word, k.Name, err, want)
		}
	}
}

// Whatever is wrong is told with the field's path, everything at once.
func TestAWrongObjectIsRefusedWithTheFieldsPath(t *testing.T) {
	var b strings.Builder
	for _, doc := range []string{
		configHead + "spec: {readonly: true}",
		configHead + "spec: {requests: {read: {maxRuning: 1}}}",
		configHead + "spec: {routes: [{nam: a}]}",
		configHead + "spec: {storage: {pvc: {storageClassName: fast}}}",
		configHead + "spec: {tolerations: [{kee: a}]}",
		configHead + "spec: {replicas: two}",
		configHead + "spec: {readOnly: 1}",
		configHead + "spec: {readOnly: true, readOnly: false}",
		configHead + "spec: {replicas: -1, logLevel: Loud}",
		configHead + "spec: {replicas: -1, readonly: true, requests: {read: {maxWaitInQueue: soon, maxRunning: many}}}",
		configHead + "spec: {managementState: Force}",
		configHead + "spec: {rolloutStrategy: Fast}",
		configHead + "spec: {requests: {read: {maxRunning: -1}}}",
		configHead + "spec: {requests: {write: {maxWaitInQueue: -1s}}}",
		configHead + "spec: {requests: {write: {maxWaitInQueue: soon}}}",
		configHead + "spec: {routes: [{name: a}, {name: a}]}",
		configHead + "spec: {routes: [{name: default-route}]}",
		configHead + "spec: {routes: [{name: a, hostname: 'https://x'}]}",
		configHead + "spec: {routes: [{name: a, hostname: x.y}, {name: b, hostname: x.y}]}",
		configHead + "spec: {storage: {emptyDir: {}, s3: {}}}",
		configHead + "spec: {storage: {s3: {regionEndpoint: 'minio:9000'}}}",
		configHead + "spec: {storage: {s3: {chunkSizeMiB: 4}}}",
		configHead + "spec: {storage: {azure: {container: A}}}",
		configHead + "spec: {storage: {azure: {networkAccess: {internal: {}}}}}",
		configHead + "spec: {storage: {ibmcos: {resourceKeyCRN: x}}}",
		configHead + "spec: {unsupportedConfigOverrides: [1]}",
		configHead + "spec: {proxy: {http: 'proxy:3128'}}",
		strings.Replace(configHead, "cluster", "mine", 1),
		strings.Replace(configHead, "name:", "namespace: x, name:", 1),
		imageHead + "spec: {registrySources: {blockedRegistries: [a.b], allowedRegistries: [c.d]}}",
		imageHead + "spec: {registrySources: {insecureRegistries: ['a.b/c:1']}}",
		imageHead + "spec: {registrySources: {containerRuntimeSearchRegistries: [a.b, a.b]}}",
		imageHead + "spec: {imageStreamImportMode: Foo}",
		imageHead + "spec: {externalRegistryHostnames: ['https://a']}",
		imageHead + "spec: {allowedRegistriesForImport: [{}]}",
		"apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ntype: kubernetes.io/tls\ndata: {tls.crt: aaaa}",
		"apiVersion: v1\nkind: Secret\nmetadata: {name: a, namespace: default}",
		"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: A_b}",
		"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {'a/b': c}",
		"apiVersion: v1\nkind: Pod\nmetadata: {name: a}",
		"apiVersion: v2\nkind: Secret\nmetadata: {name: a}",
		"- a",
		"spec: {}",
	} {
		_, err := resource.Decode([]byte(doc))
		if err == nil {
			t.Errorf("taken:\n%s", doc)
			continue
		}
		mistaken := doc[strings.LastIndex(doc, "\n")+1:]
		b.WriteString(mistaken + "\n\t" + strings.ReplaceAll(err.Error(), "\n", "\n\t") + "\n")
	}
	golden(t, "mistakes.golden", []byte(b.String()))
}

// The status that came with an object is no wish, and may be newer than we are.
func TestAStatusIsNotRead(t *testing.T) {
	if _, err := resource.Decode([]byte(configHead + "spec: {}\nstatus: {fromTheFuture: 1}")); err != nil {
		t.Error(err)
	}
}

func TestFilesOfSeveralObjects(t *testing.T) {
	const list = "kind: List\napiVersion: v1\nitems:\n- {kind: A}\n- {kind: B}\n"
	for file, want := range map[string]int{
		"":                                  0,
		"---\n# nothing\n---\n":             0,
		"kind: A\n---\nkind: B\n":           2,
		"--- \nkind: A\n---":                1,
		"kind: A\ndata: {a: '---'}\n":       1,
		`{"kind": "A"}`:                     1,
		list:                                2,
		list + "---\nkind: C\n":             3,
		"kind: A\ntext: |\n  a\n  ---\n  b": 1,
	} {
		docs, err := resource.Split([]byte(file))
		if err != nil || len(docs) != want {
			t.Errorf("%q: %d documents, %v; want %d", file, len(docs), err, want)
		}
	}
	if _, err := resource.Split([]byte("a: [\n---\nkind: B")); err == nil {
		t.Error("a file that is no YAML was taken")
	}
}

// What an apply does not say goes back to its default; the object stays the
// same one, and counts changes of what it asks for.
func TestReviseKeepsTheObjectsIdentity(t *testing.T) {
	first := store(t, configHead+"spec: {readOnly: true, replicas: 1, httpSecret: s3cret}")
	revise := func(old []byte, doc string) ([]byte, []resource.Change) {
		t.Helper()
		d, err := resource.Decode([]byte(doc))
		if err != nil {
			t.Fatal(err)
		}
		next, changes, err := d.Revise(old, resource.Stamp{UID: "another", Now: since})
		if err != nil {
			t.Fatal(err)
		}
		return next, changes
	}
	const same = "spec: {readOnly: true, replicas: 1, httpSecret: (hidden)}"
	if _, changes := revise(first, configHead+same); len(changes) > 0 {
		t.Errorf("nothing new, and changes %v", changes)
	}
	labelled, _ := revise(first, configHead[:len(configHead)-2]+", labels: {a: b}}\n"+same)
	if !strings.Contains(string(labelled), `"generation":1`) {
		t.Errorf("a label counts as a new generation: %s", labelled)
	}
	second, changes := revise(first, configHead+"spec: {replicas: 1, requests: {read: {maxRunning: 3}}}")
	for _, want := range []string{`"generation":2`, `"uid":"uid"`, `"creationTimestamp":"2027-01-15T08:00:00Z"`} {
		if !strings.Contains(string(second), want) {
			t.Errorf("no %s in %s", want, second)
		}
	}
	if strings.Contains(string(second), "s3cret") || strings.Contains(string(second), "readOnly") {
		t.Errorf("what was not said is still there: %s", second)
	}
	want := []resource.Change{
		{Path: "spec.httpSecret", From: resource.Hidden},
		{Path: "spec.readOnly", From: "true"},
		{Path: "spec.requests.read.maxRunning", To: "3"},
	}
	if len(changes) != len(want) {
		t.Fatalf("changes %v", changes)
	}
	for i := range want {
		if changes[i] != want[i] {
			t.Errorf("change %v, want %v", changes[i], want[i])
		}
	}
}

// A value that was shown as hidden stays, others change, and there is nothing
// to keep in a Secret that is new.
func TestHiddenValuesStay(t *testing.T) {
	const head = "apiVersion: v1\nkind: Secret\nmetadata: {name: mine}\n"
	old := store(t, head+"stringData: {a: one, b: two}")
	d, err := resource.Decode([]byte(head + "stringData: {a: (hidden), b: three}"))
	if err != nil {
		t.Fatal(err)
	}
	next, changes, err := d.Revise(old, resource.Stamp{})
	if err != nil {
		t.Fatal(err)
	}
	data, err := resource.SecretData(next)
	if err != nil || string(data["a"]) != "one" || string(data["b"]) != "three" {
		t.Errorf("data %q, %v", data, err)
	}
	if len(changes) != 1 || changes[0] != (resource.Change{Path: "data.b", From: resource.Hidden, To: resource.Hidden}) {
		t.Errorf("changes %v", changes)
	}
	if _, _, err := d.Revise(nil, resource.Stamp{}); err != nil {
		t.Errorf("values that are known by now: %v", err)
	}
	fresh, err := resource.Decode([]byte(head + "stringData: {a: (hidden)}"))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := fresh.Revise(nil, resource.Stamp{}); err == nil || !strings.Contains(err.Error(), "stringData.a") {
		t.Errorf("a hidden value that nothing stands behind: %v", err)
	}
}

// A pruner that is told to keep no revisions keeps fewer than one that is told
// nothing: 0 is a change.
func TestZeroIsAChange(t *testing.T) {
	d, err := resource.Decode([]byte(head + "spec: {keepTagRevisions: 0}"))
	if err != nil {
		t.Fatal(err)
	}
	if _, changes, err := d.Revise(store(t, head+"spec: {}"), resource.Stamp{}); err != nil || len(changes) != 1 {
		t.Errorf("changes %v, %v", changes, err)
	}
}

// Every field that has a verdict can be explained, in the words of its type.
func TestExplain(t *testing.T) {
	for _, k := range resource.Kinds() {
		for _, f := range k.Fields() {
			text, err := resource.Explain(k.Short + "." + strings.ReplaceAll(f.Path, "[]", ""))
			if err != nil || !strings.Contains(text, "Here: ") {
				t.Errorf("%s %s: %v\n%s", k.Short, f.Path, err, text)
			}
		}
	}
	text, err := resource.Explain("configs.imageregistry.operator.openshift.io.spec.readOnly")
	if err != nil || !strings.Contains(text, "spec.readOnly: bool") || !strings.Contains(text, "reject attempts") {
		t.Errorf("%v\n%s", err, text)
	}
	for path, want := range map[string]string{
		"config.spec.readonly": "did you mean readOnly", "config.spec.readOnly.x": "has no fields",
		"pod": "no objects of kind",
	} {
		if _, err := resource.Explain(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
}
