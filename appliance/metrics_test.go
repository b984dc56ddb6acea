package appliance_test

import (
	"compress/gzip"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"skerry.dev/skerry/appliance"
	"skerry.dev/skerry/appliance/auth"
)

// scrape reads all metrics from the listener for scrapers.
func (n *node) scrape() map[string]*dto.MetricFamily {
	n.t.Helper()
	resp, err := http.Get(n.metrics + "/metrics")
	if err != nil {
		n.t.Fatal(err)
	}
	defer resp.Body.Close()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	if err != nil {
		n.t.Fatal(err)
	}
	return families
}

// value is the value of a series; a test fails that asks for one that is not there.
func (n *node) value(name string, labels ...string) float64 {
	n.t.Helper()
	family := n.scrape()[name]
	for _, m := range family.GetMetric() {
		if matches(m, labels) {
			switch family.GetType() {
			case dto.MetricType_COUNTER:
				return m.GetCounter().GetValue()
			case dto.MetricType_HISTOGRAM:
				return float64(m.GetHistogram().GetSampleCount())
			default:
				return m.GetGauge().GetValue()
			}
		}
	}
	n.t.Fatalf("no series %s %v", name, labels)
	return 0
}

// matches says whether a series has all of these labels, names and values in turn.
func matches(m *dto.Metric, labels []string) bool {
	has := map[string]string{}
	for _, l := range m.GetLabel() {
		has[l.GetName()] = l.GetValue()
	}
	for i := 0; i < len(labels); i += 2 {
		if has[labels[i]] != labels[i+1] {
			return false
		}
	}
	return true
}

// metered starts an appliance with a listener for scrapers.
func metered(t *testing.T, cfg appliance.Config) *node {
	t.Helper()
	if cfg.Data == "" {
		cfg.Data = filepath.Join(t.TempDir(), "data")
	}
	cfg.MetricsListen = "127.0.0.1:0"
	return start(t, cfg)
}

// What is scraped is what was done.
func TestMetricsTellWhatWasDone(t *testing.T) {
	n := metered(t, appliance.Config{Grace: time.Millisecond})
	content := []byte("what was pushed")
	n.push("app/web", "1", content)
	n.want(http.StatusOK, http.MethodGet, "/v2/app/web/manifests/1", "", nil)
	n.want(http.StatusOK, http.MethodGet, blobPath("app/web", content), "", nil)
	n.want(http.StatusOK, http.MethodGet, blobPath("app/web", content), "", nil)
	n.want(http.StatusAccepted, http.MethodPost, "/v2/app/web/blobs/uploads/", "", nil) // left alone
	manifest := manifestOf(content)

	check := func(want float64, name string, labels ...string) {
		t.Helper()
		if got := n.value(name, labels...); got != want {
			t.Errorf("%s %v is %v, want %v", name, labels, got, want)
		}
	}
	check(1, "skerry_registry_operations_total", "object", "manifest", "operation", "push")
	check(1, "skerry_registry_operations_total", "object", "manifest", "operation", "pull")
	check(1, "skerry_registry_operations_total", "object", "blob", "operation", "push")
	check(2, "skerry_registry_operations_total", "object", "blob", "operation", "pull")
	check(2, "skerry_registry_requests_total", "route", "blob", "method", "GET", "code", "2xx")
	check(float64(len(content)), "skerry_registry_received_bytes_total", "object", "blob")
	check(float64(2*len(content)), "skerry_registry_sent_bytes_total", "object", "blob")
	check(float64(len(manifest)), "skerry_registry_sent_bytes_total", "object", "manifest")
	check(float64(len(content)), "skerry_blobstore_received_bytes_total")
	check(1, "skerry_blobstore_uploads_ended_total", "outcome", "published")
	check(1, "skerry_blobstore_uploads", "state", "waiting")
	check(0, "skerry_blobstore_uploads", "state", "receiving")
	check(1, "skerry_blobstore_sync_duration_seconds", "what", "file")
	check(1, "skerry_meta_repositories")
	check(1, "skerry_meta_manifests")
	check(1, "skerry_meta_tags")
	check(1, "skerry_meta_blobs")
	check(float64(len(content)), "skerry_meta_blob_bytes")
	check(1, "skerry_raft_state", "state", "leader")
	check(0, "skerry_raft_state", "state", "follower")
	check(1, "skerry_health_ready", "of", "reads")
	check(1, "skerry_health_ready", "of", "writes")
	for _, name := range []string{
		"skerry_meta_transaction_duration_seconds", "skerry_raft_append_duration_seconds",
		"skerry_raft_apply_duration_seconds", "skerry_raft_commit_duration_seconds",
		"skerry_blobstore_disk_size_bytes", "skerry_blobstore_disk_free_bytes", "skerry_raft_log_size_bytes",
		"skerry_meta_database_size_bytes", "skerry_meta_applied_index",
	} {
		if n.value(name) <= 0 {
			t.Errorf("%s is 0", name)
		}
	}
	eventually(t, "a checkpoint makes it durable", func() bool {
		return n.value("skerry_meta_durable_index") == n.value("skerry_meta_applied_index") &&
			n.value("skerry_meta_checkpoint_duration_seconds") > 0
	})

	// A collection frees what was deleted.
	n.want(http.StatusAccepted, http.MethodDelete, "/v2/app/web/manifests/"+digestOf(manifest), "", nil)
	eventually(t, "the blob is collected", func() bool {
		n.want(http.StatusOK, http.MethodPost, "/apis/skerry.dev/v1/collect", "application/json", []byte("{}"))
		return n.value("skerry_gc_freed_blobs_total") == 1
	})
	check(float64(len(content)), "skerry_gc_freed_bytes_total")
	if ago := time.Since(time.Unix(int64(n.value("skerry_gc_last_success_timestamp_seconds")), 0)); ago > time.Minute {
		t.Errorf("the last collection was %s ago", ago)
	}
	check(0, "skerry_gc_runs_total", "result", "failure")
	n.want(http.StatusOK, http.MethodPost, "/apis/skerry.dev/v1/prune", "application/json", []byte("{}"))
	check(1, "skerry_prune_runs_total", "result", "success")
	n.want(http.StatusOK, http.MethodPost, "/apis/skerry.dev/v1/prune", "application/json", []byte(`{"dryRun":true}`))
	check(1, "skerry_prune_runs_total", "result", "success") // a rehearsal is no run
}

