package mapping

import (
	"encoding/json"
	"path"
	"strings"

	"threatmatch-connector/internal/stix"
)

// fileTypes lists, by extension, the files that may be attached to an object: what
// analysts read and no browser runs.
var fileTypes = map[string]string{
	".pdf": "application/pdf", ".txt": "text/plain", ".csv": "text/csv", ".md": "text/markdown", ".json": "application/json",
	".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".gif": "image/gif", ".webp": "image/webp",
	".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
	".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
	".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
	".zip":  "application/zip",
}

// files keeps the attached files that are allowed, and keeps OpenCTI from importing
// them itself: their content would bypass this mapping.
func (r *record) files(o *stix.Object) {
	if raw, ok := o.Get("x_opencti_files"); ok {
		o.SetNormal("x_opencti_files", r.fileList(raw))
	}
}

// fileList returns nil if no file may stay.
func (r *record) fileList(raw json.RawMessage) json.RawMessage {
	const added = 150
	size := len(raw)
	for range stix.Elements(raw) {
		size += added
	}
	out := append(make([]byte, 0, size), '[')
	for e := range stix.Elements(raw) {
		before := len(out)
		if before > 1 {
			out = append(out, ',')
		}
		with, ok := appendFile(out, e)
		if !ok {
			r.count("files_removed", 1)
			out = out[:before]
			continue
		}
		out = with
	}
	if len(out) == 1 {
		return nil
	}
	return append(out, ']')
}

// appendFile appends a file with the media type that matches its name, because browsers
// go by it. It returns false if the file must not stay.
func appendFile(dst []byte, raw json.RawMessage) ([]byte, bool) {
	var name string
	hasData := false
	for key, v := range stix.Members(raw) {
		switch key {
		case "name":
			s, _ := stix.Text(v)
			name = path.Base(strings.ReplaceAll(s, `\`, "/"))
		case "data":
			hasData = len(v) > len(`""`) && v[0] == '"'
		}
	}
	media, ok := fileTypes[strings.ToLower(path.Ext(name))]
	if !ok || !hasData || strings.ContainsFunc(name, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		return nil, false
	}
	out := appendMembers(dst, raw, func(key string, v json.RawMessage) any {
		switch key {
		case "name":
			return name
		case "mime_type", "no_trigger_import", "uri":
			return nil
		}
		return v
	})
	out = append(out[:len(out)-1], `,"mime_type":`...)
	out = append(append(out, stix.Quote(media)...), `,"no_trigger_import":true}`...)
	return out, true
}
