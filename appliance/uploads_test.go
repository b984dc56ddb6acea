package appliance_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"skerry.dev/skerry/appliance"
	"skerry.dev/skerry/appliance/api"
	"skerry.dev/skerry/meta"
)

// refreshable logs an account in for long, as docker login does, and returns an
// access token and what gets the next.
func (n *node) refreshable(user, password string) (access, refresh string) {
	n.t.Helper()
	return n.grantedBy(url.Values{
		"grant_type": {"password"}, "username": {user}, "password": {password}, "access_type": {"offline"},
	})
}

// grantedBy asks /token in the form of OAuth2.
func (n *node) grantedBy(form url.Values) (access, refresh string) {
	n.t.Helper()
	form.Set("service", strings.TrimPrefix(n.url, "http://"))
	form.Set("scope", "repository:team/app:pull,push")
	resp, err := http.PostForm(n.url+"/token", form)
	if err != nil {
		n.t.Fatal(err)
	}
	defer resp.Body.Close()
	var got struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil || resp.StatusCode != http.StatusOK {
		n.t.Fatalf("token: status %d, %v", resp.StatusCode, err)
	}
	return got.Access, got.Refresh
}

// strangers fails the test if one of the bearers, who all may push there, can do
// anything to an upload, or learn of it.
func (n *node) strangers(upload string, bearers ...string) {
	n.t.Helper()
	for _, bearer := range bearers {
		for _, method := range []string{"GET", "HEAD", "PATCH", "PUT", "DELETE"} {
			got := n.sees(404, bearer, method, upload+"?digest="+digestOf([]byte("half of")), nil)
			if method != "HEAD" && !strings.Contains(got.body, "BLOB_UPLOAD_UNKNOWN") {
				n.t.Errorf("%s: %s", method, got.body)
			}
		}
	}
}

// An upload's id is no permission (I7): who may push to the same repository cannot
// go on with it, end it or look at it. Who began it can, whatever proves who that
// is, and after a restart.
func TestUploadsBelongToWhoBeganThem(t *testing.T) {
	data := t.TempDir()
	n := start(t, appliance.Config{Data: data})
	password, err := n.client().AddUser(t.Context(), "ann", api.UserRequest{})
	if err != nil {
		t.Fatal(err)
	}
	n.grant(meta.SubjectUser, "ann", "registry-editor on team")
	robot := n.robot("ann", "registry-editor on team") // of the same name, and somebody else
	bob := n.robot("bob", "registry-admin on team")
	access, refresh := n.refreshable("ann", password)

	upload := n.sees(202, access, "POST", "/v2/team/app/blobs/uploads/", nil).head.Get("Location")
	n.sees(202, access, "PATCH", upload, []byte("half"))
	n.want(404, "GET", upload, "", nil) // an administrator
	n.strangers(upload, robot, bob, n.ticket(bob, "repository:team/app:pull,push"))

	refreshed := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}}
	access, _ = n.grantedBy(refreshed)
	n.sees(202, access, "PATCH", upload, []byte(" of"))

	n.stop()
	n = start(t, appliance.Config{Data: data})
	n.strangers(upload, robot, bob)
	access, _ = n.refreshable("ann", password)
	n.sees(204, access, "GET", upload, nil)
	n.sees(201, access, "PUT", upload+"?digest="+digestOf([]byte("half of it")), []byte(" it"))
}

// Where everybody may push, the uploads of nobody in particular are anybody's who
// says nothing, and nobody else's.
func TestAnonymousUploadsBelongToAnonymous(t *testing.T) {
	n := start(t, appliance.Config{Data: t.TempDir()})
	n.grant(meta.SubjectGroup, "system:unauthenticated", "system:image-pusher on team")
	n.grant(meta.SubjectGroup, "system:unauthenticated", "system:image-puller on team")
	bob := n.robot("bob")
	upload := n.sees(202, "", "POST", "/v2/team/app/blobs/uploads/", nil).head.Get("Location")
	n.strangers(upload, bob)
	n.sees(202, n.ticket("", "repository:team/app:pull,push"), "PATCH", upload, []byte("half"))
	n.strangers(n.sees(202, bob, "POST", "/v2/team/app/blobs/uploads/", nil).head.Get("Location"), "")
	n.sees(201, "", "PUT", upload+"?digest="+digestOf([]byte("half of it")), []byte(" of it"))
}
