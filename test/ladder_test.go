package test_test

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "skerry.dev/skerry"

// tags turns on every file that is only built for a special test.
const tags = "acme,alerts,clients,conformance,crash,crashpoints,bench,packaging,storage"

// everywhere is what any package of ours may import.
var everywhere = []string{"test/crash/point"}

// ladder says which packages of ours a package may import. A missing row is a
// package nobody has placed yet, which is an error too.
var ladder = map[string][]string{
	"":              {"appliance/cli"},
	"appliance/cli": {"appliance", "appliance/api", "appliance/setting", "meta"}, // meta's nouns are the control API's
	"appliance": {
		"appliance/registry", "appliance/api", "appliance/console", "appliance/auth", "appliance/mirror",
		"appliance/peer", "appliance/replicate",
		"kube", "kube/resource", "blobstore", "blobstore/object", "meta", "raft", "tls",
	},
	"appliance/registry": {"appliance/auth", "appliance/mirror", "blobstore", "meta"},
	"appliance/peer":     {}, // what nodes say to each other; plain arguments, joined in appliance
	"appliance/setting":  {}, // tables, files and flags; it knows no setting by name
	"appliance/api":      {"appliance/auth", "kube/resource", "meta"},
	"appliance/console":  {"appliance/auth", "meta"},
	"appliance/mirror":   {"appliance/auth", "blobstore", "meta"},
	"kube":               {"kube/resource", "meta"},
	"appliance/auth":     {"meta"},
	"kube/resource":      {"meta"},
	"blobstore":          {},
	"meta":               {},
	"raft":               {},
	"tls":                {},

	"appliance/replicate":     {"blobstore", "meta"}, // copies of the one, recorded in the other
	"blobstore/object":        {"blobstore"},         // an object store in the disk's place
	"blobstore/blobstoretest": {"blobstore"},
	"test":                    {},
	"test/alerts":             {},
	"test/acme":               {"test/skerry", "tls"},
	"test/bench":              {"test/skerry"},
	"test/clients":            {"test/skerry"},
	"test/cluster":            {"test/skerry"},
	"test/conformance":        {"test/skerry"},
	"test/crash":              {"test/crash/ledger", "test/skerry"},
	"test/crash/ledger":       {"test/skerry"},
	"test/crash/point":        {},
	"test/crash/powerloss":    {"test/crash/ledger", "test/skerry"},
	"test/packaging":          {"test/skerry"},
	"test/skerry":             {},
	"test/storage":            {"blobstore", "blobstore/blobstoretest", "blobstore/object", "test/skerry"},
	"test/tally":              {},
}

// doors gives each outside dependency the packages that may import it. Where
// several prefixes match, all must agree. Test files may use crypto/tls and
// whatever else they judge their package with.
var doors = map[string][]string{
	"crypto/tls": {
		"tls", "test/skerry", "test/bench", "test/conformance", "test/crash", "test/clients", "test/packaging",
	},
	"github.com/coreos/go-oidc/":            {"appliance/auth"},
	"github.com/go-jose/go-jose/":           {"appliance/auth"},
	"cloud.google.com/":                     {"blobstore/object"},
	"github.com/Azure/":                     {"blobstore/object"},
	"github.com/aws/":                       {"blobstore/object"},
	"github.com/caddyserver/certmagic":      {"tls"},
	"github.com/distribution/distribution/": {"appliance/registry", "blobstore/object"}, // handlers; storage drivers
	"github.com/hanwen/go-fuse/":            {"test/crash/powerloss"},
	"github.com/hashicorp/raft":             {"raft"},
	"github.com/openshift/api/":             {"kube/resource"},
	"github.com/urfave/cli/":                {"appliance/cli"},
	"go.etcd.io/bbolt":                      {"meta"},
	"go.uber.org/zap":                       {"tls"},
	"go.yaml.in/yaml/v3":                    {"appliance/setting"},
	"k8s.io/":                               {"kube", "kube/resource"},
	"k8s.io/client-go/":                     {"kube"},
	"oras.land/":                            {"test/clients"},
}

func TestImportLadder(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "go", "list", "-tags", tags, "-json=ImportPath,Imports", "./...")
	cmd.Dir = ".."
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("list packages: %v\n%s", err, &stderr)
	}
	for dec := json.NewDecoder(strings.NewReader(string(out))); dec.More(); {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		checkImports(t, strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/"), p.Imports)
	}
}

// checkImports reports the imports of the package called name that the two
// tables do not allow.
func checkImports(t *testing.T, name string, imports []string) {
	t.Helper()
	rungs, placed := ladder[name]
	if !placed {
		t.Errorf("%q is on no rung: add it to ladder", name)
	}
	for _, imp := range imports {
		ours, isOurs := strings.CutPrefix(imp, module+"/")
		if isOurs && !slices.Contains(rungs, ours) && !slices.Contains(everywhere, ours) {
			t.Errorf("%s must not import %s", name, ours)
		}
		for prefix, keepers := range doors {
			if strings.HasPrefix(imp, prefix) && !slices.Contains(keepers, name) {
				t.Errorf("%s must not import %s: only %s may", name, imp, strings.Join(keepers, ", "))
			}
		}
	}
}
