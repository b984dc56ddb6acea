//go:build conformance

package conformance_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"
)

// "Listing Tags"
func TestListingTags(t *testing.T) {
	hold(
		t,
		sentence{"all, in order", tagsAreSorted},
		sentence{"none", tagListMayBeEmpty},
		sentence{"no repository", tagsOfNoRepository},
		sentence{"n", nLimitsTags},
		sentence{"n is zero", zeroTags},
		sentence{"last", lastIsNotIncluded},
		sentence{"link", linkLeadsThroughAll},
		sentence{"many", manyTagsAreAllThere},
		sentence{"bad n", badNIsRefused},
	)
}

// tags decodes a tag list.
func (p *reply) tags() (name string, tags []string) {
	p.t.Helper()
	var list struct {
		Name string   `json:"name"`
		Tags []string `json:"tags"`
	}
	if err := json.Unmarshal(p.body, &list); err != nil || !p.isJSON() {
		p.fail("not a tag list: %v", err)
		p.t.FailNow()
	}
	if list.Tags == nil {
		p.fail("tags is no array")
	}
	return list.Name, list.Tags
}

// wantTags demands exactly these tags in this order.
func (p *reply) wantTags(name string, want ...string) *reply {
	p.t.Helper()
	gotName, got := p.tags()
	if gotName != name {
		p.fail("name is %q, want %q", gotName, name)
	}
	if !slices.Equal(got, want) {
		p.fail("tags are %.200q, want %.200q", got, want)
	}
	return p
}

var linkForm = regexp.MustCompile(`^<([^>]*)>; *rel="?next"?$`)

// next returns where a Link header leads, or "". "the `Link` header MUST be set
// according to RFC5988 with the Relation Type `rel="next"`"
func (p *reply) next() string {
	p.t.Helper()
	link := p.header.Get("Link")
	if link == "" {
		return ""
	}
	m := linkForm.FindStringSubmatch(link)
	if m == nil {
		p.fail("Link %q is not of the form <…>; rel=\"next\"", link)
		p.t.FailNow()
	}
	u, err := p.url.Parse(m[1])
	if err != nil {
		p.fail("Link %q: %v", link, err)
		p.t.FailNow()
	}
	return u.String()
}

// tagged pushes an image and gives it the tags, in an order that is not theirs.
func (r *repository) tagged(tags ...string) {
	r.t.Helper()
	b, m := smallImage(r.t, digest.SHA256)
	r.push(b)
	for _, tag := range slices.Backward(tags) {
		r.putManifest(m, tag, "").want(http.StatusCreated)
	}
}

// numbered returns n tags in order.
func numbered(n int) []string {
	tags := make([]string, n)
	for i := range tags {
		tags[i] = fmt.Sprintf("tag-%05d", i)
	}
	return tags
}

// "this request MUST return a `200 OK` response code", "the response MUST be a json
// body in the following format" and "the tags MUST be in lexical … or
// ASCIIbetical order". Only the second of the orders suits `last` as clients use
// it, so that is demanded.
func tagsAreSorted(r *repository) {
	tags := []string{"0", "1.10", "1.9", "B", "_", "a", "a-b", "a.b", "a0", "aB", "a_b", "b"}
	slices.Sort(tags)
	r.tagged(tags...)
	r.get(r.tagsPath("")).want(http.StatusOK).wantTags(r.name, tags...).wantNoHeader("Link")
}

// "The list of tags MAY be empty if there are no tags on the repository."
func tagListMayBeEmpty(r *repository) {
	b, _ := smallImage(r.t, digest.SHA256)
	r.push(b) // by digest alone
	r.get(r.tagsPath("")).want(http.StatusOK).wantTags(r.name)
	other := r.repo(r.t)
	other.tagged("only")
	other.delete(other.manifestPath("only")).want(http.StatusAccepted)
	other.get(other.tagsPath("")).want(http.StatusOK).wantTags(other.name)
}

// "Assuming a repository is found": otherwise end-8a fails with 404, and code-9
// says why.
func tagsOfNoRepository(r *repository) {
	r.get(r.tagsPath("")).wantError(http.StatusNotFound, "NAME_UNKNOWN")
}

