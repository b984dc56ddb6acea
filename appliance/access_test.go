package appliance_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"skerry.dev/skerry/appliance"
	"skerry.dev/skerry/appliance/api"
	"skerry.dev/skerry/meta"
)

// client speaks to the control API as the administrator.
func (n *node) client() *api.Client {
	return &api.Client{HTTP: http.DefaultClient, Base: n.url, User: "admin", Password: n.password}
}

// robot makes a robot with roles, "role on pattern" each, and returns its secret.
func (n *node) robot(name string, grants ...string) string {
	n.t.Helper()
	secret, err := n.client().AddToken(n.t.Context(), name, api.TokenRequest{Expires: time.Now().Add(time.Hour)})
	if err != nil {
		n.t.Fatal(err)
	}
	for _, g := range grants {
		n.grant(meta.SubjectToken, name, g)
	}
	return secret
}

func (n *node) grant(kind meta.SubjectKind, subject, grant string) {
	n.t.Helper()
	role, on, _ := strings.Cut(grant, " on ")
	if err := n.client().Grant(n.t.Context(), api.Grant{Role: role, Kind: kind, Subject: subject, On: on}); err != nil {
		n.t.Fatal(err)
	}
}

// A reply is a response that was read.
type reply struct {
	status int
	head   http.Header
	body   string
}

// as sends a request with a bearer; "" sends none.
func (n *node) as(bearer, method, path string, body []byte) reply {
	n.t.Helper()
	req, err := http.NewRequestWithContext(n.t.Context(), method, n.url+path, bytes.NewReader(body))
	if err != nil {
		n.t.Fatal(err)
	}
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	req.Header.Set("Content-Type", manifestType)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		n.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		n.t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, string(b)}
}

// sees wants a status of a request with a bearer.
func (n *node) sees(status int, bearer, method, path string, body []byte) reply {
	n.t.Helper()
	got := n.as(bearer, method, path, body)
	if got.status != status {
		n.t.Errorf("%s %s: status %d, want %d: %s", method, path, got.status, status, got.body)
	}
	return got
}

// ticket gets a token of /token with a bearer, or anonymously.
func (n *node) ticket(bearer string, scopes ...string) string {
	n.t.Helper()
	q := url.Values{"service": {strings.TrimPrefix(n.url, "http://")}, "scope": scopes}
	var t struct{ Token string }
	if err := json.Unmarshal([]byte(n.sees(200, bearer, "GET", "/token?"+q.Encode(), nil).body), &t); err != nil {
		n.t.Fatal(err)
	}
	return t.Token
}

// A digest is no permission (I7): each way that there is to get at a blob of a
// repository that one may not pull is tried.
func TestABlobIsReadThroughRepositoriesOneMayPull(t *testing.T) {
	n := start(t, appliance.Config{Data: t.TempDir()})
	secret := []byte("a secret layer")
	n.push("secret/app", "v1", secret)
	n.push("mine/app", "v1", []byte("a layer of mine"))
	mallory := n.robot("mallory", "registry-editor on mine")
	d := digestOf(secret)
	manifest := digestOf(manifestOf(secret))

	for _, path := range []string{
		"/v2/secret/app/blobs/" + d, "/v2/secret/app/manifests/v1", "/v2/secret/app/manifests/" + manifest,
		"/v2/secret/app/tags/list", "/v2/secret/app/referrers/" + manifest,
		"/v2/secret/app/blobs/uploads/" + "00000000-0000-0000-0000-000000000000",
	} {
		for _, method := range []string{"GET", "HEAD"} {
			n.sees(403, mallory, method, path, nil)
			n.sees(401, "", method, path, nil)
			n.sees(401, n.ticket("", "repository:secret/app:pull"), method, path, nil)
		}
	}
	// Through the repository that is one's own.
	n.sees(404, mallory, "GET", "/v2/mine/app/blobs/"+d, nil)
	n.sees(404, mallory, "GET", "/v2/mine/app/manifests/"+manifest, nil)
	n.sees(202, mallory, "POST", "/v2/mine/app/blobs/uploads/?mount="+d+"&from=secret/app", nil)
	n.sees(202, mallory, "POST", "/v2/mine/app/blobs/uploads/?mount="+d, nil)
	n.sees(202, mallory, "POST", "/v2/mine/app/blobs/uploads/?mount="+d+"&from=secret%2Fapp", nil)
	n.sees(202, mallory, "POST", "/v2/mine/app/blobs/uploads/?mount="+d+"&from=mine/../secret/app", nil)
	n.sees(404, mallory, "GET", "/v2/mine/app/blobs/"+d, nil)
	n.sees(404, mallory, "PUT", "/v2/mine/app/manifests/steal", manifestOf(secret)) // adopting it by reference
	n.sees(404, mallory, "GET", "/v2/mine/app/manifests/steal", nil)

	// With a token whose scope claims more, and one that covers the source but not by policy.
	for _, scope := range []string{
		"repository:secret/app:pull repository:mine/app:pull,push", "repository:*:pull", "repository:secret/app:*",
	} {
		ticket := n.ticket(mallory, scope)
		if got := n.as(ticket, "GET", "/v2/secret/app/blobs/"+d, nil); got.status != 403 {
			t.Errorf("a token of scope %s: %d", scope, got.status)
		}
	}
	// Who may pull the source may mount it.
	n.grant(meta.SubjectToken, "mallory", "system:image-puller on secret")
	n.sees(201, mallory, "POST", "/v2/mine/app/blobs/uploads/?mount="+d+"&from=secret/app", nil)
}

