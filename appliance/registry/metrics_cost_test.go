//go:build !race

package registry_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"skerry.dev/skerry/appliance/registry"
)

// Under the race detector a pool forgets at random, on purpose.
func TestCountingARequestAllocatesNothing(t *testing.T) {
	count := registry.Counting()
	s := &sink{head: http.Header{}}
	r := httptest.NewRequest("GET", "/v2/a/manifests/v1", nil)
	if n := testing.AllocsPerRun(1000, func() { count(s, r) }); n != 0 {
		t.Errorf("%v allocations per request", n)
	}
}
