package appliance_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"skerry.dev/skerry/appliance"
	"skerry.dev/skerry/appliance/api"
)

const (
	configPath = "/apis/imageregistry.operator.openshift.io/v1/configs/cluster"
	imagePath  = "/apis/config.openshift.io/v1/images/cluster"
	configHead = "apiVersion: imageregistry.operator.openshift.io/v1\nkind: Config\nmetadata: {name: cluster}\n"
)

// tryApply returns what came of an apply.
func (n *node) tryApply(doc string, dryRun bool) (int, api.Applied, string) {
	n.t.Helper()
	body, err := json.Marshal(api.ApplyRequest{Document: doc, DryRun: dryRun})
	if err != nil {
		n.t.Fatal(err)
	}
	status, answer := n.do(http.MethodPost, api.Prefix+"/objects/apply", "application/json", body)
	var a api.Applied
	if status == http.StatusOK {
		if err := json.Unmarshal([]byte(answer), &a); err != nil {
			n.t.Fatal(err)
		}
	}
	return status, a, answer
}

func (n *node) apply(doc string) api.Applied {
	n.t.Helper()
	status, a, answer := n.tryApply(doc, false)
	if status != http.StatusOK {
		n.t.Fatalf("apply: status %d: %s", status, answer)
	}
	return a
}

// config applies a Config with a spec in YAML's flow style.
func (n *node) config(spec string) api.Applied {
	n.t.Helper()
	return n.apply(configHead + "spec: " + spec)
}

// condition is one of the Config's.
func (n *node) condition(kind string) api.Condition {
	n.t.Helper()
	var s api.Status
	if err := json.Unmarshal([]byte(n.status()), &s); err != nil {
		n.t.Fatal(err)
	}
	for _, c := range s.Conditions {
		if c.Type == kind {
			return c
		}
	}
	n.t.Fatalf("no condition %s in %+v", kind, s.Conditions)
	return api.Condition{}
}

func (n *node) wantCondition(kind, status, reason string) api.Condition {
	n.t.Helper()
	c := n.condition(kind)
	if c.Status != status || c.Reason != reason {
		n.t.Errorf("%s is %s/%s, want %s/%s: %s", kind, c.Status, c.Reason, status, reason, c.Message)
	}
	return c
}

func newNode(t *testing.T) *node {
	t.Helper()
	return start(t, appliance.Config{Data: filepath.Join(t.TempDir(), "data")})
}

func TestReadOnlyTakesEffectAtOnce(t *testing.T) {
	n := newNode(t)
	n.push("ro/app", "1", []byte("before"))
	n.config("{managementState: Managed, replicas: 1, readOnly: true}")
	if status, _ := n.putBlob("ro/app", []byte("after")); status != http.StatusMethodNotAllowed {
		t.Errorf("push: status %d, want 405", status)
	}
	n.want(http.StatusMethodNotAllowed, http.MethodDelete, "/v2/ro/app/manifests/1", "", nil)
	n.want(http.StatusOK, http.MethodGet, "/v2/ro/app/manifests/1", "", nil)
	n.want(http.StatusServiceUnavailable, http.MethodGet, "/readyz/writes", "", nil)
	n.wantCondition("Degraded", "False", "") // it was asked for
	n.config("{managementState: Managed, replicas: 1}")
	n.push("ro/app", "2", []byte("after"))
}

// Removed refuses service in words, keeps everything, and is undone at once;
// it outlives a restart.
func TestRemovedRefusesAndKeeps(t *testing.T) {
	n := newNode(t)
	n.push("gone/app", "1", []byte("kept"))
	n.config("{managementState: Removed, replicas: 1}")
	check := func() {
		t.Helper()
		answer := n.want(http.StatusServiceUnavailable, http.MethodGet, "/v2/gone/app/manifests/1", "", nil)
		if !strings.Contains(answer, `"code":"UNAVAILABLE"`) || !strings.Contains(answer, "its data stays") {
			t.Errorf("answer %s", answer)
		}
		n.want(http.StatusServiceUnavailable, http.MethodGet, "/v2/", "", nil)
		n.want(http.StatusServiceUnavailable, http.MethodGet, "/readyz", "", nil)
		n.want(http.StatusOK, http.MethodGet, "/livez", "", nil)
		n.wantCondition("Removed", "True", "Removed")
		n.wantCondition("Available", "True", "Removed")
		image := n.want(http.StatusOK, http.MethodGet, imagePath, "", nil)
		if strings.Contains(image, "internalRegistryHostname") {
			t.Errorf("a removed registry has a host name: %s", image)
		}
	}
	check()
	n.stop()
	n = start(t, appliance.Config{Data: n.data})
	check()
	n.config("{managementState: Managed, replicas: 1, defaultRoute: true}")
	n.want(http.StatusOK, http.MethodGet, "/v2/gone/app/manifests/1", "", nil)
	n.wantCondition("Removed", "False", "")
	image := n.want(http.StatusOK, http.MethodGet, imagePath, "", nil)
	host := "test:" + n.url[strings.LastIndex(n.url, ":")+1:]
	for _, want := range []string{`"internalRegistryHostname":"` + host, `"externalRegistryHostnames":["` + host} {
		if !strings.Contains(image, want) {
			t.Errorf("no %s in %s", want, image)
		}
	}
}

