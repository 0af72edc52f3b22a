package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The house rules, run as code: see docs/ARCHITECTURE.md.
const (
	house         = "github.com/quirelog/quire/"
	fileLines     = 400
	functionLines = 70
)

// floors orders the rooms: a room imports only what stands on a lower floor.
var floors = map[string]int{"segment": 0, "client": 0, "replication": 1, "consumergroup": 1, "partition": 2, "bench": 3, "broker": 4, "cmd": 9}

// homes names the rooms that may import what belongs to them.
var homes = map[string][]string{
	"github.com/hashicorp/raft":           {"replication"},
	"github.com/twmb/franz-go/pkg/kgo":    {"client", "bench", "cmd"},
	"github.com/prometheus/client_golang": {"broker"},
}

// apart names packages that stand beside their room, and what of it they may import.
var apart = map[string][]string{"broker/cluster": {}, "broker/placement": {}}

func TestHouseRules(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	files := 0
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(root, path)
		switch {
		case err != nil:
			return err
		case d.IsDir() && (rel == "interop" || d.Name() == "testdata" || len(d.Name()) > 1 && strings.HasPrefix(d.Name(), ".")):
			return filepath.SkipDir
		case strings.HasSuffix(path, ".go"):
			files++
			checkFile(t, filepath.ToSlash(rel), path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 100 {
		t.Errorf("only %d files were looked at", files)
	}
}

func checkFile(t *testing.T, rel, path string) {
	t.Helper()
	src, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, path, src, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	room, _, _ := strings.Cut(rel, "/")
	if _, ok := floors[room]; !ok {
		t.Errorf("%s: %q is no room of the house", rel, room)
	}
	if strings.HasSuffix(rel, "_test.go") {
		if strings.Contains(string(src), "time."+"Sleep(") {
			t.Errorf("%s sleeps: time is an input, and other processes are polled with a deadline", rel)
		}
		return
	}
	if n := strings.Count(string(src), "\n"); n > fileLines {
		t.Errorf("%s has %d lines, the limit is %d", rel, n, fileLines)
	}
	checkImports(t, rel, room, f)
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok {
			if n := fset.Position(fn.End()).Line - fset.Position(fn.Pos()).Line + 1; n > functionLines {
				t.Errorf("%s: %s has %d lines, the limit is %d", rel, fn.Name.Name, n, functionLines)
			}
		}
	}
}

func checkImports(t *testing.T, rel, room string, f *ast.File) {
	t.Helper()
	for _, im := range f.Imports {
		p, err := strconv.Unquote(im.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		for prefix, rooms := range homes {
			if strings.HasPrefix(p, prefix) && !slices.Contains(rooms, room) {
				t.Errorf("%s imports %s, which belongs to %s", rel, p, strings.Join(rooms, ", "))
			}
		}
		inside, ok := strings.CutPrefix(p, house)
		if !ok {
			continue
		}
		to, _, _ := strings.Cut(inside, "/")
		if to != room && floors[to] >= floors[room] {
			t.Errorf("%s imports %s: arrows point down only", rel, p)
		}
		if may, ok := apart[path.Dir(rel)]; ok && to == room && !slices.Contains(may, inside) {
			t.Errorf("%s imports %s: it stands apart from its room", rel, p)
		}
	}
}
