package logging

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the generated document")

// silent directories are not part of the connector.
var silent = []string{"sim", "e2e", "bench", "brokertest", "testdata"}

// logged finds the messages in the source with their levels: in calls of a logger with a text, and of note, which
// logs at every level.
func logged(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir("..", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && slices.Contains(silent, entry.Name()):
			return fs.SkipDir
		case !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			return err
		}
		texts := constants(file)
		ast.Inspect(file, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				if level, text := message(call, texts); text != "" {
					found[text] = level
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// constants returns the named texts of a file.
func constants(file *ast.File) map[string]string {
	texts := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		for i, v := range spec.Values {
			if lit, ok := v.(*ast.BasicLit); ok && lit.Kind == token.STRING && i < len(spec.Names) {
				texts[spec.Names[i].Name], _ = strconv.Unquote(lit.Value)
			}
		}
		return true
	})
	return texts
}

func message(call *ast.CallExpr, texts map[string]string) (level, text string) {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return "", ""
	}
	places := map[string][]int{"Info": {0}, "Warn": {0}, "Error": {0}, "Log": {2}, "note": {0, 1}}
	level = map[string]string{"Info": "INFO", "Warn": "WARNING", "Error": "ERROR", "Log": "NOTICE", "note": "NOTICE"}[sel.Sel.Name]
	for _, at := range places[sel.Sel.Name] {
		if at >= len(call.Args) {
			continue
		}
		if owner, ok := sel.X.(*ast.SelectorExpr); ok && strings.EqualFold(owner.Sel.Name, "status") {
			return "", ""
		}
		if text = textOf(call.Args[at], texts); text != "" {
			return level, text
		}
	}
	return "", ""
}

func textOf(e ast.Expr, texts map[string]string) (text string) {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, _ = strconv.Unquote(e.Value)
	case *ast.Ident:
		text = texts[e.Name]
	case *ast.BinaryExpr: // over two lines
		text = textOf(e.X, texts) + textOf(e.Y, texts)
	}
	return text
}

// The catalogue and the source have the same messages at the same levels.
func TestMessagesAreThoseOfTheSource(t *testing.T) {
	found := logged(t)
	for _, m := range Messages() {
		level, ok := found[m.Text]
		switch {
		case !ok:
			t.Errorf("nobody logs %q", m.Text)
		case level != m.Level:
			t.Errorf("%q is logged at %s, the catalogue says %s", m.Text, level, m.Level)
		case m.Meaning == "":
			t.Errorf("%q has no meaning", m.Text)
		}
		delete(found, m.Text)
	}
	for text, level := range found {
		if strings.Contains(text, " ") || level == "ERROR" { // a single word is not a message, but a label of something else
			t.Errorf("internal/logging/catalogue_test.go lacks %s %q", level, text)
		}
	}
}

func TestMessagesDocument(t *testing.T) {
	var doc bytes.Buffer
	doc.WriteString("# Log messages\n\nEvery message above debug, what it means and what to do. `NOTICE` lines have the level INFO and are printed at\n" +
		"every `CONNECTOR_LOG_LEVEL`. A warning or an error that comes again within ten minutes is only counted; `repeated`\n" +
		"says how often. This file is generated.\n\n| level | message | meaning | what to do |\n|---|---|---|---|\n")
	for _, m := range Messages() {
		fmt.Fprintf(&doc, "| %s | %s | %s | %s |\n", m.Level, m.Text, m.Meaning, m.Action)
	}
	const path = "../../deploy/MESSAGES.md"
	if *update {
		if err := os.WriteFile(path, doc.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, doc.Bytes()) {
		t.Errorf("%s is not what the source gives; run: go test ./internal/logging -update (%v)", path, err)
	}
}
