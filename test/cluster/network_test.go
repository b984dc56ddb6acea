//go:build cluster

package cluster

import (
	"net/http"
	"os/exec"
	"testing"

	"skerry.dev/skerry/test/skerry"
)

// TestCutsCut shows that the network does what the other tests count on.
func TestCutsCut(t *testing.T) {
	n := newNetwork(t)
	a, b := n.host(1), n.host(2)
	bin := skerry.New(t, skerry.Options{}).Options.Binary
	s := skerry.Start(t, skerry.Options{
		Binary: a.program(bin), Listen: a.ip() + ":5000", Dial: n.dial, Args: []string{"--name", a.ip()},
	})
	if status, _, _ := s.Do(http.MethodGet, "/v2/", nil, nil); status != http.StatusOK {
		t.Fatalf("a client from the hub gets %d", status)
	}
	reach := func() error { // opens a connection
		return exec.Command(b.program("/usr/bin/timeout"), "1", "bash", "-c", "exec 3<>/dev/tcp/"+a.ip()+"/5000").Run()
	}
	if err := reach(); err != nil {
		t.Errorf("from the other host: %v", err)
	}
	a.deaf(b)
	if err := reach(); err == nil {
		t.Error("cut off, the other host still gets an answer")
	}
	a.heal()
	if err := reach(); err != nil {
		t.Errorf("healed: %v", err)
	}
}