// "The response to such a request MAY return fewer than `<int>` results, but only
// when the total number of tags … is less than `<int>` or a `Link` header is
// provided. Otherwise, the response MUST include `<int>` results."
func nLimitsTags(r *repository) {
	tags := numbered(7)
	r.tagged(tags...)
	for n := 1; n <= 6; n++ {
		p := r.get(r.tagsPath(fmt.Sprintf("?n=%d", n))).want(http.StatusOK).wantTags(r.name, tags[:n]...)
		if p.next() == "" {
			p.fail("tags remain, and no Link leads to them")
		}
	}
	for _, n := range []int{7, 8, 100, 1000, 1_000_000} {
		r.get(r.tagsPath(fmt.Sprintf("?n=%d", n))).want(http.StatusOK).wantTags(r.name, tags...)
	}
}

// "When `n` is zero, this endpoint MUST return an empty list, and MUST NOT include
// a `Link` header."
func zeroTags(r *repository) {
	r.tagged(numbered(3)...)
	for _, query := range []string{"?n=0", "?n=0&last=tag-00000"} {
		r.get(r.tagsPath(query)).want(http.StatusOK).wantTags(r.name).wantNoHeader("Link")
	}
}

// "`<tagname>` will not be included in the results, but up to `<int>` tags *after*
// `<tagname>` will be returned." "When using the `last` query parameter, the `n`
// parameter is OPTIONAL."
func lastIsNotIncluded(r *repository) {
	tags := numbered(7)
	r.tagged(tags...)
	list := func(query string) *reply { return r.get(r.tagsPath(query)).want(http.StatusOK) }
	for i, tag := range tags {
		list("?last="+tag).wantTags(r.name, tags[i+1:]...)
		list("?n=2&last="+tag).wantTags(r.name, tags[i+1:min(i+3, 7)]...)
	}
	list("?last=tag-00003-and-a-half").wantTags(r.name, tags[4:]...) // a tag that is not there
	list("?last=zzz").wantTags(r.name).wantNoHeader("Link")
	list("?last=0").wantTags(r.name, tags...) // "MUST NOT be a numerical index"
	list("?last=2").wantTags(r.name, tags...)
}

// walk follows the links from to and returns all tags.
func (r *repository) walk(to string) []string {
	r.t.Helper()
	var all []string
	for pages := 0; to != ""; pages++ {
		if pages > 1000 {
			r.t.Fatal("the links do not end")
		}
		p := r.get(to).want(http.StatusOK)
		_, tags := p.tags()
		all = append(all, tags...)
		to = p.next()
	}
	return all
}

// "A `Link` header MAY be included in the response when additional tags are
// available." Where it leads, every tag comes once.
func linkLeadsThroughAll(r *repository) {
	tags := append(numbered(10), "z_Z.9-")
	r.tagged(tags...)
	for _, n := range []int{1, 2, 3, 10, 11} {
		if got := r.walk(r.tagsPath(fmt.Sprintf("?n=%d", n))); !slices.Equal(got, tags) {
			r.t.Errorf("n=%d: the links lead to %q, want %q", n, got, tags)
		}
	}
}

// The same sentences when there are more tags than fit a page: all of them, or a
// Link.
func manyTagsAreAllThere(r *repository) {
	tags := numbered(1203)
	r.tagged(tags...)
	for _, query := range []string{"", "?n=1200", "?n=10000", "?n=500&last=" + url.QueryEscape(tags[1])} {
		want := tags
		if query != "" && query[len(query)-1] == '1' {
			want = tags[2:]
		}
		if got := r.walk(r.tagsPath(query)); !slices.Equal(got, want) {
			r.t.Errorf("%q: %d tags, want %d", query, len(got), len(want))
		}
	}
}

// "`<int>` is an integer specifying the number of tags requested".
func badNIsRefused(r *repository) {
	r.tagged("a", "b")
	for _, n := range []string{"x", "-1", "1.5"} {
		r.get(r.tagsPath("?n=" + n)).wantRefused()
	}
}
