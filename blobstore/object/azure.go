package object

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/distribution/distribution/v3/registry/storage/driver"
	azuredriver "github.com/distribution/distribution/v3/registry/storage/driver/azure"
)

// A blob is named by a copy inside the account, which is asked for until it is done:
// after 100, 200, 300 … ms.
const (
	copyPolls = 70 // four minutes
	copyPause = "100ms"
)

func openAzure(ctx context.Context, cfg Config) (backend, error) {
	credentials := map[string]any{"type": azuredriver.CredentialsTypeDefault}
	if cfg.Key != "" {
		credentials["type"] = azuredriver.CredentialsTypeSharedKey
	}
	all := map[string]any{
		"container": cfg.Bucket, "rootdirectory": rooted(cfg.Prefix),
		"accountname": cfg.Account, "accountkey": cfg.Key, "credentials": credentials,
		"serviceurl": cfg.Endpoint, "max_retries": copyPolls, "retry_delay": copyPause,
	}
	if cfg.Realm != "" {
		all["realm"] = cfg.Realm
	}
	params, err := azuredriver.NewParameters(all)
	if err != nil {
		return backend{}, err
	}
	d, err := azuredriver.New(ctx, params)
	if err != nil {
		return backend{}, err
	}
	return backend{StorageDriver: d, status: statusAzure}, nil
}

func statusAzure(err error) (code int, text string) {
	var answer *azcore.ResponseError
	if errors.As(err, &answer) {
		return answer.StatusCode, fmt.Sprintf("%s (%d)", answer.ErrorCode, answer.StatusCode)
	}
	if missing(err) || errors.As(err, new(driver.InvalidPathError)) {
		return 0, err.Error()
	}
	return http.StatusServiceUnavailable, err.Error()
}
