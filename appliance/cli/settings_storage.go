package cli

import (
	"skerry.dev/skerry/appliance"
	"skerry.dev/skerry/appliance/setting"
)

// storageSettings are where blobs are kept.
func storageSettings(s *appliance.Storage) setting.Table {
	return setting.Table{
		{
			Key:     "storage",
			Meaning: "`MEDIUM` of blobs: s3, gcs or azure; local is the data directory, or what the Config object says",
			Value: setting.Choice(&s.Kind,
				appliance.StorageLocal, appliance.StorageS3, appliance.StorageGCS, appliance.StorageAzure),
		},
		{
			Key: "storage-bucket", Value: setting.Text(&s.Bucket),
			Meaning: "`BUCKET`, or Azure's container, that exists",
		},
		{
			Key: "storage-prefix", Value: setting.Text(&s.Prefix),
			Meaning: "`DIR` in the bucket that this registry has for itself",
		},
		{
			Key: "storage-region", Value: setting.Text(&s.Region),
			Meaning: "`REGION` of S3",
		},
		{
			Key: "storage-endpoint", Value: setting.Text(&s.Endpoint), Default: "the provider's own",
			Meaning: "`URL` of the object store",
		},
		{
			Key: "storage-account", Value: setting.Text(&s.Account),
			Meaning: "storage `ACCOUNT` of Azure",
		},
		{
			Key: "storage-key-id", Value: setting.Text(&s.KeyID), Default: "what the machine and its environment have",
			Meaning: "access key `ID` for S3",
		},
		{
			Key: "storage-key", Value: setting.Text(&s.Key), Secret: true,
			Meaning: "secret access `KEY` for S3, or Azure's account key",
		},
		{
			Key: "storage-key-file", Value: setting.Text(&s.KeyFile),
			Meaning: "`FILE` with that key; with the service account's JSON for GCS",
		},
		{
			Key: "storage-ca-file", Value: setting.Text(&s.CAFile), Default: "what the system trusts",
			Meaning: "`FILE` with the CA certificates of S3",
		},
		{
			Key: "storage-virtual-hosted", Value: setting.OnOff(&s.VirtualHosted),
			Meaning: "put S3's bucket into the host name instead of the path",
		},
		{
			Key: "storage-encrypt", Value: setting.OnOff(&s.Encrypt),
			Meaning: "ask S3 to encrypt what it stores",
		},
		{
			Key: "storage-kms-key", Value: setting.Text(&s.KMSKey), Default: "one of S3's",
			Meaning: "`ID` of the key that S3 encrypts with",
		},
		{
			Key: "storage-chunk-mib", Value: setting.Number(&s.ChunkMiB), Default: "10", Rare: true,
			Meaning: "size, in `MIB`, of the pieces in which large blobs are sent; each of 8 at a time needs the memory",
		},
		{
			Key: "storage-disable-redirect", Value: setting.OnOff(&s.DisableRedirect), Live: true,
			Meaning: "send all bytes through the registry instead of sending clients to the object store",
		},
	}
}
