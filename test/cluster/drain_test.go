//go:build cluster

package cluster

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// TestAStopTakesForwardedUploadsToTheirEnd asks a node to stop while a client sends it
// a blob through another node.
func TestAStopTakesForwardedUploadsToTheirEnd(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	stopped, through := c.nodes[2], c.nodes[1]
	status, head, _ := stopped.Do(http.MethodPost, "/v2/team/app/blobs/uploads/", nil, nil)
	location := head.Get("Location")
	if status != http.StatusAccepted {
		t.Fatalf("an upload begins with %d at %s", status, location)
	}
	half := bytes.Repeat([]byte("x"), layerSize)
	d := digest.FromBytes(append(half, half...))
	body, send := io.Pipe()
	done := make(chan string, 1)
	go func() { // ends with the body
		status, _, answer, err := through.TryDo(http.MethodPatch, location, nil, body)
		done <- fmt.Sprint(status, " ", string(answer), err)
	}()
	if _, err := send.Write(half); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(stopped.PID(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	c.eventually("it says that it stops", func() error {
		if status, _, _, err := stopped.try(http.MethodGet, "/readyz", nil, nil); err == nil && status == http.StatusOK {
			return fmt.Errorf("it is ready")
		}
		return nil
	})
	if _, err := send.Write(half); err != nil {
		t.Fatal(err)
	}
	if err := send.Close(); err != nil {
		t.Fatal(err)
	}
	if answer := <-done; !strings.HasPrefix(answer, "202 ") {
		t.Errorf("the rest of the blob is answered with %s", answer)
	}
	status, _, answer := through.Do(http.MethodPut, location+"?digest="+d.String(), nil, nil)
	if status != http.StatusCreated {
		t.Errorf("the upload ends with %d %s", status, answer)
	}
	<-stopped.Done()
	for _, n := range c.without(stopped) {
		c.eventually(n.name+" has the blob", func() error {
			status, _, got, err := n.try(http.MethodGet, "/v2/team/app/blobs/"+d.String(), nil, nil)
			if err != nil || status != http.StatusOK || len(got) != 2*len(half) {
				return fmt.Errorf("%d, %d bytes: %w", status, len(got), err)
			}
			return nil
		})
	}
}

// TestADrainLeavesTheMajorityAlone drains one node of three, and has another one die.
func TestADrainLeavesTheMajorityAlone(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	leaving := c.leader(c.nodes[0])
	rest := c.without(leaving)
	leaving.command("cluster", "drain", leaving.name)
	c.eventually("another one leads", func() error {
		if l := c.leader(rest[0]); l == leaving {
			return fmt.Errorf("%s does", l.name)
		}
		return nil
	})
	for range 30 { // as often as who leads looks at votes in that time, and oftener
		if err := c.allVote(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond) //nolint:forbidigo // it is to stay so
	}
	rest[1].Kill()
	c.eventually("something is agreed on", func() error {
		b := []byte("a blob")
		path := "/v2/team/app/blobs/uploads/?digest=" + digest.FromBytes(b).String()
		status, _, answer, err := rest[0].try(http.MethodPost, path, nil, b)
		if err == nil && status != http.StatusCreated {
			err = fmt.Errorf("%d %s", status, answer)
		}
		return err
	})
}
