package interop

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestLegacyTableNamesWhatExists checks that every Go name, test and file that
// docs/legacy.md puts in backticks is there.
func TestLegacyTableNamesWhatExists(t *testing.T) {
	text, err := os.ReadFile("../docs/legacy.md")
	if err != nil {
		t.Fatal(err)
	}
	names, tests := declared(t)
	goName := regexp.MustCompile("`(host|discovery|multifeed|hypercore|corestore|storage|merkle|wire)\\.([A-Z][A-Za-z0-9.]*)`")
	count := 0
	for _, m := range goName.FindAllStringSubmatch(string(text), -1) {
		count++
		if name := m[1] + "." + m[2]; !names[name] {
			t.Errorf("docs/legacy.md names %s, which does not exist", name)
		}
	}
	for _, m := range regexp.MustCompile("`(TestW[0-9]+[A-Za-z0-9]*)`").FindAllStringSubmatch(string(text), -1) {
		count++
		if !hasTest(tests, m[1]) {
			t.Errorf("docs/legacy.md names %s, which does not exist", m[1])
		}
	}
	for _, m := range regexp.MustCompile("`(interop/[a-z/]+\\.md)`").FindAllStringSubmatch(string(text), -1) {
		if _, err := os.Stat("../" + m[1]); err != nil {
			t.Errorf("docs/legacy.md names %s: %v", m[1], err)
		}
	}
	if count < 60 {
		t.Errorf("only %d names found in docs/legacy.md", count)
	}
}

// hasTest says whether a test has that name or begins with it and goes on with
// a word of its own.
func hasTest(tests map[string]bool, name string) bool {
	for test := range tests {
		rest, ok := strings.CutPrefix(test, name)
		if ok && (rest == "" || rest[0] < '0' || rest[0] > '9') {
			return true
		}
	}
	return false
}

// declared returns the exported names of our packages, as package.Name or
// package.Type.Method, and the names of all tests.
func declared(t *testing.T) (names, tests map[string]bool) {
	t.Helper()
	names, tests = map[string]bool{}, map[string]bool{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git") {
			if err == nil {
				err = fs.SkipDir
			}
			return err
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			for _, name := range declares(decl) {
				if strings.HasSuffix(path, "_test.go") {
					tests[name] = true
				} else {
					names[file.Name.Name+"."+name] = true
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names, tests
}

// declares returns the names that a declaration makes, with that of their
// receiver before a dot. What core has, Feed has: it embeds it.
func declares(decl ast.Decl) (names []string) {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		name := d.Name.Name
		if d.Recv != nil {
			recv := d.Recv.List[0].Type
			if star, ok := recv.(*ast.StarExpr); ok {
				recv = star.X
			}
			if id, ok := recv.(*ast.Ident); ok {
				name = strings.Replace(id.Name, "core", "Feed", 1) + "." + name
			}
		}
		names = append(names, name)
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.TypeSpec:
				names = append(names, s.Name.Name)
			case *ast.ValueSpec:
				for _, id := range s.Names {
					names = append(names, id.Name)
				}
			}
		}
	}
	return names
}
