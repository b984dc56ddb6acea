package object

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"reflect"
	"sync"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/s3"
	s3driver "github.com/distribution/distribution/v3/registry/storage/driver/s3-aws"
)

// regionDefault signs requests to services that have no regions.
const regionDefault = "us-east-1"

func openS3(ctx context.Context, cfg Config) (backend, error) {
	client, err := clientS3(cfg)
	if err != nil {
		return backend{}, err
	}
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
	undo := func() {}
	if client != nil {
		undo = without(caVariable)
	}
	d, err := s3driver.FromParameters(ctx, params)
	undo()
	if err != nil {
		return backend{}, err
	}
	if err := ask(d, client); err != nil {
		return backend{}, err
	}
	return backend{StorageDriver: d, status: statusS3, atomic: true, abandoned: true}, nil
}

// caVariable names a file of certificates to the SDK. It has http.DefaultClient trust
// them, that is the whole process, and replaces them under the feet of who uses it when
// it opens the next session.
const caVariable = "AWS_CA_BUNDLE"

// clientS3 is a client of this store's own that trusts what cfg says, or the variable;
// nil is the SDK's: without certificates of its own, and where the SDK looks for
// credentials, too, for which it may need what the variable says.
func clientS3(cfg Config) (*http.Client, error) {
	file := cfg.CAFile
	if file == "" && cfg.CA == "" && cfg.KeyID != "" {
		environment.Lock()
		file = os.Getenv(caVariable)
		environment.Unlock()
	}
	text := []byte(cfg.CA)
	switch {
	case cfg.CA == "" && file == "":
		return nil, nil //nolint:nilnil // the SDK's
	case cfg.CA == "":
		var err error
		if text, err = os.ReadFile(file); err != nil {
			return nil, fmt.Errorf("read certificates: %w", err)
		}
	}
	defer without(caVariable)()
	client := new(http.Client)
	_, err := session.NewSessionWithOptions(session.Options{ // which is how the SDK makes a client trust them
		Config: *aws.NewConfig().WithHTTPClient(client), CustomCABundle: bytes.NewReader(text),
	})
	return client, err
}

// ask has the driver, which takes no client, ask with this one.
func ask(d *s3driver.Driver, client *http.Client) error {
	if client == nil {
		return nil
	}
	if v := reflect.Indirect(reflect.ValueOf(d.StorageDriver)); v.Kind() == reflect.Struct {
		if field := v.FieldByName("S3"); field.IsValid() {
			if service, ok := field.Interface().(*s3.S3); ok {
				service.Config.HTTPClient = client
				return nil
			}
		}
	}
	return errors.New("distribution's driver is not what it was: it has no S3")
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

// without takes a variable out of the environment until undo is called.
func without(variable string) (undo func()) {
	environment.Lock()
	before, was := os.LookupEnv(variable)
	_ = os.Unsetenv(variable) // fails for no name that is written here
	return func() {
		if was {
			_ = os.Setenv(variable, before)
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