// A token is good for what it was asked for, also when its owner may more.
func TestATokensScopeLimitsMountsToo(t *testing.T) {
	n := start(t, appliance.Config{Data: t.TempDir()})
	content := []byte("a layer")
	n.push("one/app", "v1", content)
	robot := n.robot("r", "registry-editor on *")
	narrow := n.ticket(robot, "repository:two/app:pull,push")
	got := n.sees(401, narrow, "GET", "/v2/one/app/manifests/v1", nil)
	challenge := got.head.Values("WWW-Authenticate")
	if len(challenge) != 2 || !strings.Contains(challenge[0], `scope="repository:one/app:pull"`) ||
		!strings.Contains(challenge[0], "insufficient_scope") {
		t.Errorf("challenges %q", challenge)
	}
	got = n.sees(401, narrow, "POST", "/v2/two/app/blobs/uploads/?mount="+digestOf(content)+"&from=one/app", nil)
	both := `scope="repository:two/app:pull,push repository:one/app:pull"`
	if c := got.head.Get("WWW-Authenticate"); !strings.Contains(c, both) {
		t.Errorf("challenge %q", c)
	}
	n.sees(202, narrow, "POST", "/v2/two/app/blobs/uploads/?mount="+digestOf(content), nil)
	wide := n.ticket(robot, "repository:two/app:pull,push", "repository:one/app:pull")
	n.sees(201, wide, "POST", "/v2/two/app/blobs/uploads/?mount="+digestOf(content)+"&from=one/app", nil)
	n.sees(401, n.ticket(robot, "repository:one/app:pull"), "DELETE", "/v2/one/app/manifests/v1", nil)
	n.sees(202, n.ticket(robot, "repository:one/app:delete"), "DELETE", "/v2/one/app/manifests/v1", nil)
}

func TestUploadsBelongToTheirRepository(t *testing.T) {
	n := start(t, appliance.Config{Data: t.TempDir()})
	ann := n.robot("ann", "registry-editor on ann")
	mallory := n.robot("mallory", "registry-editor on mallory")
	session := n.sees(202, ann, "POST", "/v2/ann/app/blobs/uploads/", nil).head.Get("Location")
	n.sees(202, ann, "PATCH", session, []byte("half of"))
	foreign := strings.Replace(session, "/v2/ann/app/", "/v2/mallory/app/", 1)
	for _, method := range []string{"GET", "PATCH", "PUT", "DELETE"} {
		path := "?digest=" + digestOf([]byte("half of"))
		n.sees(403, mallory, method, session+path, nil)
		n.sees(404, mallory, method, foreign+path, nil) // one's own name, another's id
	}
	n.sees(204, ann, "GET", session, nil)
	n.sees(201, ann, "PUT", session+"?digest="+digestOf([]byte("half of it")), []byte(" it"))
}

