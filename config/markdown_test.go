package config

import (
	"fmt"
	"io"
	"strings"
)

const markdownHead = `# Settings

A setting is taken from config.yml, else from the environment, else it is the default. This file is generated.

`

// WriteMarkdown writes the settings as Markdown tables, one for each section.
func WriteMarkdown(w io.Writer) error {
	var b strings.Builder
	b.WriteString(markdownHead)
	for _, sec := range sections() {
		fmt.Fprintf(&b, "**%s**\n\n| `config.yml` | environment | default | what it is |\n|---|---|---|---|\n", sec.title)
		for _, s := range Settings() {
			if sectionOf(s.Key) == sec.name {
				b.WriteString(s.markdown())
			}
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, strings.TrimSuffix(b.String(), "\n"))
	return err
}

func (s Setting) markdown() string {
	def := "–"
	switch {
	case s.Default != "":
		def = "`" + s.Default + "`"
	case s.Required:
		def = "**required**"
	}
	what := s.Doc
	if s.Kind == "word" {
		what += " One of " + s.Allowed + "."
	}
	if s.Legacy != "" {
		what += " Older setting; use instead: " + s.Legacy + "."
	}
	for _, a := range s.aliases {
		if !a.top {
			what += " Also read: `" + a.name + "`"
			if a.removal != "" {
				what += ", until " + a.removal
			}
			what += "."
		}
	}
	return fmt.Sprintf("| `%s` | `%s` | %s | %s |\n", s.Key, s.Env, def, strings.ReplaceAll(what, "|", `\|`))
}