// While the object is Unmanaged, what it said before holds: across changes of
// it and a restart.
func TestUnmanagedGoesOnAsItWas(t *testing.T) {
	n := newNode(t)
	n.config("{managementState: Managed, replicas: 1, readOnly: true}")
	n.config("{managementState: Unmanaged, replicas: 1}")
	n.config("{managementState: Unmanaged, replicas: 1, readOnly: false, logLevel: Debug}")
	check := func() {
		t.Helper()
		if status, _ := n.putBlob("un/app", []byte("x")); status != http.StatusMethodNotAllowed {
			t.Errorf("push: status %d, want 405 as before", status)
		}
		n.wantCondition("Available", "True", "Unmanaged")
		n.wantCondition("Degraded", "False", "Unmanaged")
	}
	check()
	n.stop()
	n = start(t, appliance.Config{Data: n.data})
	check()
	n.config("{managementState: Managed, replicas: 1}")
	n.push("un/app", "1", []byte("x"))
}

// upload sends a chunk that does not end, until finish is called, which returns
// the status.
func (n *node) upload() (finish func() int) {
	n.t.Helper()
	location := n.session()
	body, more := io.Pipe()
	req, err := http.NewRequestWithContext(n.t.Context(), http.MethodPatch, n.url+location, body)
	if err != nil {
		n.t.Fatal(err)
	}
	req.SetBasicAuth("admin", n.password)
	req.Header.Set("Content-Type", "application/octet-stream")
	status := make(chan int, 1)
	go func() { // ends with the request, which finish ends
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			n.t.Error(err)
			status <- 0
			return
		}
		_ = resp.Body.Close()
		status <- resp.StatusCode
	}()
	return func() int {
		_ = more.Close()
		return <-status
	}
}

// session opens an upload and returns where it goes on.
func (n *node) session() string {
	n.t.Helper()
	resp := n.post("/v2/lim/app/blobs/uploads/")
	if resp.StatusCode != http.StatusAccepted {
		n.t.Fatalf("open upload: status %d", resp.StatusCode)
	}
	u, err := resp.Location()
	if err != nil {
		n.t.Fatal(err)
	}
	return u.RequestURI()
}

func (n *node) post(path string) *http.Response {
	req, err := http.NewRequestWithContext(n.t.Context(), http.MethodPost, n.url+path, nil)
	if err != nil {
		n.t.Error(err)
		return &http.Response{}
	}
	req.SetBasicAuth("admin", n.password)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		n.t.Error(err)
		return &http.Response{}
	}
	_ = resp.Body.Close()
	return resp
}

// Reads and writes have limits of their own, and a long upload counts as long as
// it takes; what waits is served, what is too much is refused, and probes are
// outside.
func TestABurstBeyondTheLimitsIsRefused(t *testing.T) {
	const running, queued, more = 2, 3, 4
	n := newNode(t)
	n.config(fmt.Sprintf("{managementState: Managed, replicas: 1, requests: {write: {maxRunning: %d, maxInQueue: %d}}}",
		running+1, queued)) // one more, for the uploads to be opened beside the first
	var finish []func() int
	for range running {
		finish = append(finish, n.upload())
	}
	inside := func(running, waiting int) func() bool {
		return func() bool {
			r, w := n.a.Writes()
			return r == running && w == waiting
		}
	}
	eventually(t, "the uploads run", inside(running, 0))
	finish = append(finish, n.upload())
	eventually(t, "so does one more", inside(running+1, 0))

	answers := make(chan *http.Response, queued+more)
	var burst sync.WaitGroup
	send := func() { burst.Go(func() { answers <- n.post("/v2/lim/app/blobs/uploads/") }) }
	for range queued {
		send()
	}
	eventually(t, "the queue is full", inside(running+1, queued))
	for range more {
		send()
	}
	for range more {
		resp := <-answers
		if resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") != "1" {
			t.Errorf("status %d, Retry-After %q; want 429 and 1", resp.StatusCode, resp.Header.Get("Retry-After"))
		}
	}
	n.want(http.StatusOK, http.MethodGet, "/v2/", "", nil) // reads are apart
	n.want(http.StatusOK, http.MethodGet, "/readyz/writes", "", nil)
	for _, f := range finish {
		if status := f(); status != http.StatusAccepted {
			t.Errorf("an upload that ran: status %d, want 202", status)
		}
	}
	burst.Wait()
	close(answers)
	for resp := range answers {
		if resp.StatusCode != http.StatusAccepted {
			t.Errorf("a request that waited got %d, want 202", resp.StatusCode)
		}
	}
	eventually(t, "all places are free", inside(0, 0))
}

