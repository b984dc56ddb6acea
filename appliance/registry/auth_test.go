package registry_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/appliance/registry"
	"skerry.dev/skerry/meta"
)

// policy allows what is in it, "repo:action", and remembers what was asked.
type policy struct {
	mu    sync.Mutex // guards asked
	asked []string
	may   []string
	user  string // "" means nobody: 401
	err   error
}

func (p *policy) Authorize(w http.ResponseWriter, _ *http.Request, access ...registry.Access) (registry.Caller, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var names []string
	for _, a := range access {
		names = append(names, fmt.Sprintf("%s:%s", a.Repo, a.Action))
	}
	p.asked = append(p.asked, strings.Join(names, " "))
	if p.err != nil {
		return registry.Caller{}, p.err
	}
	if p.user == "" {
		bearer := `Bearer scope="` + strings.Join(names, " ") + `"`
		return registry.Caller{}, &registry.ChallengeError{Challenges: []string{bearer, "Basic"}}
	}
	for _, name := range names {
		if !slices.Contains(p.may, name) {
			return registry.Caller{Name: p.user}, fmt.Errorf("%s: %w", name, registry.ErrDenied)
		}
	}
	w.Header().Set("X-User", p.user)
	return registry.Caller{Name: p.user, How: "by its word"}, nil
}

func (p *policy) into(c *registry.Config) { c.Auth = p }

// Every request asks for what it needs, and for nothing else, before anything is looked up.
func TestEveryRequestIsAuthorized(t *testing.T) {
	const id = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	for request, want := range map[string]string{
		"GET /v2/":                                   "",
		"GET /v2/_catalog":                           ":catalog",
		"GET /v2/a/tags/list":                        "a:pull",
		"GET /v2/a/manifests/x":                      "a:pull",
		"HEAD /v2/a/manifests/" + someDigest:         "a:pull",
		"GET /v2/a/manifests/.bad":                   "a:pull",
		"PUT /v2/a/manifests/x":                      "a:pull a:push",
		"PUT /v2/a/manifests/.bad":                   "a:pull a:push",
		"DELETE /v2/a/manifests/x":                   "a:delete",
		"DELETE /v2/a/manifests/" + someDigest:       "a:delete",
		"GET /v2/a/blobs/" + someDigest:              "a:pull",
		"HEAD /v2/a/blobs/" + someDigest:             "a:pull",
		"DELETE /v2/a/blobs/" + someDigest:           "a:delete",
		"POST /v2/a/blobs/uploads/":                  "a:pull a:push",
		"POST /v2/a/blobs/uploads/?from=b&mount=x":   "a:pull a:push b:pull",
		"PATCH /v2/a/blobs/uploads/" + id:            "a:pull a:push",
		"PUT /v2/a/blobs/uploads/" + id:              "a:pull a:push",
		"GET /v2/a/blobs/uploads/" + id:              "a:pull a:push",
		"DELETE /v2/a/blobs/uploads/" + id:           "a:pull a:push",
		"GET /v2/a/referrers/" + someDigest:          "a:pull",
		"PATCH /v2/a/manifests/x":                    "a:pull", // 405, but not to strangers
		"OPTIONS /v2/a/tags/list":                    "a:pull",
		"PUT /v2/a/blobs/uploads/":                   "a:pull",
		"POST /v2/a/blobs/uploads/" + id + "?_state": "a:pull",
	} {
		t.Run(request, func(t *testing.T) {
			p := &policy{}
			w := newWorld(t, p.into)
			method, path, _ := strings.Cut(request, " ")
			w.do(method, path, nil).want(401).wantHead("WWW-Authenticate", `Bearer scope="`+want+`", Basic`)
			if len(p.asked) == 0 || p.asked[0] != want {
				t.Errorf("asked %q first, want %q", p.asked, want)
			}
			p.user = "mallory"
			if request != "GET /v2/" {
				w.do(method, path, nil).want(403)
			}
			p.err = errors.New("the directory is down")
			w.do(method, path, nil).want(500)
		})
	}
}

