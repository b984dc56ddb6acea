//go:build packaging

package packaging

import (
	"bytes"
	"crypto/sha256"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"skerry.dev/skerry/test/skerry"
)

// What make packaging builds.
const (
	newVersion = "1.2.4"
	oldVersion = "1.2.3"
)

// made is a path below bin/packaging.
func made(t *testing.T, elem ...string) string {
	t.Helper()
	return filepath.Join(append([]string{skerry.ModuleRoot(t), "bin", "packaging"}, elem...)...)
}

// pack is a package for this machine, or for another.
func pack(t *testing.T, dir, version, arch, format string) string {
	t.Helper()
	return made(t, dir, "skerry_"+version+"_"+arch+"."+format)
}

// command runs a command to a good end and returns all that it writes.
func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	return finish(t, exec.CommandContext(t.Context(), name, args...))
}

func finish(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return string(out)
}

// unpacked is a new directory with what the package for this machine holds.
func unpacked(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	command(t, "dpkg-deb", "-x", pack(t, "new", newVersion, runtime.GOARCH, "deb"), dir)
	return dir
}

func TestTheSameSourcesMakeTheSameBytes(t *testing.T) {
	t.Parallel()
	first, again := tree(t, made(t, "new")), tree(t, made(t, "again"))
	if len(first) < 5+8 { // packages and sums; a layout, an index, and a manifest, a config and a layer twice
		t.Errorf("only %d files were made", len(first))
	}
	for name, sum := range first {
		if again[name] != sum {
			t.Errorf("%s differs", name)
		}
	}
	if len(again) != len(first) {
		t.Errorf("%d files, then %d", len(first), len(again))
	}
	cmd := exec.CommandContext(t.Context(), "sha256sum", "--check", "--strict", "SHA256SUMS")
	cmd.Dir = made(t, "new")
	if n := strings.Count(finish(t, cmd), ": OK\n"); n != 4 {
		t.Errorf("SHA256SUMS has %d good lines, want 4", n)
	}
}

// tree has the sum of every file below a directory.
func tree(t *testing.T, dir string) map[string][sha256.Size]byte {
	t.Helper()
	sums := map[string][sha256.Size]byte{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		sums[strings.TrimPrefix(path, dir)] = sha256.Sum256(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sums
}

func TestLintersOfPackagesFindNothing(t *testing.T) {
	t.Parallel()
	for _, arch := range []string{"amd64", "arm64"} {
		out := command(t, "lintian", "--allow-root", "--fail-on", "error,warning", pack(t, "new", newVersion, arch, "deb"))
		if strings.TrimSpace(out) != "" {
			t.Errorf("lintian, %s:\n%s", arch, out)
		}
		out = command(t, "rpmlint", "--config", filepath.Join(skerry.ModuleRoot(t), "packaging", "rpm", "rpmlint.toml"),
			pack(t, "new", newVersion, arch, "rpm"))
		if !strings.Contains(out, " 0 errors, 0 warnings") {
			t.Errorf("rpmlint, %s:\n%s", arch, out)
		}
	}
}

// TestTheUnitIsHardened shows systemd's own measure, from 0 to 10, of what the
// service could do to its machine.
func TestTheUnitIsHardened(t *testing.T) {
	t.Parallel()
	const most = 2.0
	unit := filepath.Join(unpacked(t), "usr/lib/systemd/system/skerry.service")
	out := command(t, "systemd-analyze", "security", "--offline=true", "--no-pager", unit)
	m := regexp.MustCompile(`Overall exposure level for skerry\.service: ([0-9.]+)`).FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("no exposure level in:\n%s", out)
	}
	level, err := strconv.ParseFloat(m[1], 64)
	if err != nil || level > most {
		t.Errorf("exposure level %s, want %.1f at most, %v\n%s", m[1], most, err, out)
	}
	t.Logf("exposure level %s of 10, limit %.1f", m[1], most)
}

func TestTheManualPageIsClean(t *testing.T) {
	t.Parallel()
	page := filepath.Join(unpacked(t), "usr/share/man/man1/skerry.1.gz")
	if out := command(t, "mandoc", "-Tlint", page); out != "" {
		t.Errorf("mandoc:\n%s", out)
	}
	cmd := exec.CommandContext(t.Context(), "man", "--warnings", "-l", page)
	var text, warnings bytes.Buffer
	cmd.Env = append(os.Environ(), "MANROFFSEQ=", "LC_ALL=C.UTF-8", "MANWIDTH=100")
	cmd.Stdout, cmd.Stderr = &text, &warnings
	if err := cmd.Run(); err != nil || warnings.Len() > 0 {
		t.Errorf("man: %v\n%s", err, &warnings)
	}
	for _, want := range []string{"skerry tag history REPOSITORY:TAG", "--drain-timeout DURATION", "EXIT STATUS"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the page does not have %q", want)
		}
	}
}

// TestShellsComplete asks each shell, with the file that is installed for it,
// what may follow.
func TestShellsComplete(t *testing.T) {
	t.Parallel()
	root := unpacked(t)
	share := filepath.Join(root, "usr/share")
	for name, shell := range map[string][]string{
		"bash": {"bash", "--norc", "-c", `. ` + share + `/bash-completion/completions/skerry
			COMP_WORDS=(skerry und) COMP_CWORD=1; _skerry; echo "${COMPREPLY[@]}"`},
		"fish": {"fish", "--no-config", "-c", `source ` + share + `/fish/vendor_completions.d/skerry.fish
			complete -C 'skerry und'`},
		"zsh": {"zsh", "-f", "-c", `fpath=(` + share + `/zsh/vendor-completions $fpath)
			autoload -Uz compinit; compinit -u -D
			[[ ${_comps[skerry]} == _skerry ]] || exit 1
			_describe() { print -l -- ${(P)2} }
			words=(skerry und) CURRENT=2; _skerry`},
	} {
		cmd := exec.CommandContext(t.Context(), shell[0], shell[1:]...)
		cmd.Env = append(os.Environ(), "PATH="+filepath.Join(root, "usr/bin")+":"+os.Getenv("PATH"), "HOME="+t.TempDir())
		words := strings.FieldsFunc(finish(t, cmd), func(r rune) bool { return strings.ContainsRune(" \t\n:", r) })
		if !slices.Contains(words, "undelete") {
			t.Errorf("%s completes \"skerry und\" with %q", name, words)
		}
	}
}
