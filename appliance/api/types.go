package api

import (
	"context"
	"encoding/json"
	"io"
	"time"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/kube/resource"
	"skerry.dev/skerry/meta"
)

// An Operator does what the API offers. Its errors are told to the caller,
// which is an administrator, in full.
type Operator interface {
	AccessOperator
	ClusterOperator

	// Status tells how the registry is doing.
	Status(ctx context.Context) (Status, error)
	// Collect runs the garbage collection now.
	Collect(ctx context.Context, dryRun bool) (meta.CollectReport, error)
	// Prune applies the retention rules now. Zero fields mean what the ImagePruner says.
	Prune(ctx context.Context, r PruneRequest, actor string) (meta.PruneReport, error)
	// Scrub reads and verifies every blob.
	Scrub(ctx context.Context, r ScrubRequest, progress func(ScrubReport)) (ScrubReport, error)
	// Check walks the invariants of the metadata and compares it with the blobs on disk.
	Check(ctx context.Context, found func(meta.Problem)) error
	// Backup writes one archive of everything that the registry holds.
	Backup(ctx context.Context, w io.Writer) error

	// History lists what a tag pointed at, newest first.
	History(ctx context.Context, repo meta.RepoName, tag meta.Tag) ([]meta.TagEvent, error)
	// Deleted lists what can still be undeleted.
	Deleted(ctx context.Context, repo meta.RepoName) ([]meta.Deleted, error)
	// Undelete brings a tag or, without one, a manifest back.
	Undelete(ctx context.Context, r UndeleteRequest, actor string) error
	// TagRules and SetTagRules read and replace the rules for immutable tags.
	TagRules(ctx context.Context) ([]meta.TagRule, error)
	SetTagRules(ctx context.Context, rules []meta.TagRule, actor string) error

	// Reload reads the machine's configuration again and applies what it can. With
	// an error nothing has changed.
	Reload(ctx context.Context) (ReloadReport, error)

	// Object and Objects return configuration objects as JSON, with their status.
	// Secret values are hidden.
	Object(ctx context.Context, kind, name string) ([]byte, error)
	Objects(ctx context.Context, kind string) ([][]byte, error)
	// Reveal is Object with secret values.
	Reveal(ctx context.Context, n ObjectName, actor string) ([]byte, error)
	// ApplyObject stores a configuration object, or tells what that would change.
	ApplyObject(ctx context.Context, q ApplyRequest, actor string) (Applied, error)
	// DeleteObject removes an object. Those that there must be get their defaults.
	DeleteObject(ctx context.Context, n ObjectName, actor string) error
}

// Status is how the registry is doing.
type Status struct {
	Version    string        `json:"version"`
	Node       string        `json:"node"`
	Zone       string        `json:"zone,omitempty"`
	Started    time.Time     `json:"started"`
	Leader     bool          `json:"leader"`
	ReadOnly   bool          `json:"readOnly"`
	ReadReady  bool          `json:"readReady"`
	WriteReady bool          `json:"writeReady"`
	WriteError string        `json:"writeError,omitempty"` // why it is not ready for writes
	Disk       DiskStatus    `json:"disk"`
	TLS        TLSStatus     `json:"tls"`
	Storage    StorageStatus `json:"storage"`
	// Cluster is absent on a node alone.
	Cluster  *ClusterStatus `json:"cluster,omitempty"`
	Contents meta.Stats     `json:"contents"`
	// Conditions are those of config.imageregistry/cluster.
	Conditions []Condition `json:"conditions"`
	// Quarantined lists blobs whose bytes were found damaged.
	Quarantined []digest.Digest `json:"quarantined,omitempty"`
}

// ClusterStatus is how the nodes are, as the one that answers sees it.
type ClusterStatus struct {
	Nodes  int      `json:"nodes"`            // that are members
	Away   []string `json:"away,omitempty"`   // names of those that do not answer
	Leader string   `json:"leader,omitempty"` // its name; absent: none, and nothing can be changed
	// CopiesMissing counts blobs with fewer copies than there should be, Lost those
	// without any.
	CopiesMissing int `json:"copiesMissing"`
	Lost          int `json:"lost"`
}

// DiskStatus is the file system under the data directory; sizes in bytes.
type DiskStatus struct {
	Total    int64  `json:"totalBytes"`
	Free     int64  `json:"freeBytes"`
	Reserve  int64  `json:"reserveBytes"`
	Pressure string `json:"pressure"`
	// Ephemeral names a file system that does not outlive a reboot, or a container.
	Ephemeral string `json:"ephemeral,omitempty"`
}