// Whatever a path is written like, it names one repository or none.
func TestPathTricks(t *testing.T) {
	n := start(t, appliance.Config{Data: t.TempDir()})
	secret := []byte("a secret layer")
	n.push("secret/app", "v1", secret)
	mallory := n.robot("mallory", "registry-editor on mine")
	for _, path := range []string{
		"/v2/mine/../secret/app/manifests/v1", "/v2/mine/%2e%2e/secret/app/manifests/v1",
		"/v2/mine%2f..%2fsecret/app/manifests/v1",
		"/v2/mine/..%2fsecret/app/manifests/v1", "/v2//secret/app/manifests/v1", "/v2/secret//app/manifests/v1",
		"/v2/./secret/app/manifests/v1", "//v2/secret/app/manifests/v1", "/v2/mine/./../secret/app/manifests/v1",
		"/v2/SECRET/app/manifests/v1", "/v2/Secret/App/manifests/v1", "/v2/secret%2fapp/manifests/v1",
		"/v2/secret%2Fapp/manifests/v1",
		"/v2/secret/app%00/manifests/v1", "/v2/ſecret/app/manifests/v1", "/v2/secret/app/manifests/v1/",
		"/v2/secret/app/manifests//v1",
		"/v2/mine/..;/secret/app/manifests/v1", "/v2/mine\\..\\secret/app/manifests/v1", "/v2/secret/app /manifests/v1",
		"/v2/secret/app/manifests/v1?/v2/mine/app", "/v2/mine/app/manifests/../../../secret/app/manifests/v1",
		"/v2/mine/app/blobs/uploads/../../../../secret/app/manifests/v1",
	} {
		u := strings.ReplaceAll(strings.ReplaceAll(path, " ", "%20"), "\\", "%5C")
		for _, bearer := range []string{mallory, ""} {
			got := n.as(bearer, "GET", u, nil)
			if got.status < 400 || strings.Contains(got.body, digestOf(secret)) {
				t.Errorf("GET %s: %d %s", path, got.status, got.body)
			}
		}
	}
}

func TestTheCatalogShowsWhatOneMayPull(t *testing.T) {
	n := start(t, appliance.Config{Data: t.TempDir()})
	for i := range 5 {
		n.push(fmt.Sprintf("ann/app%d", i), "v1", []byte("x"))
		n.push(fmt.Sprintf("bob/app%d", i), "v1", []byte("x"))
		n.push(fmt.Sprintf("cat/app%d", i), "v1", []byte("x"))
	}
	ann := n.robot("ann", "registry-viewer on ann", "registry-viewer on cat/app3")
	nobody := n.robot("nobody")
	list := func(bearer, query string) (names []string, next string) {
		t.Helper()
		var c struct{ Repositories []string }
		got := n.sees(200, bearer, "GET", "/v2/_catalog"+query, nil)
		if err := json.Unmarshal([]byte(got.body), &c); err != nil {
			t.Fatal(err)
		}
		next, _, _ = strings.Cut(strings.TrimPrefix(got.head.Get("Link"), "<"), ">")
		return c.Repositories, next
	}
	want := "ann/app0 ann/app1 ann/app2 ann/app3 ann/app4 cat/app3"
	if names, next := list(ann, ""); strings.Join(names, " ") != want || next != "" {
		t.Errorf("%q, next %q", names, next)
	}
	for size := 1; size <= 6; size++ {
		var all []string
		pages := 0
		for query := fmt.Sprintf("?n=%d", size); query != ""; pages++ {
			names, next := list(ann, query)
			all = append(all, names...)
			if strings.Contains(next, "bob") {
				t.Errorf("the link tells of another's: %s", next)
			}
			_, query, _ = strings.Cut(next, "?")
			if query != "" {
				query = "?" + query
			}
		}
		if strings.Join(all, " ") != want || pages != (6+size-1)/size {
			t.Errorf("pages of %d: %d of them, %q", size, pages, all)
		}
	}
	if names, _ := list(nobody, ""); len(names) != 0 {
		t.Errorf("who may nothing sees %q", names)
	}
	if names, _ := list(n.ticket(ann, "registry:catalog:*"), ""); strings.Join(names, " ") != want {
		t.Errorf("with a token: %q", names)
	}
	n.sees(401, n.ticket(ann, "repository:ann/app0:pull"), "GET", "/v2/_catalog", nil)
	n.sees(401, "", "GET", "/v2/_catalog", nil)
	n.grant(meta.SubjectGroup, "system:unauthenticated", "system:image-puller on bob")
	if names, _ := list("", ""); len(names) != 5 || names[0] != "bob/app0" {
		t.Errorf("everybody sees %q", names)
	}
}

