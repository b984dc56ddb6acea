package meta_test

import (
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/meta"
)

var update = flag.Bool("update", false, "rewrite the worked example of FORMAT.md; read the diff")

// block is the content of the fenced block called name.
func block(t *testing.T, doc, name string) (before, content, after string) {
	t.Helper()
	before, rest, ok := strings.Cut(doc, "```"+name+"\n")
	content, after, end := strings.Cut(rest, "```")
	if !ok || !end {
		t.Fatalf("FORMAT.md has no block %q", name)
	}
	return before + "```" + name + "\n", content, "```" + after
}

// example is the log of FORMAT.md.
func example(t *testing.T) (log string) {
	t.Helper()
	w := newWorld(t)
	w.push(image("team/app", "hello", []meta.Tag{"v1"}, "config", "layer"))
	w.must(w.PutAccount(t.Context(), meta.Account{Name: "bob", Secret: "x$y"}))
	w.must(w.DeleteTag(t.Context(), "team/app", "v1", "bob"))
	first, second := w.node("one", "east"), w.node("two", "west")
	config := []digest.Digest{digest.FromString("config")}
	w.must(w.AddHolder(t.Context(), second, config))
	_, err := w.DropHolder(t.Context(), first, config, meta.Surplus{Copies: 1})
	w.must(err)
	for _, c := range w.log {
		log += hex.EncodeToString(c) + "\n"
	}
	return log
}

// dump applies a log and lists what the database then holds.
func dump(t *testing.T, log string) (out string) {
	t.Helper()
	w := newWorld(t)
	for line := range strings.Lines(log) {
		c, err := hex.DecodeString(strings.TrimSpace(line))
		w.must(err)
		_, err = w.Propose(t.Context(), c)
		w.must(err)
	}
	for _, bucket := range meta.Buckets() {
		keys, values, err := w.db.Records(bucket)
		w.must(err)
		for i := range keys {
			out += strings.TrimSpace(fmt.Sprintf("%s %x %x", bucket, keys[i], values[i])) + "\n"
		}
	}
	return out
}

func TestFormatDocumentIsTrue(t *testing.T) {
	raw, err := os.ReadFile("FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(raw)
	if *update {
		for _, name := range []string{"log", "database"} {
			before, _, after := block(t, doc, name)
			content := example(t)
			if name == "database" {
				content = dump(t, content)
			}
			doc = before + content + after
		}
		if err := os.WriteFile("FORMAT.md", []byte(doc), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	_, log, _ := block(t, doc, "log")
	_, database, _ := block(t, doc, "database")
	if got := dump(t, log); got != database {
		t.Errorf("the log of FORMAT.md leads to\n%sFORMAT.md says\n%s", got, database)
	}
	if log != example(t) {
		t.Errorf("this program writes another log:\n%s", example(t))
	}
	for _, name := range meta.Buckets() {
		if !strings.Contains(doc, "\n| `"+name+"` |") {
			t.Errorf("bucket %s is not described", name)
		}
	}
	for kind, name := range meta.CommandNames() {
		if !strings.Contains(doc, fmt.Sprintf("| %d | %s |", kind, name)) || !strings.Contains(doc, "\n"+name+" ") {
			t.Errorf("command %d %s is not described", kind, name)
		}
	}
}