// StorageStatus is where the blobs are.
type StorageStatus struct {
	Kind     string `json:"kind"`     // local, s3, gcs or azure
	Location string `json:"location"` // with bucket and prefix
	Redirect bool   `json:"redirect"` // clients are sent there for their bytes
	// Error is why an object store could not be used when it was last looked.
	Error string `json:"error,omitempty"`
}

// TLSStatus is how the certificates are.
type TLSStatus struct {
	Mode         string        `json:"mode"` // self, acme, files or off
	Certificates []Certificate `json:"certificates,omitempty"`
	Error        string        `json:"error,omitempty"` // what is wrong beside the certificates
}

// Certificate is one that clients are shown, or should be.
type Certificate struct {
	From     string     `json:"from"` // own CA, acme, files or hosts
	Names    []string   `json:"names"`
	Issuer   string     `json:"issuer,omitempty"`
	NotAfter *time.Time `json:"notAfter,omitempty"` // absent: there is none yet; the own CA's is shown
	Error    string     `json:"error,omitempty"`    // why it is not good, or not renewed
}

// CollectRequest asks for a garbage collection.
type CollectRequest struct {
	DryRun bool `json:"dryRun"`
}

// PruneRequest asks for a run of the pruner.
type PruneRequest struct {
	DryRun           bool           `json:"dryRun"`
	KeepTagRevisions *int           `json:"keepTagRevisions,omitempty"`
	KeepYoungerThan  *time.Duration `json:"keepYoungerThanNanoseconds,omitempty"`
}

// ScrubRequest asks for a scrub.
type ScrubRequest struct {
	BytesPerSecond int64 `json:"bytesPerSecond"` // 0: as fast as the disk allows
}

// ScrubReport tells how far a scrub is, or how it ended.
type ScrubReport struct {
	Blobs      int64           `json:"blobs"` // verified so far
	Bytes      int64           `json:"bytes"`
	TotalBlobs int64           `json:"totalBlobs"`
	TotalBytes int64           `json:"totalBytes"`
	Orphans    int64           `json:"orphans"` // files that nothing knows, removed
	Missing    []digest.Digest `json:"missing,omitempty"`
	Damaged    []digest.Digest `json:"damaged,omitempty"` // now in quarantine
}

// UndeleteRequest names what is to come back: a tag, or a manifest.
type UndeleteRequest struct {
	Repository meta.RepoName `json:"repository"`
	Tag        meta.Tag      `json:"tag,omitempty"`
	Digest     digest.Digest `json:"digest,omitempty"`
}

// ReloadReport tells what a reload found changed.
type ReloadReport struct {
	Changes []SettingChange `json:"changes"`
}

// A SettingChange is one setting that is not as it was.
type SettingChange struct {
	Key     string `json:"key"`
	From    string `json:"from"`
	To      string `json:"to"`
	Applied bool   `json:"applied"` // false: it waits for a restart
}

// Condition is one line of an object's status.
type Condition = resource.Condition

// ObjectName names a configuration object.
type ObjectName struct {
	Kind string `json:"kind"` // as in the object itself
	Name string `json:"name"`
}

// ApplyRequest brings a configuration object.
type ApplyRequest struct {
	Document string `json:"document"` // one object in YAML or JSON
	DryRun   bool   `json:"dryRun"`   // only tell
}

// Applied tells what an apply did.
type Applied struct {
	Object   string            `json:"object"` // as in config.imageregistry/cluster
	Result   string            `json:"result"` // created, configured or unchanged
	DryRun   bool              `json:"dryRun,omitempty"`
	Changes  []resource.Change `json:"changes,omitempty"`
	Warnings []string          `json:"warnings,omitempty"` // what is missing, and what has no meaning here
	Document json.RawMessage   `json:"document"`           // as it is now, with its status
}

// Failure is the body of every answer that is not 2xx: the shape of
// Kubernetes' metav1.Status.
type Failure struct {
	Kind       string `json:"kind"`
	APIVersion string `json:"apiVersion"`
	Status     string `json:"status"`
	Message    string `json:"message"`
	Reason     string `json:"reason"`
	Code       int    `json:"code"`
}

// Error makes a Failure the error that [Client] returns.
func (f *Failure) Error() string { return f.Message }

// event is one line of a long operation's answer. Exactly one field is set.
type event struct {
	Scrub   *ScrubReport  `json:"scrub,omitempty"`
	Problem *meta.Problem `json:"problem,omitempty"`
	Failure *Failure      `json:"failure,omitempty"`
	Done    bool          `json:"done,omitempty"`
}
