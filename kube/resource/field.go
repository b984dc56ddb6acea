package resource

import (
	"strings"
)

// A Verdict is what is done with a field here.
type Verdict int

// The verdicts.
const (
	// Honoured means that the field does here what it does in OpenShift.
	Honoured Verdict = iota
	// NotApplicable means that there is nothing here for it to act on.
	NotApplicable
	// Waiting means that the field is kept and takes effect with a part that
	// this version has not.
	Waiting
	// Elsewhere means that it belongs to something that there is not here, which a
	// condition of its own tells.
	Elsewhere
)

// A Field is a field of a kind and what is done with it. The path is in the
// names of JSON, [] standing for the items of a list.
type Field struct {
	Path    string
	Verdict Verdict
	Why     string // for those that are not honoured: shown to whoever sets the field
}

// Reasons that several fields share.
const (
	noPods   = "there are no pods to place: this process is the registry"
	noDriver = "there is no driver for it, says the condition StorageExists"
	noFront  = "clients are sent to the bucket itself, not to CloudFront"
	noMaking = "buckets and accounts are not made here: they must exist"
	noMirror = "takes effect with mirroring, which this version has not"
	noOthers = "nothing here calls other registries or an API server yet"
	noImport = "there are no image streams to import into"
	noJobs   = "the pruner is part of this process, not a job"
	computed = "computed"
)

// Fields lists every field of a kind that has a verdict: all there are, which
// the tests hold against the types.
func (k Kind) Fields() []Field {
	switch k.Name {
	case ConfigKind:
		return configFields()
	case PrunerKind:
		return prunerFields()
	case ImageKind:
		return imageFields()
	}
	return nil
}

// fields gives several paths under one prefix the same verdict.
func fields(v Verdict, why, prefix, paths string) (all []Field) {
	for path := range strings.FieldsSeq(paths) {
		all = append(all, Field{prefix + path, v, why})
	}
	return all
}

