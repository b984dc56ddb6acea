package appliance_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"skerry.dev/skerry/appliance"
)

// What a request pays for the Config object, without limits and with: compare
// with the handler alone.
func BenchmarkRuled(b *testing.B) {
	nothing := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	for _, bench := range []struct {
		name    string
		handler http.Handler
	}{
		{"alone", nothing},
		{"no limit", appliance.Ruled(nothing, 0)},
		{"limit", appliance.Ruled(nothing, 1000)},
	} {
		b.Run(bench.name, func(b *testing.B) {
			r := httptest.NewRequest(http.MethodGet, "/v2/", nil)
			b.ReportAllocs()
			for b.Loop() {
				bench.handler.ServeHTTP(nil, r)
			}
		})
	}
}