// Damage is counted until nobody misses the blob any more.
func TestMetricsTellOfDamage(t *testing.T) {
	n := metered(t, appliance.Config{})
	content := []byte("these bytes will rot")
	n.push("rot/app", "1", content)
	hex := strings.TrimPrefix(digestOf(content), "sha256:")
	file := filepath.Join(n.data, "storage", "blobs", "sha256", hex[:2], hex)
	if err := os.WriteFile(file, []byte("those bytes will rot"), 0o600); err != nil {
		t.Fatal(err)
	}
	n.want(http.StatusOK, http.MethodPost, "/apis/skerry.dev/v1/scrub", "application/json", []byte("{}"))
	for name, want := range map[string]float64{
		"skerry_blobstore_quarantined_total": 1, "skerry_blobstore_quarantine_files": 1, "skerry_scrub_damaged_blobs": 1,
		"skerry_blobstore_verified_bytes_total": float64(len(content)), "skerry_scrub_missing_blobs": 0,
		"skerry_blobstore_quarantine_bytes": float64(len(content)),
	} {
		if got := n.value(name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	n.push("rot/app", "1", content)
	if got := n.value("skerry_scrub_damaged_blobs"); got != 0 {
		t.Errorf("the blob was pushed again, and %v are damaged", got)
	}
}

// When blobs were last verified is not forgotten over a restart: else a node that
// restarts often would look as if it never scrubbed, or never had to.
func TestMetricsRememberTheLastScrub(t *testing.T) {
	n := metered(t, appliance.Config{})
	const name = "skerry_scrub_last_success_timestamp_seconds"
	var first float64
	eventually(t, "the first scrub has a time from which it is due", func() bool {
		first = n.value(name)
		return first > 0
	})
	n.stop()
	state := filepath.Join(n.data, "scrub")
	if err := os.WriteFile(state, []byte(`{"done":"2020-01-02T03:04:05Z"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	n = metered(t, appliance.Config{Data: n.data, ScrubPeriod: 100 * 365 * 24 * time.Hour})
	eventually(t, "the time is that of the last scrub", func() bool {
		return n.value(name) == float64(time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC).Unix())
	})
}

// On the public address metrics are for administrators; a wrong password is
// refused, and counted wherever it is tried.
func TestMetricsOnThePublicAddressNeedPermission(t *testing.T) {
	n := metered(t, appliance.Config{})
	get := func(path string, change func(*http.Request)) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, n.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		change(req)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode == http.StatusUnauthorized && resp.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: 401 does not say how to log in", path)
		}
		return resp.StatusCode
	}
	as := func(name, password string) func(*http.Request) {
		return func(r *http.Request) { r.SetBasicAuth(name, password) }
	}
	if got := get("/metrics", func(*http.Request) {}); got != http.StatusUnauthorized {
		t.Errorf("without a password: %d", got)
	}
	if got := get("/metrics", as("admin", n.password)); got != http.StatusOK {
		t.Errorf("administrator: %d", got)
	}
	for _, path := range []string{"/metrics", "/v2/", "/apis/skerry.dev/v1/status"} {
		if got := get(path, as("admin", "wrong")); got != http.StatusUnauthorized {
			t.Errorf("%s with a wrong password: %d", path, got)
		}
	}
	mount := as("admin", "wrong")
	if got := get("/v2/a/blobs/uploads/?from=b&mount="+digestOf(nil), func(r *http.Request) {
		r.Method = http.MethodPost
		mount(r)
	}); got != http.StatusUnauthorized {
		t.Errorf("mount with a wrong password: %d", got)
	}
	if got := n.value("skerry_auth_login_failures_total", "method", "password", "result", "failed"); got != 4 {
		t.Errorf("%v failed logins, want 4", got)
	}
	token := func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+auth.TokenPrefix+"x") }
	if got := get("/v2/", token); got != http.StatusUnauthorized {
		t.Errorf("bad token: %d", got)
	}
	if got := n.value("skerry_auth_login_failures_total", "method", "token", "result", "failed"); got != 1 {
		t.Errorf("%v failed tokens, want 1", got)
	}
}

func TestMetricsAreNegotiatedAndCompressed(t *testing.T) {
	n := metered(t, appliance.Config{})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, n.metrics+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "application/openmetrics-text;version=1.0.0")
	req.Header.Set("Accept-Encoding", "gzip")
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := resp.Header.Get("Content-Type"); !strings.HasPrefix(got, "application/openmetrics-text") {
		t.Errorf("type %q", got)
	}
	if got := resp.Header.Get("Content-Encoding"); got != "gzip" {
		t.Fatalf("encoding %q", got)
	}
	plain, err := gzip.NewReader(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(plain)
	if err != nil || !strings.HasSuffix(string(b), "# EOF\n") {
		t.Errorf("%d bytes, not whole: %v", len(b), err)
	}
}

// The names follow the conventions that tools rely on.
func TestMetricsPassPromlint(t *testing.T) {
	n := metered(t, appliance.Config{TLS: appliance.TLSSelf})
	var families []*dto.MetricFamily
	for _, f := range n.scrape() {
		families = append(families, f)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// Two appliances in one process share no metric.
func TestMetricsAreOfOneAppliance(t *testing.T) {
	one, two := metered(t, appliance.Config{}), metered(t, appliance.Config{})
	one.push("a/b", "1", []byte("x"))
	push := []string{"object", "manifest", "operation", "push"}
	if a, b := one.value("skerry_registry_operations_total", push...),
		two.value("skerry_registry_operations_total", push...); a != 1 || b != 0 {
		t.Errorf("one push to the first: they counted %v and %v", a, b)
	}
}

func TestMetricsAreNotForTheNetworkUnlessForced(t *testing.T) {
	cfg := appliance.Config{
		Data: filepath.Join(t.TempDir(), "data"), Listen: "127.0.0.1:0", TLS: appliance.TLSOff, MetricsListen: "0.0.0.0:0",
	}
	a, err := appliance.Open(t.Context(), cfg, quiet())
	if err == nil {
		t.Fatal("it started", a.Close())
	}
	if !strings.Contains(err.Error(), "metrics-anywhere") {
		t.Errorf("the error does not say what to do: %v", err)
	}
}
