package resource

import (
	"cmp"
	"strconv"
	"strings"

	operatorv1 "github.com/openshift/api/operator/v1"

	registryv1 "github.com/openshift/api/imageregistry/v1"
)

// A Bucket is an object store that holds the blobs.
type Bucket struct {
	Storage  Storage // what is in use, without credentials
	Location string  // for people
	By       string  // who chose it, for people; "" is spec.storage
	Trouble  string  // why it cannot be used; "" when it can
}

// A Move is what becomes of a spec.storage that is not what is in use.
type Move struct {
	Reason   string // that of the conditions
	Text     string // what keeps it from being in use, or what is being done
	UnderWay bool   // it is being tried, or done: nothing is wrong
	Retried  bool   // it is tried again by itself
}

// The reasons of a Move. Those of OpenShift's operator are its own words.
const (
	MoveNotConfigured = "StorageNotConfigured"    // something must be given
	MoveUnreachable   = "Unable to Access Bucket" // the object store refuses, or does not answer
	MoveHoldsBlobs    = "StorageHoldsBlobs"       // blobs are elsewhere
	MoveUnderWay      = "Configuration Changed"
)

// progressing is the condition: what is tried again is told as the operator tells it.
func (m Move) progressing() operatorv1.OperatorCondition {
	const kind = "Progressing"
	switch {
	case m.UnderWay:
		return condition(kind, true, "DeploymentNotCompleted", m.Text)
	case m.Retried:
		return condition(kind, true, "Error", "Unable to apply resources: "+m.Text)
	}
	return condition(kind, false, "Error", "Unable to apply resources: "+m.Text)
}

// exists is the condition StorageExists while s is wanted and not in use.
func (m Move) exists(s Storage) operatorv1.OperatorCondition {
	c := condition("StorageExists", false, m.Reason, m.Text)
	if m.UnderWay {
		c.Status, c.Reason = operatorv1.ConditionUnknown, strings.TrimSpace(s.Kind+" "+m.Reason)
	}
	return c
}

// exists is the condition StorageExists of an object store in use.
func (b Bucket) exists() operatorv1.OperatorCondition {
	if b.Trouble != "" {
		return condition("StorageExists", false, MoveUnreachable, b.Location+": "+b.Trouble)
	}
	reason := map[string]string{
		"S3": "S3 Bucket Exists", "GCS": "GCS Bucket Exists", "Azure": "ContainerExists", "IBMCOS": "IBMCOS Bucket Exists",
	}[b.Storage.Kind]
	text := b.Location
	if b.By != "" {
		text += ", by " + b.By
	}
	return condition("StorageExists", true, reason, text)
}

// encrypted is the condition StorageEncrypted of an object store that encrypts.
func (b Bucket) encrypted() operatorv1.OperatorCondition {
	text := "the service encrypts what it keeps"
	if b.Storage.Kind == "S3" {
		text = "S3 is asked to encrypt each blob with " + cmp.Or(b.Storage.Parameters["keyid"], "a key of its own")
	}
	return condition("StorageEncrypted", true, "Encryption Successful", text)
}

func (f ConfigFacts) storageExists() operatorv1.OperatorCondition {
	const kind = "StorageExists"
	switch {
	case f.Move != nil:
		return f.Move.exists(f.Storage)
	case f.Bucket != nil:
		return f.Bucket.exists()
	case f.Storage.Kind == "EmptyDir" && f.Ephemeral:
		return condition(kind, true, "Creation Successful",
			"EmptyDir storage successfully created: the data directory is in memory and ends with the machine's power")
	case f.Storage.Kind == "EmptyDir":
		return condition(kind, true, "Creation Successful",
			"EmptyDir storage successfully created: the data directory, which outlives the process")
	case f.Ephemeral:
		return condition(kind, false, "PVC Issues Found",
			"the data directory is in memory and ends with the machine's power: put it on a disk, "+
				"or say spec.storage.emptyDir if that is what is wanted")
	case f.Storage.Kind == "":
		return condition(kind, true, "PVC Exists", "the data directory; spec.storage names none, which means this")
	}
	return condition(kind, true, "PVC Exists", "the data directory")
}

// appliedStorage is what is in use, in the words of spec.storage.
func appliedStorage(
	spec registryv1.ImageRegistryConfigStorage, f ConfigFacts,
) registryv1.ImageRegistryConfigStorage {
	state := cmp.Or(spec.ManagementState, registryv1.StorageManagementStateUnmanaged)
	switch {
	case f.Bucket != nil:
		spec = f.Bucket.Storage.spec()
	case !f.Storage.Local() || f.Storage.Kind == "":
		spec = registryv1.ImageRegistryConfigStorage{PVC: new(registryv1.ImageRegistryConfigStoragePVC)}
	}
	spec.ManagementState = state
	return spec
}

// spec is the reverse of storageOf, for what is in use.
func (s Storage) spec() (spec registryv1.ImageRegistryConfigStorage) {
	p := s.Parameters
	switch s.Kind {
	case "S3":
		chunk, _ := strconv.ParseInt(p["chunksize"], 10, 64) // 0 is the driver's own
		spec.S3 = &registryv1.ImageRegistryConfigStorageS3{
			Bucket: p["bucket"], Region: p["region"], RegionEndpoint: p["regionendpoint"],
			Encrypt: s.Encrypted, KeyID: p["keyid"], ChunkSizeMiB: int32(chunk >> 20), //nolint:gosec // up to 5120
			VirtualHostedStyle: p["forcepathstyle"] == "false",
			TrustedCA:          registryv1.S3TrustedCASource{Name: s.TrustedCA},
		}
	case "GCS":
		spec.GCS = &registryv1.ImageRegistryConfigStorageGCS{Bucket: p["bucket"]}
	case "Azure":
		spec.Azure = &registryv1.ImageRegistryConfigStorageAzure{
			AccountName: p["accountname"], Container: p["container"], CloudName: cloudOf(p["realm"]),
		}
	case "IBMCOS":
		spec.IBMCOS = &registryv1.ImageRegistryConfigStorageIBMCOS{Bucket: p["bucket"], Location: p["region"]}
	}
	return spec
}
