package mapping

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	"threatmatch-connector/internal/moment"
	"threatmatch-connector/internal/stix"
)

// shape is what kind of value OpenCTI reads from a property.
type shape uint8

const (
	anything shape = iota
	text
	boolean
	percent // whole number from 0 to 100
	instant
	textList
	referenceList
	partList
)

// shapes lists the properties that workers fail on when their value is of
// another kind. Others pass as they are: OpenCTI ignores what it does not know.
var shapes = shapeTable(map[shape]string{
	text: `name description pattern pattern_type pattern_version relationship_type identity_class abstract content
		opinion explanation primary_motivation resource_level sophistication country region city
		administrative_area contact_information lang objective context x_mitre_id spec_version
		x_opencti_content x_opencti_description x_opencti_location_type x_opencti_main_observable_type incident_type`,
	boolean: "revoked is_family x_opencti_detection x_opencti_create_observables x_opencti_create_indicator defanged",
	percent: "confidence x_opencti_score",
	instant: `created modified published first_seen last_seen valid_from valid_until start_time stop_time
		first_observed last_observed submitted analysis_started analysis_ended`,
	textList: `labels aliases x_opencti_aliases malware_types report_types indicator_types threat_actor_types tool_types
		infrastructure_types roles goals secondary_motivations personal_motivations sectors x_mitre_platforms authors
		architecture_execution_envs implementation_languages capabilities`,
	referenceList: "external_references",
	partList:      "kill_chain_phases granular_markings",
})

func shapeTable(names map[shape]string) map[string]shape {
	table := map[string]shape{}
	for s, keys := range names {
		for key := range strings.FieldsSeq(keys) {
			table[key] = s
		}
	}
	return table
}

// repair brings values into the kind that OpenCTI reads, where that is plain,
// and removes them where it is not. It returns the times that it had to remove.
func (r *record) repair(o *stix.Object) (unread []string) {
	type change struct {
		key string
		to  any // nil: remove
	}
	var changes []change
	for key, raw := range o.All() {
		if s := shapes[key]; s != anything {
			if to, fine := s.read(raw); !fine {
				changes = append(changes, change{key, to})
			}
		}
	}
	for _, c := range changes {
		if c.to == nil {
			if raw, _ := o.Get(c.key); shapes[c.key] == instant {
				unread = append(unread, fmt.Sprintf("%s %.200s", c.key, raw))
				r.unread = append(r.unread, o.ID()+" "+unread[len(unread)-1])
			}
			o.Delete(c.key)
			r.count("values_invalid", 1, c.key)
			continue
		}
		o.Set(c.key, c.to)
		r.count("values_repaired", 1, c.key)
	}
	if class := o.String("identity_class"); class != strings.ToLower(class) { // OpenCTI compares exactly
		o.Set("identity_class", strings.ToLower(class))
		r.count("values_repaired", 1, "identity_class")
	}
	return unread
}

// read reports whether raw is fine as it is, and else what to put in its
// place; nil when there is nothing.
func (s shape) read(raw json.RawMessage) (any, bool) {
	switch s {
	case text:
		return readText(raw)
	case boolean:
		return readBool(raw)
	case percent:
		return readPercent(raw)
	case instant:
		return readInstant(raw)
	case textList:
		return readTexts(raw)
	case referenceList:
		return readReferences(raw)
	case partList:
		return readObjects(raw)
	}
	return nil, true
}

func isNumber(raw json.RawMessage) bool { return raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9' }

func readText(raw json.RawMessage) (any, bool) {
	switch {
	case raw[0] == '"':
		return nil, true
	case isNumber(raw):
		return string(raw), false
	}
	return nil, false
}

func readBool(raw json.RawMessage) (any, bool) {
	switch strings.ToLower(strings.Trim(string(raw), `"`)) {
	case "true", "1":
		return true, string(raw) == "true"
	case "false", "0":
		return false, string(raw) == "false"
	}
	return nil, false
}

func readPercent(raw json.RawMessage) (any, bool) {
	s := strings.TrimSpace(strings.Trim(string(raw), `"`))
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(f) {
		return nil, false
	}
	n := int(math.Round(min(max(f, 0), 100)))
	return n, strconv.Itoa(n) == string(raw)
}

// readInstant accepts STIX timestamps as they are. Others are written anew: the
// platform takes nothing else.
func readInstant(raw json.RawMessage) (any, bool) {
	if s, isText := stix.Text(raw); isText && moment.Strict(s) {
		return nil, true
	}
	if r, ok := moment.ParseJSON(raw); ok {
		return moment.Format(r.Time), false
	}
	return nil, false
}

func readTexts(raw json.RawMessage) (any, bool) {
	if raw[0] != '[' {
		if s, ok := stix.Text(raw); ok && strings.TrimSpace(s) != "" {
			return []string{s}, false
		}
		return nil, false
	}
	fine := true
	var list []string
	for e := range stix.Elements(raw) {
		s, ok := stix.Text(e)
		if !ok && isNumber(e) {
			s = string(e)
		}
		if fine = fine && ok && strings.TrimSpace(s) != ""; strings.TrimSpace(s) != "" {
			list = append(list, s)
		}
	}
	if fine {
		return nil, true
	}
	if list == nil {
		return nil, false
	}
	return list, false
}

func readObjects(raw json.RawMessage) (any, bool) {
	if raw[0] == '{' {
		return []json.RawMessage{raw}, false
	}
	fine := raw[0] == '['
	var list []json.RawMessage
	for e := range stix.Elements(raw) {
		if e[0] == '{' {
			list = append(list, e)
		} else {
			fine = false
		}
	}
	if fine {
		return nil, true
	}
	if list == nil {
		return nil, false
	}
	return list, false
}

// readReferences reads external references: url, source_name and external_id
// are texts, and a source_name there must be.
func readReferences(raw json.RawMessage) (any, bool) {
	to, fine := readObjects(raw)
	if to == nil && !fine {
		return nil, false
	}
	list, _ := to.([]json.RawMessage)
	if fine {
		for e := range stix.Elements(raw) {
			list = append(list, e)
		}
	}
	for i, e := range list {
		if fixed := fixReference(e); fixed != nil {
			list[i], fine = fixed, false
		}
	}
	return list, fine
}

// fixReference returns nil when the reference needs no fixing.
func fixReference(raw json.RawMessage) json.RawMessage {
	bad, named, linked := false, false, false
	for k, v := range stix.Members(raw) {
		switch k {
		case "url", "source_name", "external_id", "description":
			s, ok := stix.Text(v)
			bad = bad || !ok || s == ""
			named = named || k == "source_name" && s != ""
			linked = linked || k == "url" && s != ""
		}
	}
	if !bad && (named || !linked) {
		return nil
	}
	fixed := map[string]any{}
	for k, v := range stix.Members(raw) {
		fixed[k] = v
	}
	for _, k := range [...]string{"url", "source_name", "external_id", "description"} {
		v, there := fixed[k].(json.RawMessage)
		if !there {
			continue
		}
		to, ok := readText(v)
		if !ok {
			fixed[k] = to
		}
		if s, isText := stix.Text(v); !ok && to == nil || isText && s == "" {
			delete(fixed, k)
		}
	}
	if _, ok := fixed["source_name"]; !ok {
		fixed["source_name"] = authorName
	}
	out, err := json.Marshal(fixed)
	if err != nil {
		return nil
	}
	return out
}
