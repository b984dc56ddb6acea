package cli_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/rogpeppe/go-internal/testscript"
)

// exits runs a command that must end with a code: exits CODE COMMAND…
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := err.(*exec.ExitError) //nolint:errorlint // Exec returns it bare
		if !ok {
			ts.Fatalf("run %v: %v", args[1:], err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("%v: exit code %d, want %d", args[1:], got, want)
	}
}

// uncomment copies a file of the form of config example with every key in
// force: uncomment FROM TO.
func uncomment(ts *testscript.TestScript, _ bool, args []string) {
	all := regexp.MustCompile(`(?m)^#([a-z])`).ReplaceAllString(ts.ReadFile(args[0]), "$1")
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(all), 0o600))
}

// served finds the address in the log line of a registry that is up.
var served = regexp.MustCompile(`msg=serving addr=(\S+)`)

// serving starts a registry over plain HTTP on loopback and waits until it is
// up: serving DATA [FLAG…]. $ADDR is its address. It ends with the script.
func serving(ts *testscript.TestScript, _ bool, args []string) {
	log := ts.MkAbs("serve.log")
	f, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	ts.Check(err)
	from, err := f.Seek(0, 2)
	ts.Check(err)
	bin, err := exec.LookPath("skerry")
	ts.Check(err)
	flags := append([]string{
		"serve", "--data", ts.MkAbs(args[0]), "--listen", "127.0.0.1:0", "--tls", "off",
		"--disk-soft", "100", "--disk-high", "100", "--disk-critical", "100", // however full this machine's disk is
	}, args[1:]...)
	cmd := exec.Command(bin, flags...)
	cmd.Stderr = f
	ts.Check(cmd.Start())
	ts.Defer(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		_ = f.Close()
	})
	for range 500 {
		b, err := os.ReadFile(log)
		ts.Check(err)
		if m := served.FindSubmatch(b[from:]); m != nil {
			ts.Setenv("ADDR", string(m[1]))
			return
		}
		time.Sleep(10 * time.Millisecond) //nolint:forbidigo // another process: its log is all there is to wait for
	}
	b, _ := os.ReadFile(log)
	ts.Fatalf("the registry did not come up:\n%s", b)
}

// fingerprint computes that of a CA's certificate by itself: fingerprint FILE.
// $FINGERPRINT is what it found.
func fingerprint(ts *testscript.TestScript, _ bool, args []string) {
	block, _ := pem.Decode([]byte(ts.ReadFile(args[0])))
	if block == nil {
		ts.Fatalf("no PEM in %s", args[0])
	}
	ts.Setenv("FINGERPRINT", fmt.Sprintf("sha256:%x", sha256.Sum256(block.Bytes)))
}

// push pushes a small image of which the name is the content:
// push DATA REPOSITORY:TAG CONTENT. $DIGEST is the manifest's digest.
func push(ts *testscript.TestScript, _ bool, args []string) {
	repo, tag, _ := strings.Cut(args[1], ":")
	base := "http://" + ts.Getenv("ADDR") + "/v2/" + repo
	password := strings.TrimSpace(ts.ReadFile(args[0] + "/admin-password"))
	send := func(method, url, kind string, body []byte) {
		req, err := http.NewRequest(method, url, bytes.NewReader(body))
		ts.Check(err)
		req.SetBasicAuth("admin", password)
		req.Header.Set("Content-Type", kind)
		resp, err := http.DefaultClient.Do(req)
		ts.Check(err)
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusCreated {
			ts.Fatalf("%s %s: %s", method, url, resp.Status)
		}
	}
	blob := []byte(args[2])
	d := digest.FromBytes(blob)
	send("POST", base+"/blobs/uploads/?digest="+d.String(), "application/octet-stream", blob)
	const mt = "application/vnd.oci.image.manifest.v1+json"
	m := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.oci.empty.v1+json",`+
		`"digest":%q,"size":%d},"layers":[]}`, mt, d, len(blob))
	send("PUT", base+"/manifests/"+tag, mt, m)
	ts.Setenv("DIGEST", digest.FromBytes(m).String())
	ts.Setenv("BLOB", d.String())
}
