package resource

import (
	"encoding/json"
	"fmt"
	"strings"

	registryv1 "github.com/openshift/api/imageregistry/v1"
	operatorv1 "github.com/openshift/api/operator/v1"
)

// A Bucket is an object store that holds the blobs.
type Bucket struct {
	Location string // for people
	Trouble  string // why it cannot be used; "" when it can
}

// ConfigFacts is what the status of a Config is computed from, beside the
// object.
type ConfigFacts struct {
	Version   string // of the registry
	Serving   bool   // pulls are served
	Writes    string // why pushes are refused though nobody asked for it; "" when they are not
	Ephemeral bool   // the data directory does not outlive the machine's power
	// Restart names fields that take effect with the next start.
	Restart []string
	// Bucket is the object store in use, by the machine's settings; nil: the data
	// directory is.
	Bucket *Bucket
	// Storage is spec.storage with what its Secret says.
	Storage Storage
	// Routes has an error for each route that is not served as it is asked for, by name.
	Routes map[string]string
	// Image is why image.config cannot be read, Trust what is wrong with its
	// additionalTrustedCA; "" nothing.
	Image, Trust string
	Since        Since
}

// ConfigWithStatus returns doc, a stored Config, with the status that
// OpenShift's operator would give it.
func ConfigWithStatus(doc []byte, f ConfigFacts) ([]byte, error) {
	var o registryv1.Config
	if err := json.Unmarshal(doc, &o); err != nil {
		return nil, fmt.Errorf("read stored %s: %w", ConfigKind, err)
	}
	c, err := ReadConfig(doc)
	if err != nil {
		return nil, err
	}
	tree, err := treeOf(doc)
	if err != nil {
		return nil, err
	}
	o.Status.ObservedGeneration = o.Generation
	o.Status.Version = f.Version
	if f.Serving {
		o.Status.ReadyReplicas = 1
	}
	o.Status.Storage = appliedStorage(o.Spec.Storage, f)
	o.Status.StorageManaged = o.Status.Storage.ManagementState == registryv1.StorageManagementStateManaged
	o.Status.Conditions = append(c.conditions(f),
		f.storageExists(),
		controllerCondition("ImageConfigControllerDegraded", f.Image),
		controllerCondition("ImageRegistryCertificatesControllerDegraded", f.Trust),
		unmetCondition(c.unmet(tree)))
	if f.Storage.Encrypted {
		o.Status.Conditions = append(o.Status.Conditions, operatorv1.OperatorCondition{
			Type: "StorageEncrypted", Status: operatorv1.ConditionUnknown, Reason: "StorageNotConfigured",
			Message: "the storage is not in use",
		})
	}
	stamp(o.Status.Conditions, f.Since)
	return encode(o)
}

// conditions are those that every operator of OpenShift has, and Removed.
func (c Config) conditions(f ConfigFacts) []operatorv1.OperatorCondition {
	if c.State == Unmanaged {
		const unmanaged = "The registry configuration is set to unmanaged mode: " +
			"it goes on as it was, changes are not acted upon"
		return []operatorv1.OperatorCondition{
			condition("Available", true, "Unmanaged", unmanaged),
			condition("Progressing", false, "Unmanaged", unmanaged),
			condition("Degraded", false, "Unmanaged", unmanaged),
			condition("Removed", false, "", ""),
		}
	}
	if c.State == Removed {
		const text = "The registry is removed: requests are refused, its data stays"
		return []operatorv1.OperatorCondition{
			condition("Available", true, "Removed", text),
			condition("Progressing", false, "Removed", text),
			condition("Degraded", false, "Removed", text),
			condition("Removed", true, "Removed", text),
		}
	}
	return []operatorv1.OperatorCondition{
		c.available(), c.progressing(f), c.degraded(f), condition("Removed", false, "", ""),
	}
}

func (c Config) available() operatorv1.OperatorCondition {
	if c.Replicas > 1 {
		return condition("Available", true, "MinimumAvailability", fmt.Sprintf(
			"The registry has minimum availability: 1 of %d replicas, which is this node", c.Replicas))
	}
	return condition("Available", true, "Ready", "The registry is ready")
}

