package object

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"

	"github.com/aws/aws-sdk-go/aws/awserr"
	s3driver "github.com/distribution/distribution/v3/registry/storage/driver/s3-aws"
)

// regionDefault signs requests to services that have no regions.
const regionDefault = "us-east-1"

func openS3(ctx context.Context, cfg Config) (backend, error) {
	file := cfg.CAFile
	if cfg.CA != "" {
		f, err := inMemory("ca", cfg.CA)
		if err != nil {
			return backend{}, err
		}
		defer f.Close()
		file = fileOf(f)
	}
	defer withCA(file)()
	params := map[string]any{
		"bucket": cfg.Bucket, "rootdirectory": rooted(cfg.Prefix),
		"regionendpoint": cfg.Endpoint, "region": cfg.Region,
		"accesskey": cfg.KeyID, "secretkey": cfg.Key,
		"forcepathstyle": !cfg.VirtualHosted,
		"encrypt":        cfg.Encrypt,
		"chunksize":      cfg.ChunkBytes,
	}
	if cfg.Endpoint != "" {
		params["region"] = cmp.Or(cfg.Region, regionDefault)
	}
	if cfg.Encrypt {
		params["keyid"] = cfg.KMSKey
	}
	d, err := s3driver.FromParameters(ctx, params)
	if err != nil {
		return backend{}, err
	}
	return backend{StorageDriver: d, status: statusS3, atomic: true, abandoned: true}, nil
}

// rooted is a prefix as the drivers want it.
func rooted(prefix string) string {
	if prefix == "" {
		return ""
	}
	return "/" + prefix
}

// environment is held while the environment says what the driver cannot be told.
//
//nolint:gochecknoglobals // it guards what belongs to the process
var environment sync.Mutex

// withCA has sessions of the SDK trust file until undo is called. The driver takes no
// certificates, and the SDK takes them from its variable.
func withCA(file string) (undo func()) {
	const variable = "AWS_CA_BUNDLE"
	if file == "" {
		return func() {}
	}
	environment.Lock()
	before, was := os.LookupEnv(variable)
	_ = os.Setenv(variable, file) // fails for no name that is written here
	return func() {
		if was {
			_ = os.Setenv(variable, before)
		} else {
			_ = os.Unsetenv(variable)
		}
		environment.Unlock()
	}
}

func statusS3(err error) (code int, text string) {
	var answer awserr.RequestFailure
	var other awserr.Error
	switch {
	case errors.As(err, &answer):
		return answer.StatusCode(), fmt.Sprintf("%s (%d): %s",
			answer.Code(), answer.StatusCode(), cmp.Or(answer.Message(), http.StatusText(answer.StatusCode())))
	case errors.As(err, &other) && other.Code() == "NoCredentialProviders":
		return http.StatusUnauthorized, "no credentials: give storage-key-id and storage-key"
	case errors.As(err, &other):
		text = other.Message()
		if cause := other.OrigErr(); cause != nil {
			text = cause.Error()
		}
		return http.StatusServiceUnavailable, text
	}
	return 0, err.Error()
}
