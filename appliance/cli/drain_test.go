package cli_test

import (
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// A stop in the middle of a push: the running upload is taken to its commit,
// while readiness says no and what is new is sent away.
func TestAStopLetsAnUploadFinish(t *testing.T) {
	p := launch(t, filepath.Join(t.TempDir(), "data"), nil, "--drain-timeout", "20s")
	up := p.open("drain/app")
	up.begin()
	p.signal(syscall.SIGTERM)
	p.eventually("readiness says no", func() bool {
		status, _, _ := p.do(http.MethodGet, "/readyz", nil)
		return status == http.StatusServiceUnavailable
	})
	if status, _, _ := p.do(http.MethodGet, "/livez", nil); status != http.StatusOK {
		t.Errorf("liveness: status %d while it drains", status)
	}
	if status, _, _ := p.do(http.MethodGet, "/token", nil); status != http.StatusOK {
		t.Errorf("a token for the rest of the push: status %d", status)
	}
	for _, path := range []string{"/v2/", "/v2/drain/app/tags/list", "/apis/skerry.dev/v1/status"} {
		status, head, body := p.do(http.MethodGet, path, nil)
		if status != http.StatusServiceUnavailable || head.Get("Retry-After") == "" || !strings.Contains(body, "try again") {
			t.Errorf("new request %s: status %d, Retry-After %q, %s", path, status, head.Get("Retry-After"), body)
		}
	}
	status, _, _ := p.do(http.MethodPost, "/v2/drain/app/blobs/uploads/", nil)
	if status != http.StatusServiceUnavailable {
		t.Errorf("new upload: status %d", status)
	}
	up.send(" second")
	if status := up.end(); status != http.StatusAccepted {
		t.Errorf("the upload's PATCH: status %d", status)
	}
	<-time.After(300 * time.Millisecond) // a client that computes its digest now
	d := digest.FromString(block + " second").String()
	if status, _, body := p.do(http.MethodPut, up.location+"?digest="+d, nil); status != http.StatusCreated {
		t.Errorf("the upload's commit: status %d: %s", status, body)
	}
	if err := p.ended(); err != nil {
		t.Errorf("end: %v", err)
	}
	p = launch(t, p.data, nil)
	if _, _, got := p.do(http.MethodGet, "/v2/drain/app/blobs/"+d, nil); got != block+" second" {
		t.Errorf("after the restart: %d bytes", len(got))
	}
}

// What does not end in time is cut, and goes on after the restart from where it was.
func TestAnUploadThatIsCutCanBeResumed(t *testing.T) {
	p := launch(t, filepath.Join(t.TempDir(), "data"), nil, "--drain-timeout", "300ms")
	up := p.open("drain/app")
	up.begin()
	up.send("XYZ") // too little to be written yet
	began := time.Now()
	p.signal(syscall.SIGTERM)
	if err := p.ended(); err != nil {
		t.Errorf("end: %v", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s to stop", took)
	}
	if !strings.Contains(p.log.String(), `msg="requests were cut off" public_requests=1`) {
		t.Error("the log does not say that a request was cut off")
	}
	p = launch(t, p.data, nil)
	up.p = p
	if got, want := up.has(), fmt.Sprintf("0-%d", len(block)+2); got != want {
		t.Fatalf("after the restart the upload has %q", got)
	}
	d := digest.FromString(block + "XYZ second").String()
	status, _, body := p.do(http.MethodPut, up.location+"?digest="+d, strings.NewReader(" second"))
	if status != http.StatusCreated {
		t.Errorf("commit: status %d: %s", status, body)
	}
}

// Who asks twice does not want to wait.
func TestASecondSignalEndsAtOnce(t *testing.T) {
	p := launch(t, filepath.Join(t.TempDir(), "data"), nil, "--drain-timeout", "1h")
	up := p.open("drain/app")
	up.begin()
	p.signal(syscall.SIGTERM)
	p.eventually("it drains", func() bool {
		status, _, _ := p.do(http.MethodGet, "/readyz", nil)
		return status == http.StatusServiceUnavailable
	})
	p.signal(syscall.SIGTERM)
	err := p.ended()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
		t.Errorf("end: %v, want by SIGTERM", err)
	}
	p = launch(t, p.data, nil)
	up.p = p
	if got, want := up.has(), fmt.Sprintf("0-%d", len(block)-1); got != want {
		t.Errorf("after the restart the upload has %q", got)
	}
}

// Without requests there is nothing to wait for.
func TestAnIdleStopIsQuick(t *testing.T) {
	p := launch(t, filepath.Join(t.TempDir(), "data"), nil)
	began := time.Now()
	p.signal(syscall.SIGTERM)
	if err := p.ended(); err != nil {
		t.Errorf("end: %v", err)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it took %s", took)
	}
}
