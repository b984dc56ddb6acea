package resource

import (
	"encoding/json"
	"fmt"
	"strings"

	registryv1 "github.com/openshift/api/imageregistry/v1"
	operatorv1 "github.com/openshift/api/operator/v1"
)

// ConfigFacts is what the status of a Config is computed from, beside the
// object.
type ConfigFacts struct {
	Version   string // of the registry
	Serving   bool   // pulls are served
	Writes    string // why pushes are refused though nobody asked for it; "" when they are not
	Ephemeral bool   // the data directory does not outlive the machine's power
	// Restart names fields that take effect with the next start.
	Restart []string
	// Bucket is the object store in use; nil: the data directory is.
	Bucket *Bucket
	// Storage is spec.storage with what its Secret says.
	Storage Storage
	// Move is what becomes of Storage where something else is in use; nil where it is
	// in use itself, or not asked.
	Move *Move
	// Overruled says why something else is in use whatever Storage is; "" nothing.
	Overruled string
	// Routes has an error for each route that is not served as it is asked for, by name.
	Routes map[string]string
	// Image is why image.config cannot be read, Trust what is wrong with its
	// additionalTrustedCA; "" nothing.
	Image, Trust string
	Cluster      Cluster
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
		o.Status.ReadyReplicas = int32(f.Cluster.ready()) //nolint:gosec // a number of nodes
	}
	o.Status.Storage = appliedStorage(o.Spec.Storage, f)
	o.Status.StorageManaged = o.Status.Storage.ManagementState == registryv1.StorageManagementStateManaged
	o.Status.Conditions = append(c.conditions(f),
		f.storageExists(),
		controllerCondition("ImageConfigControllerDegraded", f.Image),
		controllerCondition("ImageRegistryCertificatesControllerDegraded", f.Trust),
		unmetCondition(c.unmet(tree, f)))
	if f.Bucket != nil && f.Bucket.Storage.Encrypted {
		o.Status.Conditions = append(o.Status.Conditions, f.Bucket.encrypted())
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
		c.available(f.Cluster), c.progressing(f), c.degraded(f), condition("Removed", false, "", ""),
	}
}

func (c Config) available(nodes Cluster) operatorv1.OperatorCondition {
	if nodes.Nodes > 1 {
		return nodes.available()
	}
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
	if f.Move != nil {
		return f.Move.progressing()
	}
	if p := f.Cluster.progressing(); p != nil {
		return *p
	}
	return condition("Progressing", false, "Ready", "The registry is ready")
}

func (c Config) degraded(f ConfigFacts) operatorv1.OperatorCondition {
	var reasons, texts []string
	add := func(reason, text string) { reasons, texts = append(reasons, reason), append(texts, text) }
	if f.Writes != "" {
		add("WritesRefused", f.Writes)
	}
	f.Cluster.degraded(add)
	if f.Move != nil && !f.Move.UnderWay {
		add(f.Move.Reason, f.Move.Text)
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

func controllerCondition(kind, trouble string) operatorv1.OperatorCondition {
	if trouble == "" {
		return condition(kind, false, "AsExpected", "")
	}
	return condition(kind, true, "Error", trouble)
}

// unmet is what the object says and this registry does not do.
func (c Config) unmet(tree map[string]any, f ConfigFacts) []string {
	kind, _ := KindOf(ConfigKind)
	lines := unmet(kind, tree, nil)
	lines = append(lines, c.unmetReplicas(f.Cluster.Nodes)...)
	lines = append(lines, unmetSpread(tree)...)
	for path, l := range map[string]Limits{"read": c.Reads, "write": c.Writes} {
		if l.MaxRunning == 0 && l.MaxInQueue > 0 {
			lines = append(lines, "spec.requests."+path+".maxInQueue: does nothing without maxRunning")
		}
	}
	if c.Storage.Managed == registryv1.StorageManagementStateManaged {
		lines = append(lines, "spec.storage.managementState: Managed; the data is never deleted with the registry")
	}
	if !zero(at(tree, "spec.storage.s3.keyID")) && at(tree, "spec.storage.s3.encrypt") != true {
		lines = append(lines, "spec.storage.s3.keyID: does nothing without encrypt")
	}
	if f.Overruled != "" {
		lines = append(lines, "spec.storage: "+f.Overruled)
	}
	if at(tree, "spec.managementState") == nil || at(tree, "spec.managementState") == "" {
		lines = append(lines, "spec.managementState: missing; taken for Managed")
	}
	return sorted(lines)
}
