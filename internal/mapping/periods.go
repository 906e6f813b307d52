package mapping

import (
	"regexp"
	"strings"

	"threatmatch-connector/internal/moment"
	"threatmatch-connector/internal/stix"
)

// periods lists the properties with the start and end of a period, in any type of
// object.
var periods = [...][2]string{
	{"start_time", "stop_time"}, {"first_seen", "last_seen"}, {"first_observed", "last_observed"},
	{"valid_from", "valid_until"}, {"analysis_started", "analysis_ended"}, {"validity_not_before", "validity_not_after"},
	{"start", "end"},
}

// dropReversed removes the end of a period that is before its start, because
// OpenCTI refuses it; an indicator's end must be after its start.
func (r *record) dropReversed(o *stix.Object) {
	for _, p := range periods {
		end, hasEnd := moment.Parse(o.String(p[1]))
		if !hasEnd { // as mostly
			continue
		}
		start, hasStart := moment.Parse(o.String(p[0]))
		if !hasStart {
			continue
		}
		if end.Time.Before(start.Time) || p[1] == "valid_until" && end.Time.Equal(start.Time) {
			o.Delete(p[1])
			if p[1] == "last_observed" { // required
				o.Fill(p[1], o.String(p[0]))
			}
			r.count("times_reversed", 1)
		}
	}
}

// dated reports whether OpenCTI's worker takes a word of the text for a date, or for
// part of one.
func dated(text string) bool {
	return strings.ContainsAny(text, "0123456789") || dateWords.MatchString(text)
}

var dateWords = regexp.MustCompile(`(?i)\b(?:jan|feb|mar|apr|may|jun|jul|aug|sep|sept|oct|nov|dec|mon|tue|tues|wed|` +
	`thu|thur|thurs|fri|sat|sun|january|february|march|april|june|july|august|september|october|november|december|` +
	`monday|tuesday|wednesday|thursday|friday|saturday|sunday|today|now|am|pm)\b`)

// referenceDates keeps the worker from inventing the time of a relationship: it
// gives a relationship without start or stop the date that it finds in the
// description of a reference or in its source_name. Such a description is moved
// into the relationship's own.
func (r *record) referenceDates(o *stix.Object) {
	raw, ok := o.Get("external_references")
	if o.Type() != "relationship" || !ok || o.Has("start_time") && o.Has("stop_time") {
		return
	}
	var list []map[string]any
	var moved []string
	for e := range stix.Elements(raw) {
		reference := membersOf(e)
		name := memberText(e, "source_name")
		text, _ := stix.Member(e, "description")
		described, has := stix.Text(text)
		named, told := dated(name), has && dated(described)
		switch {
		case told && named:
			reference["description"] = undated
			moved = append(moved, r.m.text(name)+": "+described)
		case told:
			delete(reference, "description")
			moved = append(moved, r.m.text(name)+": "+described)
		case !has && named:
			reference["description"] = undated
			moved = append(moved, "")
		}
		list = append(list, reference)
	}
	if len(moved) == 0 {
		return
	}
	o.Set("external_references", list)
	all, said := []string{o.String("description")}, map[string]bool{"": true}
	for paragraph := range strings.SplitSeq(all[0], "\n\n") {
		said[strings.TrimSpace(paragraph)] = true
	}
	for _, text := range moved {
		if text = strings.TrimSpace(text); !said[text] {
			said[text] = true
			all = append(all, text)
		}
	}
	o.Set("description", strings.TrimSpace(strings.Join(all, "\n\n")))
	r.count("reference_dates_moved", len(moved))
}

// undated is the description of a reference whose source_name reads like a date.
const undated = "Reference"
