package resource_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"skerry.dev/skerry/kube/resource"
)

// Each backend in the words of distribution's drivers, with its Secret and
// without.
func TestStorageInTheDriversWords(t *testing.T) {
	secret := map[string][]byte{
		"REGISTRY_STORAGE_S3_ACCESSKEY": []byte("id"), "REGISTRY_STORAGE_S3_SECRETKEY": []byte("key"),
		"REGISTRY_STORAGE_GCS_KEYFILE": []byte("{}"), "REGISTRY_STORAGE_AZURE_ACCOUNTKEY": []byte("key"),
	}
	var b bytes.Buffer
	for _, spec := range []string{
		"{}",
		"{pvc: {claim: images}}",
		"{emptyDir: {}}",
		"{s3: {}}",
		"{s3: {bucket: b, region: r, encrypt: true, keyID: k, chunkSizeMiB: 10, virtualHostedStyle: true}}",
		"{s3: {bucket: b, regionEndpoint: 'https://minio:9000', keyID: unused, trustedCA: {name: ours}}}",
		"{s3: {bucket: b, region: r, cloudFront: {baseURL: 'https://x', privateKey: {key: k}, keypairID: i}}}",
		"{gcs: {bucket: b, keyID: k}}",
		"{azure: {accountName: a, container: con, cloudName: AzureUSGovernmentCloud}}",
		"{azure: {cloudName: Mine}}",
		"{ibmcos: {bucket: b, location: eu-de}}",
		"{oss: {bucket: bbb}}",
		"{swift: {container: c}}",
	} {
		c, err := resource.ReadConfig(store(t, configHead+"spec: {storage: "+spec+"}"))
		if err != nil {
			t.Fatal(err)
		}
		s := c.Storage.With(secret)
		fmt.Fprintf(&b, "%s\n  kind %q, driver %q, encrypted %t, trusted CA %q\n",
			spec, s.Kind, s.Driver, s.Encrypted, s.TrustedCA)
		var names []string
		for name := range s.Parameters {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			fmt.Fprintf(&b, "  %s = %s\n", name, s.Parameters[name])
		}
		for _, missing := range c.Storage.With(nil).Missing {
			fmt.Fprintf(&b, "  missing without a Secret: %s\n", missing)
		}
		for _, missing := range s.Missing {
			fmt.Fprintf(&b, "  missing: %s\n", missing)
		}
	}
	golden(t, "storage.golden", b.Bytes())
}

// A Secret with half of the credentials is one that misses the other half.
func TestHalfASecretIsMissingTheOther(t *testing.T) {
	c, err := resource.ReadConfig(store(t, configHead+"spec: {storage: {s3: {bucket: b, region: r}}}"))
	if err != nil {
		t.Fatal(err)
	}
	missing := c.Storage.With(map[string][]byte{"REGISTRY_STORAGE_S3_ACCESSKEY": []byte("id")}).Missing
	const want = "Secret openshift-image-registry/image-registry-private-configuration-user with " +
		"REGISTRY_STORAGE_S3_SECRETKEY"
	if len(missing) != 1 || missing[0] != want {
		t.Errorf("missing %q", missing)
	}
}

// A ConfigMap of certificates is one that has some under the key that OpenShift uses.
func TestTrustedCAIsACertificate(t *testing.T) {
	c, err := resource.ReadConfig(store(t, configHead+"spec: {storage: {s3: {bucket: b, trustedCA: {name: ours}}}}"))
	if err != nil {
		t.Fatal(err)
	}
	const want = "ConfigMap openshift-config/ours with certificates, PEM, under ca-bundle.crt"
	for name, data := range map[string]map[string][]byte{
		"none": nil, "another key": {"ca.crt": []byte("x")}, "no certificate": {"ca-bundle.crt": []byte("x")},
	} {
		s, _ := c.Storage.Trusting(data)
		if !strings.Contains(s.Lacks(), want) {
			t.Errorf("%s: lacks %q", name, s.Lacks())
		}
	}
	if s, pem := (resource.Storage{}).Trusting(nil); pem != "" || s.Lacks() != "" {
		t.Errorf("without a name: %q, %q", pem, s.Lacks())
	}
}
