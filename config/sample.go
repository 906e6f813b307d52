package config

import (
	"cmp"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

const sampleHead = `# Settings of threatmatch-connector. Copy this file to config.yml and fill in what
# says ChangeMe; everything else is optional. A line that starts with # shows a
# default, or an example where there is no default.
#
# Every setting can come from the environment too, by the name in [brackets]; with
# _FILE at the end of the name, from the file that the variable names. Where this
# file and the environment differ, this file wins (see config_precedence).
`

// WriteSample writes a config.yml with every setting, its default and its purpose.
func WriteSample(w io.Writer) error {
	var b strings.Builder
	b.WriteString(sampleHead)
	for _, sec := range sections() {
		fmt.Fprintf(&b, "\n# %s.\n", sec.title)
		indent := ""
		if sec.name != "" {
			indent = "  "
			if !slices.Contains([]string{"opencti", "connector", "threatmatch"}, sec.name) { // no setting in it must be set
				b.WriteString("# ")
			}
			b.WriteString(sec.name + ":\n")
		}
		for _, s := range Settings() {
			if sectionOf(s.Key) != sec.name || s.Legacy != "" {
				continue
			}
			b.WriteString(s.sample(indent))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// sample returns the setting's lines in the sample. The indent comes before the comment mark, so that an uncommented
// line is indented correctly.
func (s Setting) sample(indent string) string {
	var b strings.Builder
	for _, line := range wrap(s.Doc+" ["+s.Env+"]", 90-len(indent)) {
		b.WriteString(indent + "# " + line + "\n")
	}
	if s.Kind == "word" || s.Required {
		for _, line := range wrap("Allowed: "+s.Allowed+".", 90-len(indent)) {
			b.WriteString(indent + "# " + line + "\n")
		}
	}
	_, name, found := strings.Cut(s.Key, ".")
	if !found {
		name = s.Key
	}
	value := cmp.Or(s.Example, s.Default)
	mark := "# "
	if s.Required || value == "ChangeMe" {
		mark = ""
	}
	b.WriteString(indent + mark + name + ": " + yamlText(value) + "\n")
	return b.String()
}

var yamlPlain = regexp.MustCompile(`^[A-Za-z0-9./][A-Za-z0-9./_:+-]*$`)

// yamlText quotes a value that YAML would read as something else.
func yamlText(value string) string {
	if yamlPlain.MatchString(value) && !strings.HasSuffix(value, ":") {
		return value
	}
	return "'" + strings.ReplaceAll(value, "'", "''") + "'"
}

// wrap breaks text into lines of at most width bytes.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}