// Who waits longer than allowed is refused, and new limits hold at once.
func TestWaitingEnds(t *testing.T) {
	n := newNode(t)
	n.config("{managementState: Managed, replicas: 1, " +
		"requests: {write: {maxRunning: 1, maxInQueue: 1, maxWaitInQueue: 20ms}}}")
	finish := n.upload()
	eventually(t, "the upload runs", func() bool { running, _ := n.a.Writes(); return running == 1 })
	status, answer := n.putBlob("wait/app", []byte("x"))
	if status != http.StatusTooManyRequests || !strings.Contains(answer, "Too many requests, please try again later.") {
		t.Errorf("status %d: %s", status, answer)
	}
	n.config("{managementState: Managed, replicas: 1}")
	if status, _ := n.putBlob("wait/app", []byte("x")); status != http.StatusCreated {
		t.Errorf("without a limit: status %d", status)
	}
	if status := finish(); status != http.StatusAccepted {
		t.Errorf("the upload: status %d", status)
	}
}

func TestTheObjectsLogLevelBeatsTheMachines(t *testing.T) {
	var asked []string
	var mu sync.Mutex
	n := start(t, appliance.Config{Data: filepath.Join(t.TempDir(), "data"), Verbosity: func(level *slog.Level) {
		mu.Lock()
		defer mu.Unlock()
		if level == nil {
			asked = append(asked, "machine's")
			return
		}
		asked = append(asked, level.String())
	}})
	n.config("{managementState: Managed, replicas: 1, logLevel: Trace}")
	n.config("{managementState: Managed, replicas: 1, logging: 1}")
	n.config("{managementState: Managed, replicas: 1, operatorLogLevel: Debug, logging: 1}")
	n.config("{managementState: Managed, replicas: 1}")
	mu.Lock()
	defer mu.Unlock()
	if got := strings.Join(asked, " "); got != "DEBUG WARN DEBUG machine's" {
		t.Errorf("levels %s", got)
	}
}

// An apply that is about an older version is refused; the same again changes
// nothing; a dry run tells and does not do.
func TestApply(t *testing.T) {
	n := newNode(t)
	got := n.want(http.StatusOK, http.MethodGet, configPath, "", nil)
	if a := n.apply(got); a.Result != "unchanged" {
		t.Errorf("what was shown, applied: %+v", a)
	}
	before := n.condition("skerry.dev/FieldsNotApplicable")
	eventually(t, "a second passes", func() bool { return time.Since(before.Since) > 1100*time.Millisecond })
	status, dry, answer := n.tryApply(configHead+"spec: {readOnly: true, replicas: 1, nodeSelector: {a: b}}", true)
	if status != http.StatusOK || dry.Result != "configured" || !dry.DryRun {
		t.Errorf("dry run: status %d: %s", status, answer)
	}
	if text := fmt.Sprint(dry.Changes); !strings.Contains(text, "{spec.readOnly  true}") {
		t.Errorf("dry run tells changes %s", text)
	}
	if text := strings.Join(dry.Warnings, "\n"); !strings.Contains(text, "spec.nodeSelector: there are no pods") {
		t.Errorf("dry run warns of %s", text)
	}
	n.push("dry/app", "1", []byte("x"))
	if now := n.condition("skerry.dev/FieldsNotApplicable"); now != before {
		t.Errorf("a dry run left its mark: %+v, was %+v", now, before)
	}

	if a := n.config("{managementState: Managed, replicas: 1, readOnly: true}"); a.Result != "configured" {
		t.Errorf("result %s", a.Result)
	}
	again := n.config("{managementState: Managed, replicas: 1, readOnly: true}")
	if again.Result != "unchanged" || !strings.Contains(string(again.Document), `"generation":2`) {
		t.Errorf("the same again: %s, %s", again.Result, again.Document)
	}
	status, _, answer = n.tryApply(got, false)
	if status != http.StatusConflict || !strings.Contains(answer, "leave metadata.resourceVersion out") {
		t.Errorf("an old version: status %d: %s", status, answer)
	}
	status, _, answer = n.tryApply(configHead+"spec: {readonly: true}", false)
	if status != http.StatusBadRequest || !strings.Contains(answer, "did you mean readOnly?") {
		t.Errorf("a mistake: status %d: %s", status, answer)
	}
}

