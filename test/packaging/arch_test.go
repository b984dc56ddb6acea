//go:build packaging

package packaging

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"skerry.dev/skerry/test/skerry"
)

// TestTheOtherArchitectureServes runs the program of the package for machines of
// another kind than this one, emulated, restarts it after kill -9, and pulls what
// was pushed to it.
func TestTheOtherArchitectureServes(t *testing.T) {
	t.Parallel()
	arch, emulator := "arm64", "qemu-aarch64"
	if runtime.GOARCH == arch {
		arch, emulator = "amd64", "qemu-x86_64"
	}
	dir := t.TempDir()
	command(t, "dpkg-deb", "-x", pack(t, "new", newVersion, arch, "deb"), dir)
	program := filepath.Join(dir, "emulated")
	script := fmt.Sprintf("#!/bin/sh\nexec %s %s \"$@\"\n", emulator, filepath.Join(dir, "usr/bin/skerry"))
	if err := os.WriteFile(program, []byte(script), 0o700); err != nil { //nolint:gosec // it is run
		t.Fatal(err)
	}
	s := skerry.Start(t, skerry.Options{Binary: program})
	p := newPodman(t, s)
	creds, ref := s.User+":"+s.Password, "docker://"+s.Addr+"/skerry/skerry:1"
	p.run("skopeo", "--insecure-policy", "copy", "-q", "--all", "--dest-creds", creds, "--dest-cert-dir", p.certs,
		"oci:"+made(t, "new", "image")+":"+newVersion, ref)
	s.Kill()
	s.Restart()
	p.run("skopeo", "--insecure-policy", "copy", "-q", "--all", "--src-creds", creds, "--src-cert-dir", p.certs,
		ref, "oci:"+filepath.Join(dir, "pulled"))
}