func TestAnonymousPull(t *testing.T) {
	n := start(t, appliance.Config{Data: t.TempDir()})
	content := []byte("for everybody")
	n.push("public/app", "v1", content)
	n.push("team/app", "v1", []byte("for the team"))
	challenged := func(r reply) {
		t.Helper()
		host := strings.TrimPrefix(n.url, "http://")
		want := `Bearer realm="` + n.url + `/token",service="` + host + `"`
		c := r.head.Values("WWW-Authenticate")
		if !slices.ContainsFunc(c, func(s string) bool { return strings.HasPrefix(s, want) }) {
			t.Errorf("challenges %q", c)
		}
	}
	challenged(n.sees(401, "", "GET", "/v2/", nil))
	challenged(n.sees(401, "", "GET", "/v2/public/app/manifests/v1", nil))
	n.grant(meta.SubjectGroup, "system:unauthenticated", "system:image-puller on public")
	challenged(n.sees(401, "", "GET", "/v2/", nil)) // there still is something to log in to
	ticket := n.ticket("", "repository:public/app:pull,push")
	n.sees(200, ticket, "GET", "/v2/", nil)
	for _, bearer := range []string{"", ticket, n.robot("r")} {
		n.sees(200, bearer, "GET", "/v2/public/app/manifests/v1", nil)
		n.sees(200, bearer, "GET", blobPath("public/app", content), nil)
	}
	challenged(n.sees(401, "", "GET", "/v2/team/app/manifests/v1", nil))
	challenged(n.sees(401, ticket, "PUT", "/v2/public/app/manifests/v1", manifestOf(content)))
	challenged(n.sees(401, "", "DELETE", "/v2/public/app/manifests/v1", nil))
	challenged(n.sees(401, "wrong", "GET", "/v2/public/app/manifests/v1", nil)) // what is said must be true
	if err := n.client().Revoke(t.Context(), api.Grant{
		Role: "system:image-puller", Kind: meta.SubjectGroup, Subject: "system:unauthenticated", On: "public",
	}); err != nil {
		t.Fatal(err)
	}
	n.sees(401, "", "GET", "/v2/public/app/manifests/v1", nil)
	n.sees(401, ticket, "GET", "/v2/public/app/manifests/v1", nil)
}

func TestTheControlAPIIsForAdministrators(t *testing.T) {
	n := start(t, appliance.Config{Data: t.TempDir()})
	robot := n.robot("r", "registry-admin on *", "cluster-admin on team")
	for _, path := range []string{"/status", "/users", "/tokens", "/grants", "/backup"} {
		n.sees(403, robot, "GET", "/apis/skerry.dev/v1"+path, nil)
		n.sees(401, "", "GET", "/apis/skerry.dev/v1"+path, nil)
		n.sees(401, "skr_WRONG", "GET", "/apis/skerry.dev/v1"+path, nil)
	}
	n.sees(403, robot, "POST", "/apis/skerry.dev/v1/users/mallory?admin=true", nil)
	admin := n.robot("boss", "cluster-admin on *")
	n.sees(200, admin, "GET", "/apis/skerry.dev/v1/status", nil)
	n.sees(403, n.ticket(admin, "registry:catalog:*"), "GET", "/apis/skerry.dev/v1/status", nil)
	n.sees(400, admin, "POST", "/apis/skerry.dev/v1/tokens/x", nil) // without an end
	for range 30 {
		n.as("skr_WRONG", "GET", "/apis/skerry.dev/v1/status", nil)
	}
	if got := n.sees(429, "skr_WRONG", "GET", "/apis/skerry.dev/v1/status", nil); got.head.Get("Retry-After") == "" {
		t.Error("429 without Retry-After")
	}
	if got := n.sees(429, "skr_WRONG", "GET", "/v2/", nil); got.head.Get("Retry-After") == "" ||
		!strings.Contains(got.body, "TOOMANYREQUESTS") {
		t.Errorf("%+v", got)
	}
	n.sees(200, admin, "GET", "/v2/", nil) // verified before
}

// The account of the first start may be deleted once there is another
// administrator, and does not come back.
func TestADeletedAdminStaysDeleted(t *testing.T) {
	data := t.TempDir()
	n := start(t, appliance.Config{Data: data})
	password, err := n.client().AddUser(t.Context(), "root", api.UserRequest{Admin: true})
	if err != nil {
		t.Fatal(err)
	}
	root := &api.Client{HTTP: http.DefaultClient, Base: n.url, User: "root", Password: password}
	if err := root.DeleteUser(t.Context(), "admin"); err != nil {
		t.Fatal(err)
	}
	if err := root.DeleteUser(t.Context(), "root"); err == nil {
		t.Error("the last administrator was deleted")
	}
	n.stop()
	n = start(t, appliance.Config{Data: data})
	root.Base = n.url
	users, err := root.Users(t.Context())
	if err != nil || len(users) != 1 || users[0].Name != "root" {
		t.Errorf("%+v, %v", users, err)
	}
}