// Without a grant App gets nowhere, whatever its router takes a path for.
func TestNoPathGetsPastTheFront(t *testing.T) {
	p := &policy{user: "mallory"}
	w := newWorld(t)
	w.pushImage("a", "v1")
	w.serve(registry.Handler, p.into)
	layer := digest.FromString("layer of v1").String()
	for _, path := range []string{
		"/v2/a/manifests/v1", "/v2/a%2Fb/manifests/v1", "/v2//a/manifests/v1", "/v2/./a/manifests/v1",
		"/v2/x/../a/manifests/v1",
		"/v2/a/manifests/v1/", "/v2/a/manifests//v1", "/v2/A.b/a/manifests/v1", "/v2/host:5000/a/manifests/v1",
		"/V2/a/manifests/v1",
		"/v2/a/blobs/" + layer, "/v2/a/blobs/" + layer + "/", "/v2/a/blobs//" + layer, "/v2/host.example:1/a/blobs/" + layer,
		"/v2/_catalog", "/v2/_catalog/", "/v2/a/tags/list", "/v2/a/tags/list/", "/v2/host:1/a/tags/list",
		"/v2/a/blobs/uploads", "/v2/a/blobs/uploads/", "/v2/host:1/a/blobs/uploads/", "/v2/a/blobs/uploads/x/",
		"//v2/a/tags/list",
	} {
		for _, method := range []string{"GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"} {
			a := w.do(method, path, []byte("{}"), typed)
			if a.status < 400 && a.status != 301 && a.status != 308 && method != "OPTIONS" {
				t.Errorf("%s %s: %d %s", method, path, a.status, a.body)
			}
		}
	}
	w.serve(registry.Handler)
	w.do("GET", "/v2/a/manifests/v1", nil).want(200)
	w.do("GET", "/v2/a/blobs/"+layer, nil).want(200)
}

// App has no access controller: what reaches it unasked must come to nothing.
func TestAppWithoutAGrantDoesNothing(t *testing.T) {
	w := newWorld(t)
	d := w.pushImage("a", "v1").String()
	layer := digest.FromString("layer of v1").String()
	w.serve(registry.AppAlone)
	for path, methods := range map[string][]string{
		"/v2/_catalog":         {"GET"},
		"/v2/a/tags/list":      {"GET"},
		"/v2/a/manifests/v1":   {"GET", "HEAD", "PUT", "DELETE"},
		"/v2/a/manifests/" + d: {"GET", "HEAD", "PUT", "DELETE"},
		"/v2/a/blobs/" + layer: {"GET", "HEAD", "DELETE"},
		uploads:                {"POST", "PUT"},
	} {
		for _, method := range methods {
			if a := w.do(method, path, []byte("{}"), typed); a.status != 403 && !strings.HasPrefix(path, "/v2/_") {
				t.Errorf("%s %s: %d", method, path, a.status)
			} else if a.status < 400 {
				t.Errorf("%s %s: %d", method, path, a.status)
			}
		}
	}
	w.serve(registry.Handler)
	w.do("GET", "/v2/a/manifests/v1", nil).want(200)
}

// A digest is no permission: mounting needs pull on the source, and an upload is
// what those without it get.
func TestMountingNeedsPullOnTheSource(t *testing.T) {
	w := newWorld(t)
	d := w.pushBlob("secret", []byte("content")).Digest.String()
	p := &policy{user: "alice", may: []string{"mine:pull", "mine:push", "mine:delete"}}
	w.serve(registry.Handler, p.into)
	given, anywhere := "/v2/mine/blobs/uploads/?from=secret&mount="+d, "/v2/mine/blobs/uploads/?mount="+d
	w.do("POST", given, nil).want(202)
	w.do("POST", anywhere, nil).want(202)
	w.do("HEAD", "/v2/mine/blobs/"+d, nil).want(404)
	p.may = append(p.may, "secret:pull")
	w.do("POST", anywhere, nil).want(201)
	w.do("DELETE", "/v2/mine/blobs/"+d, nil).want(202)
	w.do("POST", given, nil).want(201)

	p.user = ""
	w.do("POST", given, nil).want(401).
		wantHead("WWW-Authenticate", `Bearer scope="mine:pull mine:push secret:pull", Basic`)
	p.user, p.may = "alice", []string{"secret:pull"}
	w.do("POST", given, nil).want(403, "DENIED")
}

