package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func FuzzPeriod(f *testing.F) {
	for _, text := range texts() {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parsePeriod(text)
		if err != nil {
			if near := nearPeriod(text); near != "" {
				if _, err := parsePeriod(near); err != nil {
					t.Fatalf("%q: the guess %q is refused: %v", text, near, err)
				}
			}
			return
		}
		if p.Approx() < 0 || p.Clock < 0 {
			t.Fatalf("%q is negative: %+v", text, p)
		}
		if again, err := parsePeriod(p.String()); p.Clock < 99_999*3600e9 && p.Days < 10_000 && (err != nil || again != p) {
			t.Fatalf("%q prints as %q, which reads as %+v, %v", text, p, again, err)
		}
	})
}

func FuzzStart(f *testing.F) {
	for _, text := range texts() {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseStart(text)
		if err != nil || s.at.IsZero() {
			return
		}
		if again, err := parseStart(s.String()); s.at.Year() >= 1000 && s.at.Year() < 3000 && (err != nil || again != s) {
			t.Fatalf("%q prints as %q, which reads as %v, %v", text, s, again, err)
		}
	})
}

func FuzzSize(f *testing.F) {
	for _, text := range texts() {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := parseSize(text)
		if err != nil {
			return
		}
		if again, err := parseSize(sizeText(n)); n < 0 || err != nil || again != n {
			t.Fatalf("%q is %d, prints as %q, which reads as %d, %v", text, n, sizeText(n), again, err)
		}
	})
}

func FuzzList(f *testing.F) {
	for _, text := range texts() {
		f.Add(text)
	}
	k := listKind("", listItem)
	f.Fuzz(func(t *testing.T, text string) {
		list, err := k.parse(text)
		if err != nil {
			return
		}
		again, err := k.parse(k.format(list))
		if err != nil || strings.Join(again, "\x00") != strings.Join(list, "\x00") {
			t.Fatalf("%q is %q, which reads as %q, %v", text, list, again, err)
		}
	})
}

func FuzzDotenv(f *testing.F) {
	for _, text := range []string{"A=1", "export A='x\ny'", "A=\"${B:-c}\\n\"", "A", "=", "'A'=1 # c", "\uFEFFA=${A}", "A=\"x"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		vars, lines, bad := dotenv(text, map[string]string{"B": "b"})
		last := strings.Count(text, "\n") + 1
		for name := range vars {
			if lines[name] < 1 || lines[name] > last || name == "" {
				t.Fatalf("%q stands in line %d of %d", name, lines[name], last)
			}
		}
		for _, line := range bad {
			if line < 1 || line > last {
				t.Fatalf("bad line %d of %d", line, last)
			}
		}
	})
}

func FuzzEnvironment(f *testing.F) {
	f.Add("CONNECTOR_NAME=x\nOPENCTI_URL=http://x\nMQ_PORT=tcp://1.2.3.4:5")
	f.Add("connector_id=\nTHREATMATCH_TLP_LEVEL_FILE=/nowhere\nCONNECTOR_NMAE=a\n=x\n=")
	f.Add("CONNECTOR_CONFIG_PRECEDENCE=env\nTHREATMATCH_INTERVAL=5\nQUEUE_PROTOCOL=api")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		checkLoad(t, Options{Dir: dir, Environ: strings.Split(text, "\n")})
	})
}

func FuzzFile(f *testing.F) {
	var sample strings.Builder
	if err := WriteSample(&sample); err != nil {
		f.Fatal(err)
	}
	for _, text := range []string{
		sample.String(), "", "a", "- a", "a: [", "opencti:\n  url: {}\n", "opencti: &a\n  url: http://x\nconnector: *a\n", "&a [*a]",
		"a: &a {b: *a}\nopencti: *a\n", "opencti:\n  <<: {url: http://x}\n", "---\na: 1\n---\nb: 2\n", "opencti:\n\turl: x", "? [a]\n: b\n",
		"opencti:\n  custom_headers: {a: b, c: [d]}\n", "connector: {scope: [a, [b], {c: d}, null]}", "id: !!binary aGk=\nurl: !x y\ntoken: &t\n", "\xff",
	} {
		f.Add(text)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(filepath.Join(dir, "config.yml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		checkLoad(t, Options{Dir: dir})
	})
}

// checkLoad loads anything and checks what must hold for every result.
func checkLoad(t *testing.T, opt Options) {
	cfg, report, err := Load(opt)
	problems := ProblemsOf(err)
	if (cfg == nil) != (err != nil) || (err != nil) != (len(problems) > 0) {
		t.Fatalf("settings %v beside %v", cfg, err)
	}
	for _, p := range problems {
		if p.Message == "" || p.Key == "" && p.Source == "" {
			t.Fatalf("a problem that says nothing: %+v", p)
		}
	}
	for _, w := range report.Warnings {
		if w.Message == "" || w.Key == "" {
			t.Fatalf("a warning that says nothing: %+v", w)
		}
	}
}