func (c Config) progressing(f ConfigFacts) operatorv1.OperatorCondition {
	if len(f.Restart) > 0 {
		return condition("Progressing", true, "DeploymentNotCompleted",
			strings.Join(f.Restart, ", ")+" takes effect with the next start of the registry")
	}
	return condition("Progressing", false, "Ready", "The registry is ready")
}

func (c Config) degraded(f ConfigFacts) operatorv1.OperatorCondition {
	var reasons, texts []string
	add := func(reason, text string) { reasons, texts = append(reasons, reason), append(texts, text) }
	if f.Writes != "" {
		add("WritesRefused", f.Writes)
	}
	if !f.Storage.Local() {
		add("StorageNotConfigured", fmt.Sprintf("spec.storage asks for %s, which is not in use", f.Storage.Kind))
	}
	var routes []string
	for _, r := range c.Routes {
		if text := f.Routes[r.Name]; text != "" {
			routes = append(routes, fmt.Sprintf("route %s (host %s) not admitted: %s", r.Name, r.Hostname, text))
		}
	}
	if len(routes) > 0 {
		add("RouteDegraded", strings.Join(routes, ", "))
	}
	if len(reasons) == 0 {
		return condition("Degraded", false, "", "")
	}
	return condition("Degraded", true, reasons[0], strings.Join(texts, "\n"))
}

// trouble says what keeps a backend that is not this disk from being used.
func (s Storage) trouble() string {
	text := fmt.Sprintf("spec.storage asks for %s: this version keeps blobs on its own disk only, and goes on there",
		s.Kind)
	if len(s.Missing) > 0 {
		text += "; what is missing besides: " + strings.Join(s.Missing, ", ")
	}
	return text
}

func (f ConfigFacts) storageExists() operatorv1.OperatorCondition {
	const kind = "StorageExists"
	switch {
	case f.Bucket != nil && f.Bucket.Trouble != "":
		return condition(kind, false, "Unable to Access Bucket", f.Bucket.Location+": "+f.Bucket.Trouble)
	case f.Bucket != nil:
		return condition(kind, true, "Bucket Exists", f.Bucket.Location+", by this machine's settings (storage)")
	case !f.Storage.Local():
		return condition(kind, false, "StorageNotConfigured", f.Storage.trouble())
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

func controllerCondition(kind, trouble string) operatorv1.OperatorCondition {
	if trouble == "" {
		return condition(kind, false, "AsExpected", "")
	}
	return condition(kind, true, "Error", trouble)
}

// unmet is what the object says and this registry does not do.
func (c Config) unmet(tree map[string]any) []string {
	kind, _ := KindOf(ConfigKind)
	lines := unmet(kind, tree, nil)
	if c.Replicas != 1 {
		lines = append(lines, fmt.Sprintf("spec.replicas: %d; this registry is one node", c.Replicas))
	}
	for path, l := range map[string]Limits{"read": c.Reads, "write": c.Writes} {
		if l.MaxRunning == 0 && l.MaxInQueue > 0 {
			lines = append(lines, "spec.requests."+path+".maxInQueue: does nothing without maxRunning")
		}
	}
	if c.Storage.Managed == registryv1.StorageManagementStateManaged {
		lines = append(lines, "spec.storage.managementState: Managed; the data is never deleted with the registry")
	}
	if at(tree, "spec.managementState") == nil || at(tree, "spec.managementState") == "" {
		lines = append(lines, "spec.managementState: missing; taken for Managed")
	}
	return sorted(lines)
}

// appliedStorage is what is in use: this disk.
func appliedStorage(
	spec registryv1.ImageRegistryConfigStorage, f ConfigFacts,
) registryv1.ImageRegistryConfigStorage {
	if !f.Storage.Local() || f.Storage.Kind == "" {
		spec = registryv1.ImageRegistryConfigStorage{PVC: new(registryv1.ImageRegistryConfigStoragePVC)}
	}
	if spec.ManagementState == "" {
		spec.ManagementState = registryv1.StorageManagementStateUnmanaged
	}
	return spec
}
