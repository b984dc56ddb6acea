package object

import (
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"skerry.dev/skerry/blobstore"
)

// Certificates are one store's: another one, and the rest of the process, do not trust
// them, and the variable that the SDK has for them stays as it was.
func TestCertificatesAreOfOneStore(t *testing.T) {
	srv := httptest.NewTLSServer(http.NotFoundHandler())
	defer srv.Close()
	t.Setenv(caVariable, "")
	if err := os.Unsetenv(caVariable); err != nil {
		t.Fatal(err)
	}
	before := http.DefaultClient.Transport
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}))
	cfg := Config{Kind: S3, Bucket: "b", Endpoint: srv.URL, KeyID: "k", Key: "s", CA: ca}
	if err := Reach(t.Context(), cfg); !errors.Is(err, blobstore.ErrRefused) { // 404: it has been asked
		t.Errorf("with its certificate: %v", err)
	}
	if http.DefaultClient.Transport != before {
		t.Error("the whole process trusts the store's certificate")
	}
	cfg.CA = ""
	if err := Reach(t.Context(), cfg); !errors.Is(err, blobstore.ErrUnavailable) {
		t.Errorf("without its certificate: %v", err)
	}
	if _, set := os.LookupEnv(caVariable); set {
		t.Errorf("%s is left in the environment", caVariable)
	}
	cfg.CA = "no certificate"
	if err := Reach(t.Context(), cfg); !errors.Is(err, blobstore.ErrRefused) {
		t.Errorf("with what is no certificate: %v", err)
	}
}
