package appliance

import (
	"cmp"
	"errors"
	"strconv"

	"skerry.dev/skerry/kube/resource"
	"skerry.dev/skerry/meta"
)

// wanted is the place that spec.storage asks for, and what keeps it from being used.
func (a *Appliance) wanted() (p place, lacks string, err error) {
	c, err := a.inForce()
	if err != nil {
		return place{}, "", err
	}
	return a.placeOf(c.Storage)
}

// placeOf is what spec.storage comes to with the Secret and the ConfigMap that it
// refers to. What it has no fields for, the settings say: the prefix, and the endpoint
// of GCS and Azure.
func (a *Appliance) placeOf(spec resource.Storage) (p place, lacks string, err error) {
	if spec.Local() {
		return settled(Storage{Kind: StorageLocal}), "", nil
	}
	secret, err := a.secret(resource.StorageSecret)
	if err != nil && !errors.Is(err, meta.ErrNotFound) {
		return place{}, "", err
	}
	data, err := a.configMap(spec.TrustedCA)
	if err != nil && !errors.Is(err, meta.ErrNotFound) {
		return place{}, "", err
	}
	full, ca := spec.With(secret).Trusting(data)
	if lacks := full.Lacks(); lacks != "" {
		return place{storage: Storage{Kind: StorageKind(full.Driver)}, kind: full.Kind}, lacks, nil
	}
	get := full.Parameters
	chunk, _ := strconv.ParseInt(get["chunksize"], 10, 64) // 0 is the driver's own
	s := Storage{
		Kind: StorageKind(full.Driver), Bucket: cmp.Or(get["bucket"], get["container"]), Prefix: a.cfg.Storage.Prefix,
		Region: get["region"], Endpoint: get["regionendpoint"], Account: get["accountname"], Realm: get["realm"],
		KeyID: get["accesskey"], Key: cmp.Or(get["secretkey"], get["accountkey"], get["keyfile"]), CA: ca,
		Encrypt: get["encrypt"] == "true", KMSKey: get["keyid"], VirtualHosted: get["forcepathstyle"] == "false",
		ChunkMiB: int(chunk >> 20),
	}
	if s.Kind != StorageS3 {
		s.Endpoint = a.cfg.Storage.Endpoint
	}
	p = settled(s)
	p.kind, p.trustedCA = full.Kind, full.TrustedCA
	return p, "", nil
}

// applied is p in the words of spec.storage, for its status.
func (p place) applied() resource.Storage {
	s := p.storage
	applied := resource.Storage{
		Kind: p.kind, TrustedCA: p.trustedCA, Encrypted: s.Kind != StorageS3 || p.kind != "S3" || s.Encrypt,
		Parameters: map[string]string{
			"bucket": s.Bucket, "container": s.Bucket, "region": s.Region, "regionendpoint": s.Endpoint,
			"accountname": s.Account, "realm": s.Realm, "keyid": s.KMSKey,
			"chunksize": strconv.Itoa(s.ChunkMiB << 20), "forcepathstyle": strconv.FormatBool(!s.VirtualHosted),
		},
	}
	if p.absent != nil {
		applied.Encrypted = false // nobody can say
	}
	return applied
}
