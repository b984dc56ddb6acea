package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// places are where the clients of a machine look for CAs.
type places struct {
	root    string // "" is /
	user    string // home directory of an ordinary user, whose clients have their own; "" for root
	clients []string
}

// The clients.
const (
	podman     = "podman" // and skopeo, buildah, CRI-O
	docker     = "docker"
	containerd = "containerd"
	system     = "system"
)

// trustPlaces are those of the clients named, or else of those that are here.
func trustPlaces(clients []string, root string) (places, error) {
	p := places{clients: clients}
	var err error
	switch {
	case root != "":
		p.root, err = filepath.Abs(root)
	case os.Geteuid() != 0:
		p.user, err = os.UserHomeDir()
	}
	if err != nil {
		return p, err
	}
	for _, name := range clients {
		if !slices.Contains([]string{podman, docker, containerd, system}, name) {
			return p, usagef("client %q: want podman, docker, containerd or system", name)
		}
	}
	for _, name := range []string{podman, docker, containerd} {
		if len(clients) == 0 && p.has(name) {
			p.clients = append(p.clients, name)
		}
	}
	if len(p.clients) == 0 {
		return p, errors.New("there is no podman, docker or containerd here: name those to come, or system")
	}
	return p, nil
}

// has says whether a client is installed.
func (p places) has(client string) bool {
	etc := client
	if client == podman {
		etc = "containers"
	}
	if st, err := os.Stat(p.path("etc", etc)); err == nil && st.IsDir() {
		return true
	}
	_, err := exec.LookPath(client)
	return err == nil && p.root == ""
}

func (p places) path(elem ...string) string {
	return filepath.Join(append([]string{"/", p.root}, elem...)...)
}

// A trustFile is what one client wants for one host. One with a mark may be of
// the administrator's own making, and is ours only if it begins with the mark.
type trustFile struct {
	path    string
	content []byte
	mark    string
}

// hostsMark is the first line of a hosts.toml of ours.
const hostsMark = "# Written by skerry trust.\n"

// files are those of a client for a host, in the order to write them in.
func (p places) files(client, host string, ca []byte) []trustFile {
	switch client {
	case podman:
		dir := p.path("etc", "containers", "certs.d", host)
		if p.user != "" {
			dir = filepath.Join(p.user, ".config", "containers", "certs.d", host)
		}
		return []trustFile{{path: filepath.Join(dir, "ca.crt"), content: ca}}
	case docker:
		dir := p.path("etc", "docker", "certs.d", host)
		if p.user != "" {
			dir = filepath.Join(p.user, ".config", "docker", "certs.d", host)
		}
		return []trustFile{{path: filepath.Join(dir, "ca.crt"), content: ca}}
	case containerd:
		dir := p.path("etc", "containerd", "certs.d", host)
		toml := fmt.Sprintf(hostsMark+"server = %q\n\n[host.%[1]q]\n  ca = \"ca.crt\"\n", "https://"+host)
		return []trustFile{ // hosts.toml names ca.crt
			{path: filepath.Join(dir, "ca.crt"), content: ca},
			{path: filepath.Join(dir, "hosts.toml"), content: []byte(toml), mark: hostsMark},
		}
	}
	name := "skerry-" + strings.NewReplacer(":", "_", "[", "", "]", "").Replace(host) + ".crt"
	dir, _ := p.system()
	return []trustFile{{path: filepath.Join(dir, name), content: ca}}
}

// system is where the system's CAs are added, and what makes them known then:
// Red Hat's way where it is there, else Debian's.
func (p places) system() (dir string, update []string) {
	dir = p.path("etc", "pki", "ca-trust", "source", "anchors")
	if st, err := os.Stat(dir); err == nil && st.IsDir() {
		return dir, []string{"update-ca-trust", "extract"}
	}
	return p.path("usr", "local", "share", "ca-certificates"), []string{"update-ca-certificates"}
}

// add writes what is not there yet. What was written before an error stays, and
// the next run goes on from there.
func (p places) add(ctx context.Context, w io.Writer, hosts []string, ca []byte) error {
	return p.each(ctx, w, hosts, ca, func(f trustFile) (string, error) {
		have, err := os.ReadFile(f.path)
		switch {
		case err == nil && bytes.Equal(have, f.content):
			return "unchanged", nil
		case err == nil && !bytes.HasPrefix(have, []byte(f.mark)):
			return "", fmt.Errorf("%s is not of skerry's making and stays as it is: add to its host the line\n  ca = %q",
				f.path, filepath.Join(filepath.Dir(f.path), "ca.crt"))
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return "", err
		}
		return "written", replaceFile(f.path, f.content)
	})
}

// remove deletes what add writes, and directories that are empty then.
func (p places) remove(ctx context.Context, w io.Writer, hosts []string) error {
	return p.each(ctx, w, hosts, nil, func(f trustFile) (string, error) {
		have, err := os.ReadFile(f.path)
		if errors.Is(err, fs.ErrNotExist) {
			return "unchanged", nil
		}
		if err != nil {
			return "", err
		}
		if !bytes.HasPrefix(have, []byte(f.mark)) {
			return "", fmt.Errorf("%s is not of skerry's making and stays as it is", f.path)
		}
		if err := os.Remove(f.path); err != nil {
			return "", err
		}
		if filepath.Base(filepath.Dir(filepath.Dir(f.path))) == "certs.d" {
			_ = os.Remove(filepath.Dir(f.path)) // fails while something else is in it
		}
		return "removed", nil
	})
}

// each does something with every file, says what, and lets the system know.
func (p places) each(
	ctx context.Context, w io.Writer, hosts []string, ca []byte, do func(trustFile) (string, error),
) error {
	for _, client := range p.clients {
		for _, host := range hosts {
			files := p.files(client, host, ca)
			if ca == nil {
				slices.Reverse(files)
			}
			for _, f := range files {
				done, err := do(f)
				if errors.Is(err, fs.ErrPermission) {
					err = fmt.Errorf("%w: run it as root", err)
				}
				if err != nil {
					return fmt.Errorf("trust for %s: %w", client, err)
				}
				row(w, client, done, f.path)
			}
		}
	}
	if !slices.Contains(p.clients, system) {
		return nil
	}
	return p.update(ctx, w) // also when nothing changed: the last time it may have failed
}

// update makes the system's CAs known to its programs.
func (p places) update(ctx context.Context, w io.Writer) error {
	_, update := p.system()
	if p.root != "" {
		row(w, system, "to be run in "+p.root, strings.Join(update, " "))
		return nil
	}
	if out, err := exec.CommandContext(ctx, update[0], update[1:]...).CombinedOutput(); err != nil { //nolint:gosec // ours
		return fmt.Errorf("%s: %w\n%s", strings.Join(update, " "), err, out)
	}
	row(w, system, "run", strings.Join(update, " "))
	return nil
}

// replaceFile puts a file in place for everybody to read: whoever looks finds
// the old one or the new, whatever happens.
func replaceFile(path string, content []byte) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // clients of all users look there
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.tmp")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = f.Write(content)
	if err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
