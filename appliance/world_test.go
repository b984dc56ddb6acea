package appliance_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/appliance"
)

const manifestType = "application/vnd.oci.image.manifest.v1+json"

// A node is a running appliance, spoken to over plain HTTP on loopback.
type node struct {
	t        *testing.T
	a        *appliance.Appliance // the first; after a reopening another one runs
	url      string
	metrics  string // URL of the listener for scrapers, if any
	password string
	data     string
	stop     func()
	fails    bool // the run is to end with an error
}

// start runs an appliance until stop or the end of the test.
func start(t *testing.T, cfg appliance.Config) *node {
	t.Helper()
	if cfg.DiskHigh == 0 { // however full this machine's disk is
		cfg.DiskSoft, cfg.DiskHigh, cfg.DiskCritical = 100, 100, 100
	}
	cfg.Listen, cfg.TLS, cfg.Node = "127.0.0.1:0", cmp.Or(cfg.TLS, appliance.TLSOff), "test"
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	a, err := appliance.Open(t.Context(), cfg, log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	last := a
	go func() { // ended by stop
		err := last.Run(ctx)
		for errors.Is(err, appliance.ErrReopen) {
			next, failed := last.Reopen(ctx)
			if failed != nil {
				err = failed
				break
			}
			last, err = next, next.Run(ctx)
		}
		done <- err
	}()
	n := &node{t: t, a: a, url: "http://" + a.Addr().String(), data: cfg.Data}
	if addr := a.MetricsAddr(); addr != nil {
		n.metrics = "http://" + addr.String()
	}
	stopped := false
	n.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		http.DefaultClient.CloseIdleConnections()
		if err := <-done; (err != nil) != n.fails {
			t.Errorf("run: %v", err)
		}
		if err := last.Close(); (err != nil) != n.fails {
			t.Errorf("close: %v", err)
		}
	}
	t.Cleanup(n.stop)
	b, err := os.ReadFile(filepath.Join(cfg.Data, "admin-password"))
	if err != nil {
		t.Fatal(err)
	}
	n.password = strings.TrimSpace(string(b))
	return n
}

// do sends one request and returns status and body.
func (n *node) do(method, path, kind string, body []byte) (int, string) {
	n.t.Helper()
	req, err := http.NewRequestWithContext(n.t.Context(), method, n.url+path, bytes.NewReader(body))
	if err != nil {
		n.t.Fatal(err)
	}
	req.SetBasicAuth("admin", n.password)
	req.Header.Set("Content-Type", kind)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		n.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		n.t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// want fails the test unless the answer has a status.
func (n *node) want(status int, method, path, kind string, body []byte) string {
	n.t.Helper()
	got, answer := n.do(method, path, kind, body)
	if got != status {
		n.t.Fatalf("%s %s: status %d, want %d: %s", method, path, got, status, answer)
	}
	return answer
}

// status is what the control API says of the registry.
func (n *node) status() string {
	n.t.Helper()
	return n.want(http.StatusOK, http.MethodGet, "/apis/skerry.dev/v1/status", "", nil)
}

func blobPath(repo string, content []byte) string {
	return "/v2/" + repo + "/blobs/" + digest.FromBytes(content).String()
}

// putBlob returns the status of a push of one blob.
func (n *node) putBlob(repo string, content []byte) (int, string) {
	n.t.Helper()
	path := "/v2/" + repo + "/blobs/uploads/?digest=" + digest.FromBytes(content).String()
	return n.do(http.MethodPost, path, "application/octet-stream", content)
}

// push pushes an image of one blob.
func (n *node) push(repo, tag string, content []byte) {
	n.t.Helper()
	if status, answer := n.putBlob(repo, content); status != http.StatusCreated {
		n.t.Fatalf("push blob: status %d: %s", status, answer)
	}
	n.want(http.StatusCreated, http.MethodPut, "/v2/"+repo+"/manifests/"+tag, manifestType, manifestOf(content))
}

func manifestOf(content []byte) []byte {
	return fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.oci.empty.v1+json",`+
		`"digest":%q,"size":%d},"layers":[]}`, manifestType, digest.FromBytes(content), len(content))
}

// disk mounts a small file system of its own for a data directory.
func disk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Fatalf("mount a small tmpfs (this test needs to be root): %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return filepath.Join(dir, "data")
}