// records reads an audit file.
func records(t *testing.T, file string) (all []map[string]any) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		var r map[string]any
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

func TestEveryActIsAudited(t *testing.T) {
	file := filepath.Join(t.TempDir(), "audit.log")
	n := start(t, appliance.Config{Data: t.TempDir(), AuditLog: file})
	ann := n.robot("ann", "registry-editor on ann")
	before := len(records(t, file))
	content := []byte("x")
	n.sees(201, ann, "POST", "/v2/ann/app/blobs/uploads/?digest="+digestOf(content), content)
	n.sees(202, ann, "POST", "/v2/ann/app/blobs/uploads/", nil)
	n.sees(201, ann, "POST", "/v2/ann/copy/blobs/uploads/?mount="+digestOf(content)+"&from=ann/app", nil)
	n.sees(403, ann, "POST", "/v2/bob/app/blobs/uploads/", nil)
	n.sees(201, ann, "PUT", "/v2/ann/app/manifests/v1", manifestOf(content))
	n.sees(200, ann, "GET", "/v2/ann/app/manifests/v1", nil)
	n.sees(403, ann, "PUT", "/v2/bob/app/manifests/v1", manifestOf(content))
	n.sees(401, "", "PUT", "/v2/ann/app/manifests/v1", manifestOf(content))
	n.sees(202, ann, "DELETE", "/v2/ann/app/manifests/v1", nil)
	n.sees(404, ann, "DELETE", "/v2/ann/app/manifests/v1", nil)
	n.sees(405, ann, "DELETE", blobPath("ann/app", content), nil) // a manifest refers to it
	n.sees(202, ann, "DELETE", blobPath("ann/copy", content), nil)
	n.sees(401, "skr_WRONG", "GET", "/v2/", nil)
	n.sees(403, ann, "DELETE", "/apis/skerry.dev/v1/users/admin", nil)
	if err := n.client().DeleteToken(t.Context(), "ann"); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range records(t, file)[before:] {
		if r["msg"] != "audit" || r["from"] == "" || r["time"] == "" {
			t.Errorf("record %v", r)
		}
		got = append(got, fmt.Sprint(
			r["act"], " ", r["who"], " ", r["how"], " ", r["object"], " ", r["repo"], " ", r["reference"], " ", r["size"], " ",
			r["source"], " ", r["what"], " ", r["result"]))
	}
	d, size := digestOf(content), fmt.Sprint(len(manifestOf(content)))
	want := []string{
		"push token:ann token blob ann/app " + d + " 1 <nil> <nil> done",
		"push token:ann token blob ann/copy " + d + " 1 ann/app <nil> done",
		"push token:ann token blob bob/app  <nil> <nil> <nil> denied",
		"push token:ann token manifest ann/app v1 " + size + " <nil> <nil> done",
		"push token:ann token manifest bob/app v1 <nil> <nil> <nil> denied",
		"delete token:ann token manifest ann/app v1 <nil> <nil> <nil> done",
		"delete token:ann token manifest ann/app v1 <nil> <nil> <nil> failed",
		"delete token:ann token blob ann/app " + d + " <nil> <nil> <nil> failed", // a manifest refers to it
		"delete token:ann token blob ann/copy " + d + " <nil> <nil> <nil> done",
		"login  token <nil> <nil> <nil> <nil> <nil> <nil> failed",
		"admin token:ann token <nil> <nil> <nil> <nil> <nil> DELETE /apis/skerry.dev/v1/users/admin denied",
		"admin admin password <nil> <nil> <nil> <nil> <nil> DELETE /apis/skerry.dev/v1/tokens/ann done",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("audited:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if b, _ := os.ReadFile(file); bytes.Contains(b, []byte(ann)) {
		t.Error("a secret is in the audit log")
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// logrotate renames the file, and says so.
func TestTheAuditFileIsReopened(t *testing.T) {
	file := filepath.Join(t.TempDir(), "audit.log")
	cfg := appliance.Config{Data: t.TempDir(), Listen: "127.0.0.1:0", TLS: appliance.TLSOff, AuditLog: file}
	a, err := appliance.Open(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := os.Rename(file, file+".1"); err != nil {
		t.Fatal(err)
	}
	if err := a.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
	_, err = appliance.Open(t.Context(), appliance.Config{
		Data: t.TempDir(), Listen: "127.0.0.1:0", TLS: appliance.TLSOff, AuditLog: filepath.Join(file, "x"),
	}, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "audit log") {
		t.Errorf("a file that cannot be: %v", err)
	}
}
