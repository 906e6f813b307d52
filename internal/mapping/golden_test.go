package mapping

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "rewrite what the golden files want")

// TestGolden maps the input of every file in testdata/golden with its settings
// and compares objects, dead letters and counts, twice.
func TestGolden(t *testing.T) {
	for _, file := range goldenFiles(t) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			m := newMapper(t, part(t, archive, "settings.json"))
			input := part(t, archive, "input.json")
			before := bytes.Clone(input)
			got := show(settled(m, archive, m.Map(sourceOf(archive), input)))
			if again := show(settled(m, archive, m.Map(sourceOf(archive), input))); again != got {
				t.Errorf("the second time differs:\n%s", cmp.Diff(got, again))
			}
			if !bytes.Equal(before, input) {
				t.Error("the input was changed")
			}
			if *update {
				setPart(archive, "want", got)
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(strings.Split(string(part(t, archive, "want")), "\n"), strings.Split(got, "\n")); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// settled does what a release does with relationships, for files whose comment asks
// for it.
func settled(m *Mapper, archive *txtar.Archive, r Result) Result {
	if !bytes.Contains(archive.Comment, []byte("Settled.")) {
		return r
	}
	kinds := map[string]string{}
	for _, o := range r.Objects {
		kinds[o.ID()] = Kind(o)
	}
	for _, o := range r.Objects {
		for name, n := range m.Settle(o, func(id string) string { return kinds[id] }) {
			r.Counts[name] += n
		}
	}
	return r
}

// sourceOf is the source of the input; a file's comment may ask for details, or for
// another dataset.
func sourceOf(archive *txtar.Archive) Source {
	src := Source{Dataset: "profiles", ID: "1"}
	for _, d := range datasets {
		if bytes.Contains(archive.Comment, []byte("Of "+d+".")) {
			src.Dataset = d
		}
	}
	if bytes.Contains(archive.Comment, []byte("With details.")) {
		src.ID += detailsSuffix
	}
	return src
}

func goldenFiles(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/golden/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no golden files", err)
	}
	return files
}

// goldenCounts maps the input of a golden file and returns the counts.
func goldenCounts(t testing.TB, file string) Counts {
	t.Helper()
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return newMapper(t, part(t, archive, "settings.json")).Map(sourceOf(archive), part(t, archive, "input.json")).Counts
}

func newMapper(t testing.TB, settings []byte) *Mapper {
	t.Helper()
	var s Settings
	decoder := json.NewDecoder(bytes.NewReader(settings))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&s); err != nil {
		t.Fatal(err)
	}
	m, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func part(t testing.TB, a *txtar.Archive, name string) []byte {
	t.Helper()
	for _, f := range a.Files {
		if f.Name == name {
			return f.Data
		}
	}
	t.Fatalf("no part %s", name)
	return nil
}

func setPart(a *txtar.Archive, name, data string) {
	a.Files = slices.DeleteFunc(a.Files, func(f txtar.File) bool { return f.Name == name })
	a.Files = append(a.Files, txtar.File{Name: name, Data: []byte(data)})
}

func show(r Result) string {
	var b strings.Builder
	for _, o := range r.Objects {
		fmt.Fprintf(&b, "%s\n", o.AppendJSON(nil))
	}
	for _, d := range r.Dead {
		fmt.Fprintf(&b, "dead %s %q: %s: %s\n", d.Class, d.ID, d.Reason, bytes.TrimSpace(d.Raw))
	}
	for _, n := range r.Notices {
		fmt.Fprintf(&b, "told %s of %s: %s\n", n.Name, n.Object, n.Value)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Counts)) {
		fmt.Fprintf(&b, "%6d %s\n", r.Counts[name], name)
	}
	return b.String()
}
