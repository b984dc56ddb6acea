package object

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"

	"cloud.google.com/go/storage"
	"github.com/distribution/distribution/v3/registry/storage/driver"
	gcsdriver "github.com/distribution/distribution/v3/registry/storage/driver/gcs"
	"golang.org/x/oauth2"
	"google.golang.org/api/googleapi"
)

const (
	// emulator is the variable by which Google's library is told of another server.
	emulator = "STORAGE_EMULATOR_HOST"
	// gcsChunkUnit is what GCS counts pieces in.
	gcsChunkUnit = 256 << 10
)

func openGCS(ctx context.Context, cfg Config) (backend, error) {
	params := map[string]any{
		"bucket": cfg.Bucket, "rootdirectory": cfg.Prefix,
		"chunksize": cfg.ChunkBytes / gcsChunkUnit * gcsChunkUnit,
	}
	if cfg.KeyFile != "" {
		params["keyfile"] = cfg.KeyFile
	}
	if cfg.Key != "" {
		f, err := inMemory("key", cfg.Key)
		if err != nil {
			return backend{}, err
		}
		defer f.Close()
		params["keyfile"] = fileOf(f)
	}
	client := &http.Client{Transport: http.DefaultTransport}
	if cfg.Endpoint != "" {
		to, err := url.Parse(cfg.Endpoint)
		if err != nil {
			return backend{}, err
		}
		defer withEmulator(cfg.Endpoint)()
		client.Transport = elsewhere{to, http.DefaultTransport}
	}
	// The driver's clients outlive ctx, and take this one for what they send themselves.
	ctx = context.WithValue(context.WithoutCancel(ctx), oauth2.HTTPClient, client)
	d, err := gcsdriver.FromParameters(ctx, params)
	if err != nil {
		return backend{}, err
	}
	return backend{StorageDriver: d, status: statusGCS}, nil
}

// withEmulator has clients of Google's library ask endpoint until undo is called: the
// driver takes none.
func withEmulator(endpoint string) (undo func()) {
	environment.Lock()
	before, was := os.LookupEnv(emulator)
	_ = os.Setenv(emulator, endpoint) // fails for no name that is written here
	return func() {
		if was {
			_ = os.Setenv(emulator, before)
		} else {
			_ = os.Unsetenv(emulator)
		}
		environment.Unlock()
	}
}

// elsewhere sends to another server what the driver, which knows one address for
// uploads in pieces, would send to Google's.
type elsewhere struct {
	to   *url.URL
	base http.RoundTripper
}

// RoundTrip implements [http.RoundTripper].
func (e elsewhere) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host == "www.googleapis.com" {
		r = r.Clone(r.Context())
		r.URL.Scheme, r.URL.Host, r.Host = e.to.Scheme, e.to.Host, e.to.Host
	}
	return e.base.RoundTrip(r)
}

func statusGCS(err error) (code int, text string) {
	var answer *googleapi.Error
	var token *oauth2.RetrieveError
	switch {
	case errors.As(err, &answer):
		return answer.Code, fmt.Sprintf("%s (%d)", answer.Message, answer.Code)
	case errors.As(err, &token) && token.Response != nil:
		return token.Response.StatusCode, fmt.Sprintf("no token (%d): %s", token.Response.StatusCode, token.ErrorDescription)
	case errors.Is(err, storage.ErrBucketNotExist):
		return http.StatusNotFound, err.Error()
	case missing(err), errors.As(err, new(driver.InvalidPathError)):
		return 0, err.Error()
	}
	return http.StatusServiceUnavailable, err.Error()
}
