// Package house holds the tests of the house rules: which package may import which,
// and that what is exported is documented and shown by an example.
package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	root   = "../.."
	module = "github.com/gatewright/gateway"
)

// leaves are the public packages besides the root, by their first folder.
var leaves = []string{"middleware", "balancer", "auth", "cache", "compose"}

// source is a parsed Go file of this module.
type source struct {
	*ast.File
	dir, name string
}

func (s source) test() bool { return strings.HasSuffix(s.name, "_test.go") }

// sources returns all Go files of the module, without those of nested modules.
func sources(t *testing.T) (all []source) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			_, nested := os.Stat(filepath.Join(p, "go.mod"))
			if p != root && (nested == nil || strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata") {
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(p) != ".go" {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), p, nil, parser.ParseComments)
		dir, _ := filepath.Rel(root, filepath.Dir(p))
		all = append(all, source{f, filepath.ToSlash(dir), d.Name()})
		return err
	}))
	require.NotEmpty(t, all)
	return all
}

// leaf returns the leaf that dir belongs to, or "".
func leaf(dir string) string {
	if first, _, _ := strings.Cut(dir, "/"); slices.Contains(leaves, first) {
		return first
	}
	return ""
}

func TestImportsRunOneWay(t *testing.T) {
	for _, s := range sources(t) {
		for _, spec := range s.Imports {
			to, ours := strings.CutPrefix(strings.Trim(spec.Path.Value, `"`), module)
			if !ours {
				continue
			}
			to = strings.TrimPrefix(to, "/")
			where := path.Join(s.dir, s.name) + " imports " + to
			switch {
			case leaf(s.dir) != "" && leaf(to) != "":
				assert.Equal(t, leaf(s.dir), leaf(to), "a leaf imports a leaf: %s", where)
			case s.dir == "." && !s.test():
				assert.Empty(t, leaf(to), "the root imports a leaf: %s", where)
			case strings.HasPrefix(s.dir, "internal/") && !s.test():
				assert.True(t, strings.HasPrefix(to, "internal/"), "internal imports what is public: %s", where)
			}
			assert.False(t, strings.HasPrefix(to, "examples/"), where)
		}
	}
}

func TestTheTopLevelHoldsWhatTheDesignSays(t *testing.T) {
	want := append([]string{"gateway.go", "route.go", "examples", "internal", "go.mod", "go.sum", "README.md", "LICENSE"}, leaves...)
	entries, err := os.ReadDir(root)
	require.NoError(t, err)
	var got []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") && !strings.HasSuffix(e.Name(), "_test.go") {
			got = append(got, e.Name())
		}
	}
	assert.ElementsMatch(t, want, got)
}

func public(s source) bool { return s.dir == "." || leaf(s.dir) != "" }

// name returns the exported name that decl declares as a function or method, or "".
func exported(fn *ast.FuncDecl) string {
	if !fn.Name.IsExported() {
		return ""
	}
	if fn.Recv == nil {
		return fn.Name.Name
	}
	typ := fn.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	if id, ok := typ.(*ast.Ident); ok && id.IsExported() {
		return id.Name + "." + fn.Name.Name
	}
	return ""
}

func TestExportedNamesAreDocumented(t *testing.T) {
	documented := map[string]bool{} // packages
	for _, s := range sources(t) {
		if !public(s) || s.test() {
			continue
		}
		documented[s.dir] = documented[s.dir] || s.Doc != nil
		for _, decl := range s.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				if name := exported(d); name != "" {
					assert.NotNil(t, d.Doc, "%s/%s: %s", s.dir, s.name, name)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					assert.True(t, d.Doc != nil || documentedSpec(spec), "%s/%s: %v", s.dir, s.name, spec)
				}
			}
		}
	}
	for dir, ok := range documented {
		assert.True(t, ok, "package %s has no comment", dir)
	}
}

func documentedSpec(spec ast.Spec) bool {
	switch s := spec.(type) {
	case *ast.TypeSpec:
		return !s.Name.IsExported() || s.Doc != nil
	case *ast.ValueSpec:
		return !slices.ContainsFunc(s.Names, (*ast.Ident).IsExported) || s.Doc != nil || s.Comment != nil
	}
	return true
}

