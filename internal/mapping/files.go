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
		if list := r.fileList(raw); list == nil {
			o.Delete("x_opencti_files")
		} else {
			o.Set("x_opencti_files", list)
		}
	}
}

// fileList returns nil if no file may stay.
func (r *record) fileList(raw json.RawMessage) any {
	out := []byte{'['}
	for e := range stix.Elements(raw) {
		file, ok := cleanFile(e)
		if !ok {
			r.count("files_removed", 1)
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(out, file...)
	}
	if len(out) == 1 {
		return nil
	}
	return json.RawMessage(append(out, ']'))
}

// cleanFile sets the media type that matches the file's name, because browsers go
// by it.
func cleanFile(raw json.RawMessage) (json.RawMessage, bool) {
	var name string
	hasData := false
	for key, v := range stix.Members(raw) {
		switch s, _ := stix.Text(v); key {
		case "name":
			name = path.Base(strings.ReplaceAll(s, `\`, "/"))
		case "data":
			hasData = s != ""
		}
	}
	media, ok := fileTypes[strings.ToLower(path.Ext(name))]
	if !ok || !hasData || strings.ContainsFunc(name, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		return nil, false
	}
	out := editMembers(raw, func(key string, v json.RawMessage) any {
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
