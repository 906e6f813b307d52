package mapping

import "threatmatch-connector/internal/stix"

// contentType tells the types whose full text OpenCTI shows in a tab of its own.
func contentType(typ string) bool {
	switch typ {
	case "report", "grouping", "case-incident", "case-rfi", "case-rft":
		return true
	}
	return false
}

// content moves the full text of a report to x_opencti_content, which OpenCTI
// shows as HTML; a plain content would be overwritten. What could run or load
// anything is taken out.
func (r *record) content(o *stix.Object) {
	from := "x_opencti_content"
	if !o.Has(from) {
		from = "content"
	}
	s := o.String(from)
	o.Delete("content")
	if s == "" {
		return
	}
	if from == "content" {
		r.count("content_moved", 1)
	}
	if tag.MatchString(s) {
		s = safeHTML(s)
	}
	o.Set("x_opencti_content", s)
}