// A constructor is an exported function with a result that is more than a basic
// value or an error. Each has to be called by an example whose output is checked.
func TestConstructorsAreShownByExamplesWithOutput(t *testing.T) {
	shown := map[string]bool{}
	var constructors []string
	for _, s := range sources(t) {
		if !public(s) {
			continue
		}
		for _, decl := range s.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || fn.Recv != nil {
				continue
			}
			switch {
			case s.test() && strings.HasPrefix(fn.Name.Name, "Example") && hasOutput(s, fn):
				ast.Inspect(fn, func(n ast.Node) bool {
					if sel, ok := n.(*ast.SelectorExpr); ok {
						shown[s.dir+"."+sel.Sel.Name] = true
					}
					return true
				})
			case !s.test() && fn.Name.IsExported() && constructs(fn):
				constructors = append(constructors, s.dir+"."+fn.Name.Name)
			}
		}
	}
	require.NotEmpty(t, constructors)
	for _, c := range constructors {
		assert.True(t, shown[c], "no example shows %s", c)
	}
}

func hasOutput(s source, fn *ast.FuncDecl) bool {
	return slices.ContainsFunc(s.Comments, func(c *ast.CommentGroup) bool {
		return fn.Pos() < c.Pos() && c.End() < fn.End() &&
			(strings.HasPrefix(c.Text(), "Output:") || strings.HasPrefix(c.Text(), "Unordered output:"))
	})
}

func constructs(fn *ast.FuncDecl) bool {
	if fn.Type.Results == nil {
		return false
	}
	first := fn.Type.Results.List[0].Type
	if id, ok := first.(*ast.Ident); ok {
		switch id.Name {
		case "error", "bool", "string", "int", "int64", "any":
			return false
		}
	}
	return true
}

// What documentation shows as a program is one: the README's, and those in the
// package comments.
func TestTheProgramsInTheDocumentationCompile(t *testing.T) {
	programs := map[string]string{}
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	require.NoError(t, err)
	_, program, found := strings.Cut(string(readme), "```go\n")
	require.True(t, found)
	programs["README.md"], _, _ = strings.Cut(program, "```")
	for _, s := range sources(t) {
		if !public(s) || s.test() || s.Doc == nil {
			continue
		}
		if block := programIn(s.Doc.Text()); block != "" {
			programs[path.Join(s.dir, s.name)] = block
		}
	}
	for name, program := range programs {
		file := filepath.Join(t.TempDir(), "main.go")
		require.NoError(t, os.WriteFile(file, []byte(program), 0o600))
		build := exec.CommandContext(t.Context(), "go", "vet", file)
		build.Dir = root
		out, err := build.CombinedOutput()
		assert.NoError(t, err, "%s: %s", name, out)
	}
	assert.Greater(t, len(programs), 4)
}

// programIn returns the indented block of a comment that is a program, or "".
func programIn(doc string) string {
	var b strings.Builder
	for line := range strings.SplitSeq(doc, "\n") {
		switch {
		case strings.HasPrefix(line, "\tpackage main"), b.Len() > 0 && (line == "" || line[0] == '\t'):
			b.WriteString(strings.TrimPrefix(line, "\t") + "\n")
		case b.Len() > 0:
			return b.String()
		}
	}
	return b.String()
}

// Time in tests is virtual: a test that sleeps does so in a synctest bubble, and a
// helper that does stands in a file whose tests have bubbles.
func TestNoTestWaitsInRealTime(t *testing.T) {
	for _, s := range sources(t) {
		if !s.test() {
			continue
		}
		var bubbles []ast.Node
		ast.Inspect(s.File, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok && calls(call, "synctest", "Test") {
				bubbles = append(bubbles, call)
			}
			return true
		})
		ast.Inspect(s.File, func(n ast.Node) bool {
			if fn, ok := n.(*ast.FuncDecl); ok && len(bubbles) > 0 && !strings.HasPrefix(fn.Name.Name, "Test") {
				return false
			}
			if call, ok := n.(*ast.CallExpr); ok && calls(call, "time", "Sleep") {
				assert.True(t, slices.ContainsFunc(bubbles, func(b ast.Node) bool { return b.Pos() < n.Pos() && n.End() < b.End() }),
					"%s/%s: time.Sleep outside of synctest", s.dir, s.name)
			}
			return true
		})
	}
}

func calls(call *ast.CallExpr, pkg, name string) bool {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || sel.Sel.Name != name {
		return false
	}
	id, ok := sel.X.(*ast.Ident)
	return ok && id.Name == pkg
}
