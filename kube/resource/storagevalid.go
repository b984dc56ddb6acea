package resource

import (
	"strconv"
	"strings"

	registryv1 "github.com/openshift/api/imageregistry/v1"
)

// validateStorage holds spec.storage against the patterns of its CRD.
func validateStorage(s registryv1.ImageRegistryConfigStorage, p *problems) {
	oneOf(p, "spec.storage.managementState", s.ManagementState, "", "Managed", "Unmanaged")
	var given []string
	for _, b := range []struct {
		name string
		set  bool
	}{
		{"EmptyDir", s.EmptyDir != nil},
		{"S3", s.S3 != nil},
		{"Swift", s.Swift != nil},
		{"GCS", s.GCS != nil},
		{"IBMCOS", s.IBMCOS != nil},
		{"PVC", s.PVC != nil},
		{"Azure", s.Azure != nil},
		{"OSS", s.OSS != nil},
	} {
		if b.set {
			given = append(given, b.name)
		}
	}
	if len(given) > 1 {
		p.add("spec.storage", "exactly one storage type should be configured at the same time, got %d: [%s]",
			len(given), strings.Join(given, " "))
	}
	if s.S3 != nil {
		validateS3(*s.S3, p)
	}
	if s.Azure != nil {
		validateAzure(*s.Azure, p)
	}
	if s.IBMCOS != nil {
		matches(p, "spec.storage.ibmcos.resourceKeyCRN", s.IBMCOS.ResourceKeyCRN,
			`^crn:.+:.+:.+:cloud-object-storage:.+:.+:.+:resource-key:.+$`, "the CRN of a resource key")
		matches(p, "spec.storage.ibmcos.serviceInstanceCRN", s.IBMCOS.ServiceInstanceCRN,
			`^crn:.+:.+:.+:cloud-object-storage:.+:.+:.+::$`, "the CRN of a service instance")
	}
	if s.OSS != nil {
		matches(p, "spec.storage.oss.bucket", s.OSS.Bucket, `^[0-9a-z]+(-[0-9a-z]+)*$`, "lower case letters, digits and -")
		oneOf(p, "spec.storage.oss.endpointAccessibility", s.OSS.EndpointAccessibility, "", "Internal", "Public")
	}
}

func validateS3(o registryv1.ImageRegistryConfigStorageS3, p *problems) {
	webAddress(p, "spec.storage.s3.regionEndpoint", o.RegionEndpoint)
	if c := o.ChunkSizeMiB; c != 0 && (c < 5 || c > 5120) {
		p.add("spec.storage.s3.chunkSizeMiB", "%d: want 5 to 5120", c)
	}
	if cf := o.CloudFront; cf != nil {
		webAddress(p, "spec.storage.s3.cloudFront.baseURL", cf.BaseURL)
	}
}

func validateAzure(o registryv1.ImageRegistryConfigStorageAzure, p *problems) {
	matches(p, "spec.storage.azure.container", o.Container, `^[0-9a-z]+(-[0-9a-z]+)*$`, "lower case letters, digits and -")
	if n := len(o.Container); n > 0 && (n < 3 || n > 63) {
		p.add("spec.storage.azure.container", "%q: want 3 to 63 characters", o.Container)
	}
	if n := o.NetworkAccess; n != nil {
		oneOf(p, "spec.storage.azure.networkAccess.type", n.Type, "", "Internal", "External")
		if n.Internal != nil && n.Type != registryv1.AzureNetworkAccessTypeInternal {
			p.add("spec.storage.azure.networkAccess.internal", "internal is forbidden when type is not Internal")
		}
	}
}

func itoa(i int) string { return strconv.Itoa(i) }