func TestWhoPushedIsRemembered(t *testing.T) {
	p := &policy{user: "alice", may: []string{"a:pull", "a:push", "a:delete"}}
	w := newWorld(t, p.into)
	d := w.pushImage("a", "v1")
	info, err := w.meta.ResolveTag("a", "v1")
	w.must(err)
	if info.Actor != "alice" || info.Digest != d {
		t.Errorf("tag pushed by %q", info.Actor)
	}
	w.do("DELETE", "/v2/a/manifests/v1", nil).want(202)
	events, err := w.meta.History("a", "v1")
	w.must(err)
	if events[0].Change != meta.ChangeDelete || events[0].Actor != "alice" {
		t.Errorf("history begins with %+v", events[0])
	}
}

// A pusher who is told that a blob exists will not send it, so it is kept until the
// manifest can have come; others have no such claim.
func TestOnlyAPushersQuestionKeepsABlob(t *testing.T) {
	for name, may := range map[string][]string{
		"puller": {"a:pull"},
		"pusher": {"a:pull", "a:push"},
	} {
		w := newWorld(t)
		d := w.pushBlob("a", []byte("x")).Digest
		w.serve(registry.Handler, (&policy{user: name, may: may}).into)
		w.later.Store(int64(grace * 2 / 3)) // most of the lease is over
		w.do("HEAD", "/v2/a/blobs/"+d.String(), nil).want(200)
		w.later.Store(int64(grace + time.Minute))
		report, err := w.meta.Collect(t.Context(), meta.Collect{})
		w.must(err)
		if kept := report.Blobs == 0; kept != (name == "pusher") {
			t.Errorf("after the question of a %s: %+v", name, report)
		}
	}
}

// A request whose Authorizer fails on a live server is answered, not dropped.
func TestAnswersSayWhoIsAsked(t *testing.T) {
	p := &policy{user: "alice", may: []string{"a:pull"}}
	w := newWorld(t, p.into)
	srv := httptest.NewServer(w.h)
	defer srv.Close()
	res, err := srv.Client().Get(srv.URL + "/v2/a/manifests/x")
	w.must(err)
	w.must(res.Body.Close())
	if res.StatusCode != 404 || res.Header.Get("X-User") != "alice" {
		t.Errorf("%d, X-User %q", res.StatusCode, res.Header.Get("X-User"))
	}
}

// Pushes and deletes are told of when they are over, with what came of them.
func TestPushesAndDeletesAreToldOf(t *testing.T) {
	var events []registry.Event
	p := &policy{user: "alice", may: []string{"a:pull", "a:push", "a:delete"}}
	w := newWorld(t, p.into, func(c *registry.Config) {
		c.Audit = func(_ *http.Request, e registry.Event) { events = append(events, e) }
	})
	m := w.image("a", "one")
	d := digest.FromBytes(m)
	config, layer := digest.FromString(`{"seed":"one"}`), digest.FromString("layer of one")
	w.do("PUT", "/v2/a/manifests/v1", m, typed).want(201)
	w.do("GET", "/v2/a/manifests/v1", nil).want(200)
	w.do("PUT", "/v2/a/manifests/"+d.String()+"?tag=t1&tag=t2", m, typed).want(201)
	w.do("PUT", "/v2/b/manifests/v1", m, typed).want(403)
	w.do("DELETE", "/v2/a/blobs/"+layer.String(), nil).want(405)
	w.do("DELETE", "/v2/a/manifests/"+d.String(), nil).want(202)
	w.do("DELETE", "/v2/a/blobs/"+layer.String(), nil).want(202)
	w.do("DELETE", "/v2/a/../b/manifests/v1", nil).want(400)
	const push, remove, size = registry.Push, registry.Delete, 12
	const blob, manifest = registry.ObjectBlob, registry.ObjectManifest
	whole := int64(len(m))
	alice := registry.Caller{Name: "alice", How: "by its word"}
	named := registry.Caller{Name: "alice"}
	ref := layer.String()
	want := []registry.Event{
		{push, blob, alice, "a", config.String(), config, nil, 14, "", 201},
		{push, blob, alice, "a", ref, layer, nil, size, "", 201},
		{push, manifest, alice, "a", "v1", d, nil, whole, "", 201},
		{push, manifest, alice, "a", d.String(), d, []string{"t1", "t2"}, whole, "", 201},
		{push, manifest, named, "b", "v1", "", nil, 0, "", 403},
		{remove, blob, alice, "a", ref, layer, nil, 0, "", 405},
		{remove, manifest, alice, "a", d.String(), d, nil, 0, "", 202},
		{remove, blob, alice, "a", ref, layer, nil, 0, "", 202},
	}
	if !reflect.DeepEqual(events, want) {
		t.Errorf("told of\n%+v\nwant\n%+v", events, want)
	}
}