// Since when a condition is what it is moves when it changes, and only then.
func TestTransitionTimes(t *testing.T) {
	n := newNode(t)
	available, removed := n.condition("Available"), n.condition("Removed")
	eventually(t, "a second passes", func() bool { return time.Since(available.Since) > 1100*time.Millisecond })
	n.config("{managementState: Removed, replicas: 1}")
	if now := n.condition("Available"); !now.Since.Equal(available.Since) {
		t.Errorf("Available is True since %s, was since %s", now.Since, available.Since)
	}
	if now := n.condition("Removed"); !now.Since.After(removed.Since) {
		t.Errorf("Removed is True since %s, was False since %s", now.Since, removed.Since)
	}
}

// Routes that cannot be served say why, a Secret at a time.
func TestRoutesThatAreNotServed(t *testing.T) {
	n := newNode(t)
	n.config("{managementState: Managed, replicas: 1, " +
		"routes: [{name: a, hostname: a.example.com, secretName: a}, {name: b}]}")
	c := n.wantCondition("Degraded", "True", "RouteDegraded")
	for _, want := range []string{
		"route a (host a.example.com) not admitted: there is no Secret openshift-image-registry/a", "it has no hostname",
	} {
		if !strings.Contains(c.Message, want) {
			t.Errorf("no %q in %q", want, c.Message)
		}
	}
	n.apply("apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {tls.crt: none, tls.key: none}")
	if c := n.condition("Degraded"); !strings.Contains(c.Message, "tls.crt: no certificate in PEM") {
		t.Errorf("message %q", c.Message)
	}
	image := n.want(http.StatusOK, http.MethodGet, imagePath, "", nil)
	if !strings.Contains(image, "a.example.com:") {
		t.Errorf("the route's host is not published: %s", image)
	}
}

// Secrets come back in clear only to who asks for it.
func TestSecretsAreHidden(t *testing.T) {
	n := newNode(t)
	const path = "/api/v1/namespaces/openshift-image-registry/secrets"
	n.apply("apiVersion: v1\nkind: Secret\nmetadata: {name: mine}\nstringData: {password: tell-nobody}")
	n.config("{managementState: Managed, replicas: 1, httpSecret: tell-nobody}")
	const plain = "dGVsbC1ub2JvZHk=" // tell-nobody
	for _, p := range []string{path, path + "/mine", configPath} {
		answer := n.want(http.StatusOK, http.MethodGet, p, "", nil)
		told := strings.Contains(answer, plain) || strings.Contains(answer, "tell-nobody")
		if told || !strings.Contains(answer, "(hidden)") {
			t.Errorf("%s: %s", p, answer)
		}
	}
	n.wantCondition("Progressing", "True", "DeploymentNotCompleted") // until the next start
	body := []byte(`{"kind":"Secret","name":"mine"}`)
	answer := n.want(http.StatusOK, http.MethodPost, api.Prefix+"/objects/reveal", "application/json", body)
	if !strings.Contains(answer, plain) {
		t.Errorf("asked for, and not shown: %s", answer)
	}
	n.want(http.StatusOK, http.MethodPost, api.Prefix+"/objects/delete", "application/json", body)
	n.want(http.StatusNotFound, http.MethodGet, path+"/mine", "", nil)
	n.want(http.StatusNotFound, http.MethodPost, api.Prefix+"/objects/delete", "application/json", body)
	n.stop()
	n = start(t, appliance.Config{Data: n.data})
	n.wantCondition("Progressing", "False", "Ready")
}

// A data directory in memory is told as what it is, and made nothing else of.
func TestADirectoryInMemoryIsEphemeral(t *testing.T) {
	n := start(t, appliance.Config{Data: disk(t, "64m"), LogSegmentBytes: mib})
	c := n.wantCondition("StorageExists", "True", "Creation Successful")
	if !strings.Contains(c.Message, "in memory") {
		t.Errorf("message %q", c.Message)
	}
	n.config("{managementState: Managed, replicas: 1, storage: {pvc: {}}}")
	n.wantCondition("StorageExists", "False", "PVC Issues Found")
}

// Of what there must be there is always one.
func TestDeletedObjectsComeBackWithDefaults(t *testing.T) {
	n := newNode(t)
	n.config("{managementState: Removed, replicas: 1}")
	n.want(http.StatusOK, http.MethodPost, api.Prefix+"/objects/delete", "application/json",
		[]byte(`{"kind":"Config","name":"cluster"}`))
	n.push("back/app", "1", []byte("x"))
	got := n.want(http.StatusOK, http.MethodGet, configPath, "", nil)
	if !strings.Contains(got, `"managementState":"Managed"`) {
		t.Errorf("config %s", got)
	}
}
