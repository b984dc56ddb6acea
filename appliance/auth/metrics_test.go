package auth_test

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"skerry.dev/skerry/appliance/auth"
)

// counted is a refusal's counter.
func (w *world) counted(method auth.Method, result string) float64 {
	var m dto.Metric
	if err := w.Collectors()[0].(*prometheus.CounterVec).WithLabelValues(string(method), result).Write(&m); err != nil {
		w.t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}

func TestRefusedLoginsAreCounted(t *testing.T) {
	w := newWorld(t)
	good := w.made("ann")
	_, _ = w.Authenticate(request(""))
	_, _ = w.Authenticate(request(basic("ann", good)))
	_, _ = w.Authenticate(request("Bearer " + auth.TokenPrefix + "none"))
	for range auth.AddressFailures + 4 { // one failed already
		w.token(basic("ann", "wrong"), nil)
	}
	for _, c := range []struct {
		method auth.Method
		result string
		want   int
	}{
		{auth.MethodToken, "failed", 1},
		{auth.MethodPassword, "failed", auth.AddressFailures - 1},
		{auth.MethodPassword, "limited", 5},
		{auth.MethodOIDC, "failed", 0},
	} {
		if got := w.counted(c.method, c.result); got != float64(c.want) {
			t.Errorf("%s %s: %v, want %v", c.method, c.result, got, c.want)
		}
	}
}
