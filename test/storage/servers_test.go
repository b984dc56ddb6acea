//go:build storage

package storage

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"

	"skerry.dev/skerry/blobstore/object"
)

const (
	bucket    = "images"
	accessKey = "skerry"
	secretKey = "a secret that is long enough"
	// Azurite's own account and key, which its documentation names.
	azureAccount = "devstoreaccount1"
	azureKey     = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)

// A place is an object store with an empty bucket.
type place struct {
	cfg   object.Config // all but Staging
	proxy *proxy        // what stands before the server
	ca    string        // file with what signs the server's certificate; "" without TLS
	dir   string        // where the server keeps its files; "" if a test cannot read them
}

// places start a server each.
var places = []struct {
	name string
	open func(*testing.T) *place
}{
	{"s3", openS3},
	{"gcs", openGCS},
	{"azure", openAzure},
}

// onEach runs a test against every kind of store.
func onEach(t *testing.T, test func(*testing.T, *place)) {
	t.Helper()
	for _, p := range places {
		t.Run(p.name, func(t *testing.T) { test(t, p.open(t)) })
	}
}

func openS3(t *testing.T) *place {
	t.Helper()
	dir, addr := t.TempDir(), freeAddr(t)
	if err := os.Mkdir(filepath.Join(dir, bucket), 0o700); err != nil {
		t.Fatal(err)
	}
	run(t, addr, "versitygw", "--port", addr, "--access", accessKey, "--secret", secretKey, "--quiet",
		"posix", "--sidecar", t.TempDir(), dir)
	p := startProxy(t, addr)
	return &place{proxy: p, dir: dir, cfg: object.Config{
		Kind: object.S3, Bucket: bucket, Endpoint: p.url, KeyID: accessKey, Key: secretKey,
	}}
}

func openGCS(t *testing.T) *place {
	t.Helper()
	addr := freeAddr(t)
	host, port, _ := net.SplitHostPort(addr)
	p := startProxy(t, addr)
	run(t, addr, "fake-gcs-server", "-scheme", "http", "-host", host, "-port", port, "-backend", "memory",
		"-public-host", strings.TrimPrefix(p.url, "http://"), "-external-url", p.url, "-log-level", "error")
	post(t, http.DefaultClient, p.url+"/storage/v1/b?project=test", `{"name":"`+bucket+`"}`)
	return &place{proxy: p, cfg: object.Config{
		Kind: object.GCS, Bucket: bucket, Endpoint: p.url, KeyFile: serviceAccount(t),
	}}
}

func openAzure(t *testing.T) *place {
	t.Helper()
	addr := runAzurite(t)
	p := startProxy(t, addr)
	makeContainer(t, p.url, http.DefaultClient)
	return &place{proxy: p, cfg: azureConfig(p.url)}
}

func openAzureTLS(t *testing.T) *place {
	t.Helper()
	cert, key := certificate(t)
	url := "https://" + runAzurite(t, "--cert", cert, "--key", key)
	makeContainer(t, url, trusting(t, cert))
	return &place{ca: cert, cfg: azureConfig(url)}
}

func azureConfig(url string) object.Config {
	return object.Config{
		Kind: object.Azure, Bucket: bucket, Endpoint: url + "/" + azureAccount, Account: azureAccount, Key: azureKey,
	}
}

func runAzurite(t *testing.T, args ...string) (addr string) {
	t.Helper()
	addr = freeAddr(t)
	host, port, _ := net.SplitHostPort(addr)
	run(t, addr, "azurite-blob", append(args, "--blobHost", host, "--blobPort", port, "--silent",
		"--skipApiVersionCheck", "--disableTelemetry", "--location", t.TempDir())...)
	return addr
}

func makeContainer(t *testing.T, url string, by *http.Client) {
	t.Helper()
	endpoint := url + "/" + azureAccount
	credential, err := azblob.NewSharedKeyCredential(azureAccount, azureKey)
	if err != nil {
		t.Fatal(err)
	}
	client, err := azblob.NewClientWithSharedKeyCredential(endpoint, credential,
		&azblob.ClientOptions{ClientOptions: azcore.ClientOptions{Transport: by}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.CreateContainer(t.Context(), bucket, nil); err != nil {
		t.Fatalf("create container: %v", err)
	}
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// run starts a server, waits until it listens at addr, and ends it with the test.
func run(t *testing.T, addr, program string, args ...string) {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatalf("%v: make storage installs it", err)
	}
	var log bytes.Buffer
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // a test that panics cannot clean up
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // ends with the process
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		if err := <-ended; t.Failed() {
			t.Logf("%s ended: %v\n%s", program, err, log.Bytes()[max(0, log.Len()-4096):])
		}
	})
	if err := listening(t.Context(), addr, ended); err != nil {
		ended <- err
		t.Fatalf("%s: %v", program, err)
	}
}

func listening(ctx context.Context, addr string, ended <-chan error) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			return c.Close()
		}
		select {
		case err := <-ended:
			return fmt.Errorf("ended: %w", err)
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		}
	}
}

func post(t *testing.T, by *http.Client, url, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := by.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("post %s: %s", url, resp.Status)
	}
}

// secretName is not to be guessed.
func secretName() string { return strings.ToLower(rand.Text()) }