// A blob that was uploaded or mounted is told of once, whichever way it took; one that
// could not be, too. What only begins or goes on is not.
func TestBlobsAreToldOfWhenTheyAreThere(t *testing.T) {
	var events []registry.Event
	p := &policy{user: "alice", may: []string{"a:pull", "a:push", "b:pull", "b:push"}}
	w := newWorld(t, p.into, func(c *registry.Config) {
		c.Audit = func(_ *http.Request, e registry.Event) { events = append(events, e) }
	})
	one, two := digest.FromString("0123456789"), digest.FromString("other bytes")
	l := w.do("POST", "/v2/a/blobs/uploads/", nil).want(202).location()
	w.do("PATCH", l, []byte("01234")).want(202)
	w.do("GET", l, nil).want(204)
	p.user = "bob"
	w.do("PUT", with(l, "digest", one.String()), nil).want(404)
	p.user = "alice"
	w.do("PUT", with(l, "digest", one.String()), []byte("56789")).want(201)
	l = w.do("POST", with("/v2/a/blobs/uploads/", "digest", two.String()), nil).want(202).location()
	w.do("PUT", with(l, "digest", two.String()), []byte("wrong bytes")).want(400)
	l = w.do("POST", "/v2/a/blobs/uploads/", nil).want(202).location()
	w.do("DELETE", l, nil).want(204)
	w.do("POST", "/v2/b/blobs/uploads/?from=a&mount="+one.String(), nil).want(201)
	w.do("POST", "/v2/b/blobs/uploads/?from=a&mount="+two.String(), nil).want(202)
	w.do("POST", "/v2/c/blobs/uploads/?from=a&mount="+one.String(), nil).want(403)
	w.do("POST", "/v2/c/blobs/uploads/?digest=nonsense", nil).want(403)

	const push, blob = registry.Push, registry.ObjectBlob
	alice, bob := registry.Caller{Name: "alice", How: "by its word"}, registry.Caller{Name: "bob", How: "by its word"}
	named := registry.Caller{Name: "alice"}
	want := []registry.Event{
		{push, blob, bob, "a", one.String(), one, nil, 0, "", 404},
		{push, blob, alice, "a", one.String(), one, nil, 10, "", 201},
		{push, blob, alice, "a", two.String(), two, nil, 0, "", 400},
		{push, blob, alice, "b", one.String(), one, nil, 10, "a", 201},
		{push, blob, named, "c", one.String(), one, nil, 0, "", 403},
		{push, blob, named, "c", "", "", nil, 0, "", 403},
	}
	if !reflect.DeepEqual(events, want) {
		t.Errorf("told of\n%+v\nwant\n%+v", events, want)
	}
}

// limits refuses everybody for a while.
type limits struct{}

func (limits) Authorize(http.ResponseWriter, *http.Request, ...registry.Access) (registry.Caller, error) {
	return registry.Caller{}, &registry.LimitError{RetryAfter: 7}
}

func TestWhoHasToWaitIsToldHowLong(t *testing.T) {
	w := newWorld(t, func(c *registry.Config) { c.Auth = limits{} })
	for _, path := range []string{"/v2/", "/v2/_catalog", "/v2/a/manifests/x"} {
		w.do("GET", path, nil).want(429, "TOOMANYREQUESTS").wantHead("Retry-After", "7")
	}
}
