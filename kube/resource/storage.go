package resource

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	registryv1 "github.com/openshift/api/imageregistry/v1"
)

// Storage is where spec.storage wants the bytes to be, in the names that
// distribution's storage drivers have for their parameters.
type Storage struct {
	// Kind is the backend as the operator's messages call it: PVC, EmptyDir, S3,
	// GCS, Azure, IBMCOS, OSS or Swift; "" when none is given, which is PVC.
	Kind string
	// Driver is the storage driver: filesystem, s3, gcs, azure, or "" when there
	// is none.
	Driver string
	// Parameters are the driver's, without those from Secrets; chunksize in bytes.
	Parameters map[string]string
	// Keys are the Secret's alternatives: all keys of one of them are needed.
	// Each is named after the driver's parameter.
	Keys []map[string]string
	// Missing names what must be given before the backend can be used.
	Missing []string
	// Encrypted says whether the backend is asked to encrypt what it stores.
	Encrypted bool
	// TrustedCA names the ConfigMap in [ConfigMapNamespace] whose ca-bundle.crt the
	// backend's certificate is checked with; "" is the system's.
	TrustedCA string
	// Managed is spec.storage.managementState.
	Managed string
}

// CAKey is the key of the ConfigMap that TrustedCA names.
const CAKey = "ca-bundle.crt"

// StorageSecret is the Secret in [SecretNamespace] that has the credentials.
const StorageSecret = "image-registry-private-configuration-user"

// Lacks says what keeps the backend from being used; "" nothing.
func (s Storage) Lacks() string {
	if len(s.Missing) == 0 {
		return ""
	}
	return fmt.Sprintf("spec.storage asks for %s, and this is missing: %s", s.Kind, strings.Join(s.Missing, ", "))
}

// Trusting adds what the ConfigMap says that TrustedCA names, and returns its
// certificates; data is nil when there is none.
func (s Storage) Trusting(data map[string][]byte) (_ Storage, pem string) {
	if s.TrustedCA == "" {
		return s, ""
	}
	ca := data[CAKey]
	if _, err := firstCertificate(ca); err != nil {
		s.Missing = append(slices.Clip(s.Missing), fmt.Sprintf("ConfigMap %s/%s with certificates, PEM, under %s",
			ConfigMapNamespace, s.TrustedCA, CAKey))
	}
	return s, string(ca)
}

// Local reports whether the bytes are on this machine's own disk.
func (s Storage) Local() bool { return s.Driver == "filesystem" }

// With adds what the Secret says; secret is nil when there is none.
func (s Storage) With(secret map[string][]byte) Storage {
	if len(s.Keys) == 0 {
		return s
	}
	s.Parameters = maps.Clone(s.Parameters)
	for _, keys := range s.Keys {
		if lacking(keys, secret) != nil {
			continue
		}
		for key, parameter := range keys {
			s.Parameters[parameter] = string(secret[key])
		}
		return s
	}
	s.Missing = append(slices.Clip(s.Missing), "Secret "+SecretNamespace+"/"+StorageSecret+" with "+
		strings.Join(lacking(s.Keys[0], secret), " and "))
	return s
}

func lacking(keys map[string]string, secret map[string][]byte) (names []string) {
	for _, key := range sortedKeys(keys) {
		if len(secret[key]) == 0 {
			names = append(names, key)
		}
	}
	return names
}

// storageOf translates the first backend that is given: validation has seen to
// it that there is one at most.
func storageOf(spec registryv1.ImageRegistryConfigStorage) Storage {
	s := Storage{Driver: "filesystem", Parameters: map[string]string{}}
	switch {
	case spec.PVC != nil:
		s.Kind = "PVC"
	case spec.EmptyDir != nil:
		s.Kind = "EmptyDir"
	case spec.S3 != nil:
		s.s3(*spec.S3)
	case spec.GCS != nil:
		s.gcs(*spec.GCS)
	case spec.Azure != nil:
		s.azure(*spec.Azure)
	case spec.IBMCOS != nil:
		s.ibmcos(*spec.IBMCOS)
	case spec.OSS != nil:
		s.without("OSS")
	case spec.Swift != nil:
		s.without("Swift")
	}
	s.Managed = spec.ManagementState
	return s
}

