package resource_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"skerry.dev/skerry/kube/resource"
)

var update = flag.Bool("update", false, "rewrite golden files")

// golden compares what a test made with a file.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what came out; run with -update and read the difference:\n%s", file, got)
	}
}

func example(t *testing.T, name string) []byte {
	t.Helper()
	doc, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return store(t, string(doc))
}

func goldenYAML(t *testing.T, name string, doc []byte) {
	t.Helper()
	y, err := resource.YAML(doc)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, name, y)
}

var since = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// Each kind of trouble that a Config can be in, and what its status says then.
func TestConfigStatus(t *testing.T) {
	facts := map[string]func(f *resource.ConfigFacts){
		"ready": nil, "incomplete": nil, "unmanaged": nil, "emptydir": nil, "pods": nil,
		"cluster": func(f *resource.ConfigFacts) { f.Cluster = resource.Cluster{Nodes: 3} },
		"cluster-degraded": func(f *resource.ConfigFacts) {
			f.Cluster = resource.Cluster{Nodes: 3, Away: []string{"n3"}, Leaderless: true, Short: 7, Lost: 2, Copying: 1}
		},
		"s3": lacking, "swift": lacking,
		"s3-used": func(f *resource.ConfigFacts) {
			f.Bucket = &resource.Bucket{Storage: f.Storage, Location: "s3 images"}
		},
		"s3-away": func(f *resource.ConfigFacts) {
			f.Bucket = &resource.Bucket{Storage: f.Storage, Location: "s3 images", Trouble: "it does not answer"}
			f.Writes = "it does not answer"
		},
		"s3-tried": func(f *resource.ConfigFacts) {
			f.Move = &resource.Move{Reason: resource.MoveUnderWay, Text: "s3 images is being tried", UnderWay: true}
		},
		"s3-refused": func(f *resource.ConfigFacts) {
			f.Move = &resource.Move{Reason: resource.MoveUnreachable, Text: "s3 images: no such bucket", Retried: true}
		},
		"s3-moved": func(f *resource.ConfigFacts) {
			f.Bucket = &resource.Bucket{
				Location: "azure a/c",
				Storage: resource.Storage{Kind: "Azure", Encrypted: true, Parameters: map[string]string{
					"accountname": "a", "container": "c", "realm": "core.chinacloudapi.cn",
				}},
			}
			f.Move = &resource.Move{Reason: resource.MoveHoldsBlobs, Text: "5 blobs are in azure a/c"}
		},
		"s3-overruled": func(f *resource.ConfigFacts) {
			f.Bucket = &resource.Bucket{
				Location: "gcs ours", By: "this machine's settings (storage)",
				Storage: resource.Storage{Kind: "GCS", Encrypted: true, Parameters: map[string]string{"bucket": "ours"}},
			}
			f.Overruled = "does nothing while storage is set"
		},
		"removed":   func(f *resource.ConfigFacts) { f.Serving = false },
		"ephemeral": func(f *resource.ConfigFacts) { f.Ephemeral = true },
		"full": func(f *resource.ConfigFacts) {
			f.Writes = "the disk is full"
			f.Trust = "spec.additionalTrustedCA: there is no ConfigMap openshift-config/ours"
		},
		"routes": func(f *resource.ConfigFacts) {
			f.Restart = []string{"spec.httpSecret"}
			f.Routes = map[string]string{
				"bare": "it has no hostname", "lost": "there is no Secret openshift-image-registry/lost",
			}
		},
	}
	for name, set := range facts {
		t.Run(name, func(t *testing.T) {
			file := name
			if strings.HasPrefix(name, "s3-") {
				file = "bucket"
			}
			if strings.HasPrefix(name, "cluster") {
				file = "cluster"
			}
			doc := example(t, "status/"+file+".yaml")
			c, err := resource.ReadConfig(doc)
			if err != nil {
				t.Fatal(err)
			}
			f := resource.ConfigFacts{Version: "v1.2.3", Serving: true, Storage: c.Storage.With(nil), Since: always(since)}
			if file == "bucket" {
				f.Storage = c.Storage.With(map[string][]byte{
					"REGISTRY_STORAGE_S3_ACCESSKEY": []byte("id"), "REGISTRY_STORAGE_S3_SECRETKEY": []byte("secret"),
				})
			}
			if set != nil {
				set(&f)
			}
			shown, err := resource.Show(doc, 7, false)
			if err != nil {
				t.Fatal(err)
			}
			if shown, err = resource.ConfigWithStatus(shown, f); err != nil {
				t.Fatal(err)
			}
			goldenYAML(t, "status/"+name+".golden", shown)
		})
	}
}

// lacking is a storage that cannot be used as it is given.
func lacking(f *resource.ConfigFacts) {
	f.Move = &resource.Move{Reason: resource.MoveNotConfigured, Text: f.Storage.Lacks()}
}

func TestImageStatus(t *testing.T) {
	doc := example(t, "image.yaml")
	shown, err := resource.ImageWithStatus(doc, resource.ImageFacts{
		Internal: "node:5000", Default: "node:5000",
		Routes: []string{"z.example.com:5000", "a.example.com:5000", "node:5000"},
		Trust:  "spec.additionalTrustedCA: there is no ConfigMap openshift-config/upstream",
	})
	if err != nil {
		t.Fatal(err)
	}
	goldenYAML(t, "image.golden", shown)
	warnings, err := resource.Warnings(shown)
	const want = "spec.registrySources.blockedRegistries: takes effect"
	if err != nil || !strings.Contains(strings.Join(warnings, "\n"), want) {
		t.Errorf("warnings %q, %v", warnings, err)
	}
}

// What is shown of an object can be applied again, and changes nothing: status,
// version and annotations that were computed are no wishes.
func TestWhatIsShownCanBeApplied(t *testing.T) {
	for _, name := range []string{"image.yaml", "status/routes.yaml", "status/pods.yaml", "secret.yaml"} {
		stored := example(t, name)
		shown, err := resource.Show(stored, 12, false)
		if err != nil {
			t.Fatal(err)
		}
		if name == "image.yaml" {
			if shown, err = resource.ImageWithStatus(shown, resource.ImageFacts{Internal: "node:5000"}); err != nil {
				t.Fatal(err)
			}
		}
		d, err := resource.Decode(shown)
		if err != nil {
			t.Fatal(err)
		}
		again, changes, err := d.Revise(stored, resource.Stamp{UID: "other", Now: since})
		if err != nil || len(changes) > 0 || !bytes.Equal(again, stored) {
			t.Errorf("%s: changes %v, %v:\n%s\n%s", name, changes, err, stored, again)
		}
		if d.Version != "12" {
			t.Errorf("%s: version %q", name, d.Version)
		}
	}
}
