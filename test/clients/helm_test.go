//go:build clients

package clients

import (
	"strings"
	"testing"
)

// TestHelmKeepsChartsInTheRegistry packages a chart, pushes it, and gets the
// same archive back.
func TestHelmKeepsChartsInTheRegistry(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	b.write("app/Chart.yaml", "apiVersion: v2\nname: app\nversion: 1.2.3+edge\nappVersion: \"4\"\n")
	b.write("app/values.yaml", "greeting: hello\n")
	b.write("app/templates/greeting.yaml",
		"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: greeting}\ndata: {text: \"{{ .Values.greeting }}\"}\n")
	b.run("helm", "package", b.path("app"), "-d", b.path("packed"))

	ca := []string{"--ca-file", b.CA}
	b.input(b.Password, "helm", append(ca, "registry", "login", b.Addr, "-u", b.User, "--password-stdin")...)
	b.run("helm", append(ca, "push", b.path("packed/app-1.2.3+edge.tgz"), "oci://"+b.ref("charts"))...)
	b.mkdir("back")
	b.run("helm", append(ca, "pull", "oci://"+b.ref("charts/app"), "--version", "1.2.3+edge", "-d", b.path("back"))...)
	if b.read(b.path("packed/app-1.2.3+edge.tgz")) != b.read(b.path("back/app-1.2.3+edge.tgz")) {
		t.Error("another archive came back")
	}
	shown := b.run("helm", append(ca, "template", "oci://"+b.ref("charts/app"), "--version", "1.2.3+edge")...)
	if !strings.Contains(shown, `text: "hello"`) {
		t.Errorf("the chart in the registry renders as %s", shown)
	}
}
