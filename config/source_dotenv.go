package config

import (
	"regexp"
	"strings"
)

// dotenv reads the text of a .env file as python-dotenv does: comments, export, quotes of both kinds over several
// lines, ${NAME} and ${NAME:-default} outside of single quotes. It returns the values, the line of each, and the
// lines that it could not read.
func dotenv(text string, environ map[string]string) (vars map[string]string, lines map[string]int, bad []int) {
	text = strings.ReplaceAll(strings.TrimPrefix(text, "\uFEFF"), "\r\n", "\n")
	d := dotenvReader{text: text, line: 1, environ: environ, vars: map[string]string{}}
	lines = map[string]int{}
	for d.text != "" {
		line := d.line
		name, value, ok := d.assignment()
		switch {
		case !ok:
			bad = append(bad, line)
		case name != "":
			d.vars[name], lines[name] = value, line
		}
	}
	return d.vars, lines, bad
}

type dotenvReader struct {
	text    string // what is left
	line    int    // number of the line it begins in
	environ map[string]string
	vars    map[string]string
}

var (
	dotenvName = regexp.MustCompile(`^[ \t]*(?:export[ \t]+)?(?:'([^'\n=]+)'|([^=#\s'"]+))[ \t]*`)
	dotenvRest = regexp.MustCompile(`^[ \t]*(?:#[^\n]*)?(?:\n|$)`)
	dotenvVar  = regexp.MustCompile(`\$\{([^}:]*)(?::-([^}]*))?\}`)
	dotenvHash = regexp.MustCompile(`(?:^|[ \t])#`)
)

// assignment reads one line, or more for a quoted value; the name is empty for a line that assigns nothing.
func (d *dotenvReader) assignment() (name, value string, ok bool) {
	if m := dotenvRest.FindString(d.text); m != "" {
		d.skip(len(m))
		return "", "", true
	}
	m := dotenvName.FindStringSubmatchIndex(d.text)
	if m == nil {
		d.skipLine()
		return "", "", false
	}
	if m[2] >= 0 {
		name = d.text[m[2]:m[3]]
	} else {
		name = d.text[m[4]:m[5]]
	}
	d.skip(m[1])
	if !strings.HasPrefix(d.text, "=") {
		ok = dotenvRest.MatchString(d.text) // a name alone is no value
		d.skipLine()
		return "", "", ok
	}
	d.skip(1)
	d.skip(len(d.text) - len(strings.TrimLeft(d.text, " \t")))
	if d.text != "" && (d.text[0] == '"' || d.text[0] == '\'') {
		return d.quoted(name, d.text[0])
	}
	value, _, _ = strings.Cut(d.text, "\n")
	d.skipLine()
	if i := dotenvHash.FindStringIndex(value); i != nil {
		value = value[:i[0]]
	}
	return name, d.expand(trim(value)), true
}

func (d *dotenvReader) quoted(name string, quote byte) (string, string, bool) {
	var b strings.Builder
	for i := 1; i < len(d.text); i++ {
		switch ch := d.text[i]; {
		case ch == '\\' && i+1 < len(d.text):
			i++
			b.WriteString(unescape(d.text[i], quote))
		case ch == quote:
			d.skip(i + 1)
			rest := dotenvRest.FindString(d.text)
			ok := rest != "" || d.text == ""
			d.skipLine()
			if quote == '"' {
				return name, d.expand(b.String()), ok
			}
			return name, b.String(), ok
		default:
			b.WriteByte(ch)
		}
	}
	d.skipLine() // never closed
	return "", "", false
}

// unescape returns what a backslash and ch stand for between quotes.
func unescape(ch, quote byte) string {
	if ch == '\\' || ch == '\'' {
		return string(ch)
	}
	if quote == '"' {
		switch ch {
		case 'n':
			return "\n"
		case 't':
			return "\t"
		case 'r':
			return "\r"
		case '"':
			return `"`
		}
	}
	return `\` + string([]byte{ch})
}

// expand replaces ${NAME} by an earlier value of the file, else by that of the environment.
func (d *dotenvReader) expand(value string) string {
	return dotenvVar.ReplaceAllStringFunc(value, func(match string) string {
		m := dotenvVar.FindStringSubmatch(match)
		if v, ok := d.vars[m[1]]; ok {
			return v
		}
		if v, ok := d.environ[m[1]]; ok {
			return v
		}
		return m[2]
	})
}

func (d *dotenvReader) skip(n int) {
	d.line += strings.Count(d.text[:n], "\n")
	d.text = d.text[n:]
}

func (d *dotenvReader) skipLine() {
	if i := strings.IndexByte(d.text, '\n'); i >= 0 {
		d.skip(i + 1)
		return
	}
	d.text = ""
}