func join(lists ...[]Field) (all []Field) {
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

func configFields() []Field {
	return join(
		fields(Honoured, "", "spec.", `managementState logLevel operatorLogLevel logging httpSecret readOnly
			disableRedirect
			defaultRoute routes[].name routes[].hostname routes[].secretName replicas`),
		fields(Honoured, "copies of blobs are spread so over the nodes: topologyKey kubernetes.io/hostname and "+
			"topology.kubernetes.io/zone, maxSkew, whenUnsatisfiable", "spec.", "topologySpreadConstraints"),
		fields(Honoured, "", "spec.requests.", `read.maxRunning read.maxInQueue read.maxWaitInQueue
			write.maxRunning write.maxInQueue write.maxWaitInQueue`),
		fields(NotApplicable, noPods, "spec.", "nodeSelector tolerations affinity"),
		fields(NotApplicable, "the process's limits are its service's: MemoryMax= and CPUQuota= of systemd",
			"spec.", "resources"),
		fields(NotApplicable, "one process is replaced by the next: there is no rollout", "spec.", "rolloutStrategy"),
		fields(NotApplicable, "the overrides that the operator knows are about its deployment",
			"spec.", "unsupportedConfigOverrides"),
		fields(NotApplicable, "there is no cluster to observe; TLS is set in skerry.yaml", "spec.", "observedConfig"),
		fields(Waiting, noOthers, "spec.proxy.", "http https noProxy"),
		storageFields(),
		fields(Honoured, computed, "status.", "observedGeneration conditions version readyReplicas storageManaged storage"),
		fields(NotApplicable, "there are no deployments to count", "status.", "latestAvailableRevision generations"),
	)
}

func storageFields() []Field {
	return join(
		fields(Honoured, "", "spec.storage.", "managementState emptyDir"),
		fields(NotApplicable, "the data directory is the volume", "spec.storage.pvc.", "claim"),
		fields(Honoured, "", "spec.storage.s3.",
			"bucket region regionEndpoint chunkSizeMiB encrypt keyID virtualHostedStyle trustedCA.name"),
		fields(NotApplicable, noFront, "spec.storage.s3.cloudFront.", "baseURL privateKey keypairID duration"),
		fields(Honoured, "", "spec.storage.gcs.", "bucket"),
		fields(NotApplicable, noMaking, "spec.storage.gcs.", "region projectID keyID"),
		fields(Elsewhere, noDriver, "spec.storage.swift.",
			"authURL authVersion container domain domainID tenant tenantID regionName"),
		fields(Honoured, "", "spec.storage.azure.", "accountName container cloudName"),
		fields(NotApplicable, noMaking, "spec.storage.azure.networkAccess.", `type internal.networkResourceGroupName
			internal.vnetName internal.subnetName internal.privateEndpointName`),
		fields(Honoured, "", "spec.storage.ibmcos.", "bucket location"),
		fields(NotApplicable, noMaking, "spec.storage.ibmcos.", "resourceGroupName resourceKeyCRN serviceInstanceCRN"),
		fields(Elsewhere, noDriver, "spec.storage.oss.",
			"bucket region endpointAccessibility encryption.method encryption.kms.keyID"),
	)
}

func prunerFields() []Field {
	return join(
		fields(Honoured, "", "spec.", "schedule suspend keepTagRevisions keepYoungerThan keepYoungerThanDuration"),
		fields(Honoured, "there are no references that the registry does not understand",
			"spec.", "ignoreInvalidImageReferences"),
		fields(NotApplicable, noJobs, "spec.",
			"resources affinity nodeSelector tolerations successfulJobsHistoryLimit failedJobsHistoryLimit"),
		fields(NotApplicable, "the pruner logs as the registry does: spec.logLevel of config.imageregistry",
			"spec.", "logLevel"),
		fields(Honoured, computed, "status.", "observedGeneration conditions"),
	)
}

func imageFields() []Field {
	return join(
		fields(Waiting, "there are no image streams that would tell it", "spec.", "externalRegistryHostnames"),
		fields(Waiting, noMirror, "spec.", "additionalTrustedCA.name"),
		fields(Waiting, noImport, "spec.", "allowedRegistriesForImport[].domainName allowedRegistriesForImport[].insecure"),
		fields(Waiting, noMirror, "spec.registrySources.",
			"insecureRegistries blockedRegistries allowedRegistries containerRuntimeSearchRegistries"),
		fields(Waiting, noImport, "spec.", "imageStreamImportMode"),
		fields(Honoured, computed, "status.", "internalRegistryHostname externalRegistryHostnames imageStreamImportMode"),
	)
}

// unmet names the fields of a document that are set and not honoured, each
// with the reason. Values that are OpenShift's default for a field are not set.
func unmet(k Kind, tree map[string]any, defaults map[string]any) (lines []string) {
	for _, f := range k.Fields() {
		if f.Verdict != NotApplicable && f.Verdict != Waiting || !strings.HasPrefix(f.Path, "spec.") {
			continue
		}
		v := at(tree, f.Path)
		if !zero(v) && v != defaults[f.Path] {
			lines = append(lines, f.Path+": "+f.Why)
		}
	}
	return lines
}

// at is the value at a path of a tree; in a list, the first that is set.
func at(v any, path string) any {
	for path != "" && v != nil {
		var name string
		name, path, _ = strings.Cut(path, ".")
		name, list := strings.CutSuffix(name, "[]")
		m, _ := v.(map[string]any)
		v = m[name]
		if !list {
			continue
		}
		items, _ := v.([]any)
		for _, item := range items {
			if found := at(item, path); !zero(found) {
				return found
			}
		}
		return nil
	}
	return v
}

// zero reports whether a value from JSON says nothing.
func zero(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case string:
		return v == "" || v == "0s" // a duration
	case bool:
		return !v
	case float64:
		return v == 0
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	}
	return false
}
