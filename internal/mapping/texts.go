package mapping

import (
	"bytes"
	"encoding/json"
	"strings"

	"threatmatch-connector/internal/stix"
)

// longTexts are shown as Markdown.
var longTexts = [...]string{"description", "x_opencti_description", "abstract", "explanation", "contact_information",
	"x_mitre_detection"}

// shortTexts are shown as they are.
var shortTexts = [...]string{"name", "objective", "aliases", "x_opencti_aliases", "goals", "roles", "source_name", "external_id"}

// texts converts HTML in the texts of an object, and puts its full text where
// OpenCTI shows it.
func (r *record) texts(o *stix.Object) {
	content, _ := o.Get("content")
	full, _ := o.Get(contentKey)
	long := len(content) + len(full)
	for _, key := range longTexts {
		raw, _ := o.Get(key)
		long += len(raw)
	}
	if long > textsMost {
		r.count("texts_unconverted", 1)
		r.asTheyAre(o)
	} else {
		r.convertTexts(o)
	}
	for _, key := range shortTexts {
		r.shortText(o, key)
	}
}

// textsMost is how many bytes of an object's texts are converted, which takes up to ten
// times their memory.
const textsMost = 8 << 20

func (r *record) convertTexts(o *stix.Object) {
	for _, key := range longTexts {
		r.longText(o, key)
	}
	switch {
	case o.Type() == "note":
		r.longText(o, "content")
	case contentTypes[o.Type()]:
		r.content(o)
	default:
		r.describe(o, "content")
	}
	if !contentTypes[o.Type()] {
		r.describe(o, "x_opencti_content")
	}
}

// asTheyAre puts texts that are too long to be converted where OpenCTI shows them.
func (r *record) asTheyAre(o *stix.Object) {
	for _, key := range longTexts {
		r.asItIs(o, key, key)
	}
	switch key := describedBy(o); {
	case contentTypes[o.Type()]:
		r.asItIs(o, contentKey, contentKey, "content")
	case o.Type() == "note":
		r.asItIs(o, key, key, contentKey)
	case !plain(o.Type()):
		r.asItIs(o, key, key, "content", contentKey)
	}
}

// asItIs joins texts without converting them, in at most one copy. Blanks keep anything
// from being read as a tag, link or picture.
func (r *record) asItIs(o *stix.Object, to string, keys ...string) {
	var texts []json.RawMessage
	size, signs := len(`""`), 0
	for _, key := range keys {
		if raw, _ := o.Get(key); len(raw) > len(`""`) && raw[0] == '"' {
			texts = append(texts, raw)
			signs += bytes.Count(raw, []byte{'<'}) + bytes.Count(raw, []byte{']'})
			size += len(`\n\n`) + len(raw)
		}
	}
	if len(texts) == 0 {
		return
	}
	for _, key := range keys {
		if key != to {
			o.Delete(key)
		}
	}
	if len(texts) == 1 && signs == 0 { // it moves, without a copy
		o.SetNormal(to, texts[0])
		return
	}
	out := append(make([]byte, 0, size+signs), '"')
	for i, text := range texts {
		if i > 0 {
			out = append(out, `\n\n`...)
		}
		for j := 1; j < len(text)-1; j++ {
			if out = append(out, text[j]); actsBefore(text[j], text[j+1]) {
				out = append(out, ' ')
			}
		}
	}
	o.SetNormal(to, append(out, '"'))
}

// actsBefore reports whether a sign of JSON text, with the next, begins a tag or the
// address of a link or picture. An escape, or the end, may hide what does.
func actsBefore(c, next byte) bool {
	switch c {
	case '<':
		return next|0x20 >= 'a' && next|0x20 <= 'z' || strings.IndexByte(`/!?\"`, next) >= 0
	case ']':
		return strings.IndexByte(`([:\"`, next) >= 0
	}
	return false
}

// marked reports whether JSON text may contain a tag or an entity.
func marked(raw json.RawMessage) bool {
	return bytes.IndexByte(raw, '<') >= 0 || bytes.IndexByte(raw, '&') >= 0
}

// linked reports whether JSON text may contain a link or picture of Markdown.
func linked(raw json.RawMessage) bool {
	return bytes.Contains(raw, []byte("](")) || bytes.Contains(raw, []byte("]:"))
}

func (r *record) longText(o *stix.Object, key string) {
	raw, ok := o.Get(key)
	if !ok || !marked(raw) && !linked(raw) {
		return
	}
	s, _ := stix.Text(raw)
	if out := r.long(s); out != s {
		r.setText(o, key, out)
	}
}

// long converts a text that is shown as Markdown.
func (r *record) long(s string) string {
	out := r.m.text(s)
	if out != s {
		r.count("html_converted", 1)
	}
	return r.m.markup.Resolve(out)
}

func (r *record) setText(o *stix.Object, key, s string) {
	if strings.TrimSpace(s) == "" {
		o.Delete(key)
		return
	}
	o.Set(key, s)
}

// contentTypes are the types whose full text OpenCTI shows in its own tab.
var contentTypes = nameSet(`report grouping case-incident case-rfi case-rft x-opencti-case-incident x-opencti-case-rfi
	x-opencti-case-rft`)

// content moves the full text of a report to x_opencti_content, which OpenCTI shows
// as HTML; a plain content would be overwritten. If there are both, one is appended
// to the other.
func (r *record) content(o *stix.Object) {
	full, plain := o.String(contentKey), o.String("content")
	if full == "" && plain == "" {
		o.Delete("content")
		return
	}
	html := r.m.markup.HTML(full)
	if plain != "" {
		r.count("content_moved", 1)
		if more := r.m.markup.HTML(plain); !strings.Contains(html, more) {
			html += more
		}
		o.Delete("content")
	}
	r.setText(o, contentKey, html)
}

const contentKey = "x_opencti_content"

// describedBy returns the property to which what OpenCTI has no place for is appended.
func describedBy(o *stix.Object) string {
	switch {
	case o.Type() == "note":
		return "content"
	case stix.Observable(o.Type()):
		return "x_opencti_description"
	}
	return "description"
}

// describe appends the full text of an object that has no place for one to its
// description.
func (r *record) describe(o *stix.Object, from string) {
	raw, ok := o.Get(from)
	if !ok || plain(o.Type()) {
		return
	}
	s, isText := stix.Text(raw)
	if !isText {
		return
	}
	key := describedBy(o)
	o.Delete(from)
	r.count("content_described", 1)
	text := strings.TrimSpace(r.m.markup.Resolve(r.m.text(s)))
	if before := o.String(key); !strings.Contains(before, text) {
		if before != "" {
			before += "\n\n"
		}
		o.Set(key, before+text)
	}
}

// shortText converts a name, or a list of names. A name that consists only of tags
// is kept, as is one that the object's pattern or value is called by.
func (r *record) shortText(o *stix.Object, key string) {
	raw, ok := o.Get(key)
	if !ok || !marked(raw) || stix.Observable(o.Type()) {
		return
	}
	if raw[0] == '[' {
		list := o.Strings(key)
		for i, s := range list {
			list[i] = r.line(s)
		}
		o.Set(key, list)
		return
	}
	if s, ok := stix.Text(raw); ok && (key != "name" || !bytes.Contains(trimmed(o, "pattern"), []byte(s))) {
		o.Set(key, r.line(s))
	}
}

func (r *record) line(s string) string {
	out := r.m.markup.Line(s)
	if out == s || strings.TrimSpace(out) == "" {
		return s
	}
	r.count("html_converted", 1)
	return out
}