// without is a backend of which there is no driver.
func (s *Storage) without(kind string) {
	s.Kind, s.Driver = kind, ""
	s.Missing = []string{"a storage driver for " + kind + ": spec.storage.s3 works with its S3 interface"}
}

// set keeps a parameter that is given.
func (s *Storage) set(name, v string) {
	if v != "" {
		s.Parameters[name] = v
	}
}

// need keeps a parameter that must be given.
func (s *Storage) need(name, path, v string) {
	if v == "" {
		s.Missing = append(s.Missing, path)
	}
	s.set(name, v)
}

func (s *Storage) s3(o registryv1.ImageRegistryConfigStorageS3) {
	s.Kind, s.Driver, s.Encrypted, s.TrustedCA = "S3", "s3", o.Encrypt, o.TrustedCA.Name
	s.need("bucket", "spec.storage.s3.bucket", o.Bucket)
	if o.RegionEndpoint == "" {
		s.need("region", "spec.storage.s3.region or regionEndpoint", o.Region)
	} else {
		s.set("region", cmp.Or(o.Region, "us-east-1"))
	}
	s.set("regionendpoint", o.RegionEndpoint)
	s.set("encrypt", strconv.FormatBool(o.Encrypt))
	if o.Encrypt {
		s.set("keyid", o.KeyID)
	}
	if o.ChunkSizeMiB > 0 {
		s.set("chunksize", strconv.FormatInt(int64(o.ChunkSizeMiB)<<20, 10))
	}
	s.set("forcepathstyle", strconv.FormatBool(!o.VirtualHostedStyle))
	s.Keys = []map[string]string{
		{"REGISTRY_STORAGE_S3_ACCESSKEY": "accesskey", "REGISTRY_STORAGE_S3_SECRETKEY": "secretkey"},
	}
}

func (s *Storage) gcs(o registryv1.ImageRegistryConfigStorageGCS) {
	s.Kind, s.Driver, s.Encrypted = "GCS", "gcs", true
	s.need("bucket", "spec.storage.gcs.bucket", o.Bucket)
	s.Keys = []map[string]string{{"REGISTRY_STORAGE_GCS_KEYFILE": "keyfile"}}
}

func (s *Storage) azure(o registryv1.ImageRegistryConfigStorageAzure) {
	s.Kind, s.Driver, s.Encrypted = "Azure", "azure", true
	s.need("accountname", "spec.storage.azure.accountName", o.AccountName)
	s.need("container", "spec.storage.azure.container", o.Container)
	realm, known := "", false
	for _, c := range clouds() {
		if c.name == cmp.Or(o.CloudName, clouds()[0].name) {
			realm, known = c.realm, true
		}
	}
	if s.set("realm", realm); !known {
		s.Missing = append(s.Missing, "a known spec.storage.azure.cloudName")
	}
	s.Keys = []map[string]string{{"REGISTRY_STORAGE_AZURE_ACCOUNTKEY": "accountkey"}}
}

// A cloud is one of Azure's, and the domain of its services.
type cloud struct{ name, realm string }

// clouds are those that there are; the first is meant where none is named.
func clouds() []cloud {
	return []cloud{
		{"AzurePublicCloud", "core.windows.net"},
		{"AzureUSGovernmentCloud", "core.usgovcloudapi.net"},
		{"AzureChinaCloud", "core.chinacloudapi.cn"},
		{"AzureGermanCloud", "core.cloudapi.de"},
	}
}

// cloudOf is the cloud of a realm; "" is the one that need not be named.
func cloudOf(realm string) string {
	for _, c := range clouds()[1:] {
		if c.realm == realm {
			return c.name
		}
	}
	return ""
}

func (s *Storage) ibmcos(o registryv1.ImageRegistryConfigStorageIBMCOS) {
	s.Kind, s.Driver, s.Encrypted = "IBMCOS", "s3", true
	s.need("bucket", "spec.storage.ibmcos.bucket", o.Bucket)
	s.need("region", "spec.storage.ibmcos.location", o.Location)
	if o.Location != "" {
		s.set("regionendpoint", "https://s3."+o.Location+".cloud-object-storage.appdomain.cloud")
	}
	s.set("forcepathstyle", "true")
	s.Keys = []map[string]string{
		{"REGISTRY_STORAGE_S3_ACCESSKEY": "accesskey", "REGISTRY_STORAGE_S3_SECRETKEY": "secretkey"},
	}
}
