package config

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// document is a koanf.Parser for config.yml that keeps the line of every value and the text as it was written: 1e5,
// 012 and 2025-01-01 stay what they are.
type document struct {
	c    *collector
	path string         // as it is named in messages
	seen map[string]int // path in the file -> line
}

// Unmarshal implements koanf.Parser. What is wrong with the text is reported to the collector, not as the error.
func (d *document) Unmarshal(text []byte) (map[string]any, error) {
	before := len(d.c.given)
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var node yaml.Node
	switch err := dec.Decode(&node); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		d.syntax(err)
		return nil, nil
	}
	if dec.Decode(new(yaml.Node)) == nil {
		d.fail(&node, "", "holds more than one document; only the first is read")
	}
	if len(node.Content) > 0 {
		d.root(follow(node.Content[0]))
	}
	flat := map[string]any{}
	for _, g := range d.c.given[before:] {
		flat[d.c.settings[g.index].Key] = g.raw
	}
	return flat, nil
}

// Marshal implements koanf.Parser.
func (d *document) Marshal(map[string]any) ([]byte, error) {
	return nil, errors.New("config.yml is not written")
}

func (d *document) root(root *yaml.Node) {
	if isNull(root) {
		return
	}
	if root.Kind != yaml.MappingNode {
		d.fail(root, "", "does not consist of sections with settings")
		return
	}
	d.pairs(root, "", func(name string, key, value *yaml.Node) {
		if value.Kind == yaml.MappingNode && isSection(strings.ToLower(name)) {
			d.pairs(value, name+".", d.value)
			return
		}
		if isSection(strings.ToLower(name)) {
			if !isNull(value) {
				d.fail(key, name, "is a section; its settings go below it, indented")
			}
			return
		}
		d.value(name, key, value)
	})
}

// pairs calls with for every name in a mapping that occurs once.
func (d *document) pairs(m *yaml.Node, prefix string, with func(name string, key, value *yaml.Node)) {
	for i := 0; i+1 < len(m.Content); i += 2 {
		key, value := follow(m.Content[i]), follow(m.Content[i+1])
		if key.Kind != yaml.ScalarNode || key.Tag == "!!merge" {
			d.fail(key, "", "a plain name is expected here")
			continue
		}
		name := prefix + key.Value
		if first, ok := d.seen[strings.ToLower(name)]; ok {
			d.fail(key, name, "is set a second time, after line "+strconv.Itoa(first))
			continue
		}
		d.seen[strings.ToLower(name)] = key.Line
		with(name, key, value)
	}
}

// value takes one setting.
func (d *document) value(name string, key, value *yaml.Node) {
	g := given{layer: layerFile, source: d.at(key), name: name}
	what, ok := d.c.path(name)
	isFile := false
	if !ok {
		if base, cut := strings.CutSuffix(strings.ToLower(name), strings.ToLower(fileSuffix)); cut {
			what, isFile = d.c.path(base)
			ok = isFile
		}
	}
	if !ok {
		d.unknown(name, key)
		return
	}
	g.named = what
	if isNull(value) && value.Anchor == "" {
		return
	}
	raw, refused := d.raw(value, d.c.settings[what.index].Key == "opencti.custom_headers")
	if refused != "" {
		d.fail(value, d.c.settings[what.index].Key, refused)
		return
	}
	if isFile {
		d.c.addFile(g, rawText(raw))
		return
	}
	if comment := value.LineComment; d.c.settings[what.index].Secret && len(comment) > 1 && !strings.ContainsAny(comment[1:2], blanks+"#") {
		d.c.warn(d.c.settings[what.index].Key, g.source, "is followed by a comment; if that is part of the value, the value must be in quotes")
	}
	g.raw = raw
	d.c.add(g)
}

func (d *document) unknown(name string, key *yaml.Node) {
	if reason, ok := d.c.meaningless(strings.ReplaceAll(name, ".", "_")); ok {
		if reason != "" {
			d.c.warn(name, d.at(key), "has no meaning here: "+reason)
		}
		return
	}
	d.c.problem(Problem{Key: name, Source: d.at(key), Message: "is not a known setting", Nearest: d.c.nearPath(name)})
}

// raw returns the text of a value, or the texts of a list; pairs of a mapping become items name:value if mapping is
// set.
func (d *document) raw(value *yaml.Node, mapping bool) (raw any, refused string) {
	switch {
	case value.Kind == yaml.ScalarNode:
		return d.text(value)
	case value.Kind == yaml.SequenceNode, value.Kind == yaml.MappingNode && mapping:
		list := []string{}
		for i, item := range value.Content {
			text, refused := d.text(follow(item))
			if refused != "" {
				return nil, refused
			}
			if value.Kind == yaml.MappingNode && i%2 == 1 {
				list[len(list)-1] += ":" + text
				continue
			}
			list = append(list, text)
		}
		return list, ""
	}
	return nil, "one value is expected here, not a section"
}

// text returns a scalar as it was written.
func (d *document) text(value *yaml.Node) (text, refused string) {
	switch {
	case value.Kind != yaml.ScalarNode:
		return "", "one value is expected here"
	case !strings.HasPrefix(value.ShortTag(), "!!") || value.Tag == "!!binary":
		return "", "a value that starts with ! must be in quotes"
	case value.Anchor != "" && isNull(value):
		return "", "a value that starts with & must be in quotes"
	case isNull(value):
		return "", ""
	}
	return value.Value, ""
}

func (d *document) at(node *yaml.Node) string {
	return d.path + ":" + strconv.Itoa(node.Line)
}

func (d *document) fail(node *yaml.Node, key, message string) {
	d.c.problem(Problem{Key: key, Source: d.at(node), Message: message})
}

var (
	yamlLine   = regexp.MustCompile(`^line ([0-9]+): `)
	yamlQuoted = regexp.MustCompile("'[^']*'|`[^`]*`|\"[^\"]*\"")
)

// syntax reports what the YAML parser could not read. The parser's message may quote the file, and so a secret; only
// its own words are passed on.
func (d *document) syntax(err error) {
	message := strings.TrimPrefix(err.Error(), "yaml: ")
	source := d.path
	if m := yamlLine.FindStringSubmatch(message); m != nil {
		source, message = source+":"+m[1], strings.TrimPrefix(message, m[0])
	}
	hint := ""
	switch {
	case strings.Contains(message, "anchor"):
		hint = " (a value that starts with * must be in quotes)"
	case strings.Contains(message, "cannot start any token"):
		hint = " (a tab, or a value that starts with @, % or ` and must be in quotes)"
	case strings.Contains(message, "mapping values are not allowed"):
		hint = " (a value with a colon and a blank in it must be in quotes)"
	}
	d.c.problem(Problem{Source: source, Message: "is not YAML: " + yamlQuoted.ReplaceAllString(message, "…") + hint})
}

func isNull(node *yaml.Node) bool {
	return node.Kind == 0 || node.Kind == yaml.ScalarNode && node.ShortTag() == "!!null"
}

// follow returns the node that an alias stands for.
func follow(node *yaml.Node) *yaml.Node {
	if node.Kind == yaml.AliasNode && node.Alias != nil {
		return node.Alias
	}
	return node
}
