//go:build cluster

package cluster

import (
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content/oci"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
)

// A world of clients is three nodes behind a balancer, one login, and an image of
// several layers.
type balanced struct {
	*shell
	*local
	door   *balancer
	image  string // an OCI layout
	digest digest.Digest
}

// newBalanced makes one. Its clients know the balancer's address alone.
func newBalanced(t *testing.T) *balanced {
	t.Helper()
	b := &balanced{local: newLocal(t, 3)}
	b.shell = newShell(t, b.nodes[0].CA)
	b.image = b.path("image")
	var nodes []string
	for _, n := range b.nodes {
		nodes = append(nodes, n.Addr)
	}
	b.door = balance(t, nodes...)
	b.digest = writeLayout(t, b.image, 6, 3<<20)
	b.login(b.door.addr(), b.nodes[0])
	return b
}

func (b *balanced) ref(name string) string { return b.door.addr() + "/" + name }

// wantSpread fails the test unless every node got connections: else nothing was tested.
func (b *balanced) wantSpread() {
	b.shell.t.Helper()
	for i := range b.nodes {
		if b.door.served[i].Load() < 2 {
			b.shell.t.Errorf("node %d got %d connections", i+1, b.door.served[i].Load())
		}
	}
}

// TestClientsNeedNoAffinity has each client log in once and push and pull through the
// balancer: whatever node a request comes to, the tokens of another one count, and
// uploads go on where they were begun.
func TestClientsNeedNoAffinity(t *testing.T) {
	b := newBalanced(t)
	for client, roundTrip := range map[string]func(*balanced, string){
		"skopeo": (*balanced).skopeo, "podman": (*balanced).podman, "buildah": (*balanced).buildah,
		"crane": (*balanced).crane, "oras": (*balanced).oras,
	} {
		t.Run(client, func(t *testing.T) {
			own, at := *b, *b.shell
			own.shell, at.t = &at, t
			for _, tag := range []string{"1", "2", "3"} {
				roundTrip(&own, client+"/app:"+tag)
			}
		})
	}
	b.wantSpread()
}

func (b *balanced) skopeo(name string) {
	t := b.shell.t
	t.Helper()
	// Its cache knows compressed layers that other clients pushed, and would push those instead.
	b.run("skopeo", "copy", "-q", "--preserve-digests", "--dest-cert-dir", b.certs(),
		"oci:"+b.image+":latest", "docker://"+b.ref(name))
	back := filepath.Join(t.TempDir(), "back")
	b.run("skopeo", "copy", "-q", "--src-cert-dir", b.certs(), "docker://"+b.ref(name), "dir:"+back)
	if got := b.run("skopeo", "manifest-digest", filepath.Join(back, "manifest.json")); got != b.digest.String() {
		t.Errorf("%s came back as %s, want %s", name, got, b.digest)
	}
}

func (b *balanced) podman(name string) {
	t := b.shell.t
	t.Helper()
	id := b.run("podman", "pull", "-q", "oci:"+b.image+":latest")
	b.run("podman", "push", "-q", "--cert-dir", b.certs(), id, "docker://"+b.ref(name))
	b.run("podman", "rmi", "-f", id)
	if back := b.run("podman", "pull", "-q", "--cert-dir", b.certs(), "docker://"+b.ref(name)); back != id {
		t.Errorf("%s came back as %s, want %s", name, back, id)
	}
	b.run("podman", "rmi", "-f", id)
}

func (b *balanced) buildah(name string) {
	t := b.shell.t
	t.Helper()
	id := b.run("buildah", "pull", "-q", "oci:"+b.image+":latest")
	b.run("buildah", "push", "-q", "--cert-dir", b.certs(), id, "docker://"+b.ref(name))
	b.run("buildah", "rmi", "-f", id)
	if back := b.run("buildah", "pull", "-q", "--cert-dir", b.certs(), "docker://"+b.ref(name)); back != id {
		t.Errorf("%s came back as %s, want %s", name, back, id)
	}
	b.run("buildah", "rmi", "-f", id)
}

func (b *balanced) crane(name string) {
	t := b.shell.t
	t.Helper()
	as := b.nodes[0]
	b.input(as.Password, "crane", "auth", "login", b.door.addr(), "-u", as.User, "--password-stdin")
	b.run("crane", "push", b.image, b.ref(name))
	b.run("crane", "validate", "--remote", b.ref(name))
	if got := b.run("crane", "digest", b.ref(name)); got != b.digest.String() {
		t.Errorf("%s is %s, want %s", name, got, b.digest)
	}
}

func (b *balanced) oras(name string) {
	t, as := b.shell.t, b.nodes[0]
	t.Helper()
	there, err := remote.NewRepository(b.ref(name))
	if err != nil {
		t.Fatal(err)
	}
	there.Client = &auth.Client{
		Client: as.Client(), Cache: auth.NewCache(),
		Credential: auth.StaticCredential(b.door.addr(), auth.Credential{Username: as.User, Password: as.Password}),
	}
	here, err := oci.New(b.image)
	if err != nil {
		t.Fatal(err)
	}
	tag := there.Reference.Reference
	if _, err := oras.Copy(t.Context(), here, "latest", there, tag, oras.DefaultCopyOptions); err != nil {
		t.Fatal(err)
	}
	back, err := oci.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	got, err := oras.Copy(t.Context(), there, tag, back, tag, oras.DefaultCopyOptions)
	if err != nil || got.Digest != b.digest {
		t.Errorf("%s came back as %s, want %s: %v", name, got.Digest, b.digest, err)
	}
}
