package test_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Limits of the house style. They may only go down.
const (
	fileLinesMax     = 500
	functionLinesMax = 70
)

// seam is the one file that has to live with another's process-wide state.
const seam = "../appliance/registry/distribution.go"

// TestTidy checks what gofmt and the linters do not, in every Go file that is
// not a test.
func TestTidy(t *testing.T) {
	fset := token.NewFileSet()
	documented := map[string]bool{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && d.Name() != "..") {
			return fs.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		dir := filepath.Dir(path)
		documented[dir] = documented[dir] || f.Doc != nil
		if n := fset.Position(f.End()).Line; n > fileLinesMax {
			t.Errorf("%s: %d lines, limit %d", path, n, fileLinesMax)
		}
		for _, d := range f.Decls {
			tidyDecl(t, fset, d)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for dir, ok := range documented {
		if !ok {
			t.Errorf("%s: no package comment", dir)
		}
	}
}

// tidyDecl reports init functions, long functions and package variables.
func tidyDecl(t *testing.T, fset *token.FileSet, d ast.Decl) {
	t.Helper()
	at := fset.Position(d.Pos())
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil && d.Name.Name == "init" {
			t.Errorf("%s: no init functions", at)
		}
		if n := fset.Position(d.End()).Line - at.Line + 1; n > functionLinesMax {
			t.Errorf("%s: %s is %d lines, limit %d", at, d.Name.Name, n, functionLinesMax)
		}
	case *ast.GenDecl:
		if d.Tok != token.VAR {
			return
		}
		for _, s := range d.Specs {
			for _, name := range s.(*ast.ValueSpec).Names {
				if at.Filename != seam && !constant(d, s.(*ast.ValueSpec), name.Name) {
					t.Errorf("%s: package variable %s", at, name.Name)
				}
			}
		}
	}
}

// constant reports whether a package variable is one in name only: an error
// value, an interface check, an embedded file, the result of a Once or
// MustCompile, or one that says beside its linter exception why it must be.
func constant(d *ast.GenDecl, s *ast.ValueSpec, name string) bool {
	if name == "_" || strings.HasPrefix(strings.ToLower(name), "err") {
		return true
	}
	if d.Doc != nil && strings.Contains(d.Doc.List[len(d.Doc.List)-1].Text, "go:embed") {
		return true
	}
	if excused(d.Doc) || excused(s.Comment) {
		return true
	}
	if len(s.Values) != 1 {
		return false
	}
	call, ok := s.Values[0].(*ast.CallExpr)
	if !ok {
		return false
	}
	sel, ok := call.Fun.(*ast.SelectorExpr)
	return ok && (sel.Sel.Name == "OnceValue" || sel.Sel.Name == "MustCompile")
}

// excused reports whether a comment gives the linter a reason.
func excused(c *ast.CommentGroup) bool {
	return c != nil && slices.ContainsFunc(c.List, func(line *ast.Comment) bool {
		return strings.HasPrefix(line.Text, "//nolint:gochecknoglobals // ")
	})
}
