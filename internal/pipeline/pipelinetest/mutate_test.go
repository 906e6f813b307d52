package pipelinetest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// mutator changes the bytes, the structure and the values of answers.
type mutator struct{ *rand.Rand }

const (
	tlpRed    = "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed"
	tlpRed2   = "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1"
	tlpClear  = "marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9"
	onScreen  = "\x1b]0;x\x07\x1b[2J\u009b31m\x00\x7f\r\nFORGED\u2028\u202e\u2066\ufeff\U000e0041\t"
	extension = "extension-definition--ea279b3e-5c71-4632-ac08-831c66a786ba"
	observed  = "extension-definition--f93e2c80-4231-4f9a-af8b-95c9bd566a82"
)

// commands are properties by which OpenCTI's client takes orders.
var commands = strings.Fields(`opencti_operation opencti_field_patch opencti_upsert_operations opencti_id merge_target_id merge_source_ids
	workflow_id assignee_ids participant_ids granted_refs stix_ids x_opencti_id x_opencti_stix_ids x_opencti_workflow_id
	x_opencti_granted_refs files x_opencti_patch x_opencti_event_version organization_ids template_id is_inferred`)

// values are what a feed may say anywhere instead of what belongs there.
func (m mutator) value() any {
	texts := []string{
		"", " ", onScreen, "null", "<script>alert(1)</script>", `<img title="<" src=x onerror=alert(1)>`, `<p>a<td colspan=1000000000>b</p>`,
		strings.Repeat("<blockquote>", 300) + "deep", strings.Repeat("*_[`", 500), "<marquee onstart=alert(1)>x</marquee>", "javascript:alert(1)",
		"1970-01-01T00:00:00Z", "2999-12-31T23:59:59.999Z", "2026-01-02 03:04:05", "yesterday", "\xff\xfe", "TLP:RED", tlpRed, strings.ToUpper(tlpRed), tlpClear,
		"identity--bd7e3637-bf9c-5f6f-8b2c-c5ed6a3b2a11", "malware--1", "report--NONSENSE", "x" + onScreen + "--y", strings.Repeat("long ", 5000),
	}
	switch m.IntN(9) {
	case 0:
		return nil
	case 1:
		return []any{json.Number("-1"), json.Number("1e400"), json.Number("0.1"), json.Number("99999999999999999999")}[m.IntN(4)]
	case 2:
		return m.IntN(2) == 0
	case 3:
		return []any{m.value(), m.value()}
	case 4:
		return map[string]any{m.key(): m.value(), m.key(): m.value()}
	}
	return texts[m.IntN(len(texts))]
}

func (m mutator) key() string {
	keys := slices.Concat(commands, []string{
		"id", "type", "name", "modified", "created", "valid_from", "labels", "description", "content", "object_refs", "object_marking_refs", "created_by_ref",
		"granular_markings", "external_references", "extensions", "error", "objects", "list", "more", "x_tlp", "x_opencti_files", "sectors", "", onScreen,
	})
	return keys[m.IntN(len(keys))]
}

// body marks some objects of an answer, and mutates it.
func (m mutator) body(body []byte, calm bool) []byte {
	var v any
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if d.Decode(&v) != nil {
		return m.bytes(body)
	}
	kind := m.IntN(12)
	if calm {
		kind = -1
	}
	switch kind {
	case -1:
	case 0:
		return m.bytes(body)
	case 1:
		if top, ok := v.(map[string]any); ok {
			m.grow(top)
		}
	default:
		for range 1 + m.IntN(4) {
			m.node(v)
		}
		for range m.IntN(6) {
			m.object(v)
		}
	}
	m.redden(v)
	out, err := json.Marshal(v)
	if err != nil {
		return body
	}
	if !calm && m.IntN(20) == 0 {
		out = m.bytes(out)
	}
	return out
}

// bytes cuts, flips, inserts and doubles.
func (m mutator) bytes(body []byte) []byte {
	out := slices.Clone(body)
	for range 1 + m.IntN(4) {
		if len(out) == 0 {
			break
		}
		at := m.IntN(len(out))
		switch m.IntN(5) {
		case 0:
			out = out[:at]
		case 1:
			out[at] ^= 1 << m.IntN(8)
		case 2:
			out = slices.Insert(out, at, []byte(`{"id":null,[\u0000\ud800`)[m.IntN(20):]...)
		case 3:
			out = slices.Insert(out, at, out[at:min(at+200, len(out))]...)
		case 4:
			out = bytes.Replace(out, []byte("{"), []byte(`{"id":"malware--00000000-0000-4000-8000-000000000001","type":"malware",`), 1+m.IntN(3))
		}
	}
	return out
}

// node changes something anywhere in the value.
func (m mutator) node(v any) {
	var all []any
	var collect func(v any)
	collect = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			all = append(all, v)
			for _, k := range slices.Sorted(mapKeys(v)) {
				collect(v[k])
			}
		case []any:
			if len(v) > 0 {
				all = append(all, v)
			}
			for _, e := range v {
				collect(e)
			}
		}
	}
	collect(v)
	if len(all) == 0 {
		return
	}
	switch c := all[m.IntN(len(all))].(type) {
	case map[string]any:
		keys := slices.Sorted(mapKeys(c))
		if len(keys) == 0 || m.IntN(3) == 0 {
			c[m.key()] = m.value()
		} else if k := keys[m.IntN(len(keys))]; m.IntN(3) == 0 {
			delete(c, k)
		} else {
			c[k] = m.value()
		}
	case []any:
		i, j := m.IntN(len(c)), m.IntN(len(c))
		if m.IntN(2) == 0 {
			c[i], c[j] = c[j], c[i]
		} else {
			c[i] = m.value()
		}
	}
}

// object gives one of the objects of an answer what an attacker would.
func (m mutator) object(v any) {
	top, _ := v.(map[string]any)
	list, _ := top["objects"].([]any)
	if len(list) == 0 {
		return
	}
	o, ok := list[m.IntN(len(list))].(map[string]any)
	if !ok {
		return
	}
	id, _ := o["id"].(string)
	switch m.IntN(8) {
	case 0:
		for range 3 {
			o[commands[m.IntN(len(commands))]] = m.value()
		}
	case 1:
		inside := map[string]any{"extension_type": "property-extension"}
		for range 4 {
			inside[commands[m.IntN(len(commands))]] = m.value()
		}
		o["extensions"] = map[string]any{[]string{extension, observed, "x"}[m.IntN(3)]: inside}
	case 2:
		o["id"] = []string{strings.ToUpper(id), " " + id, id + "\n", strings.Replace(id, "--", "--\u202e", 1)}[m.IntN(4)]
	case 3:
		o[[]string{"modified", "created", "valid_from", "published"}[m.IntN(4)]] = m.value()
	case 4:
		o["description"], o["content"] = m.value(), m.value()
	case 5:
		var labels []any
		for i := range m.IntN(300) {
			labels = append(labels, fmt.Sprintf("sector: Sector %d %s", i, []string{"", onScreen}[m.IntN(2)]))
		}
		o["labels"] = labels
	case 6:
		o["external_references"] = []any{map[string]any{"source_name": onScreen, "url": m.value()}, m.value()}
	case 7:
		m.mark(o)
	}
}

// redden marks the objects whose id ends in 7, so that some are marked in every answer.
func (m mutator) redden(v any) {
	top, _ := v.(map[string]any)
	list, _ := top["objects"].([]any)
	for _, e := range list {
		o, _ := e.(map[string]any)
		if id, _ := o["id"].(string); strings.HasSuffix(strings.TrimSpace(id), "7") && o["type"] != "marking-definition" {
			m.mark(o)
		}
	}
}

// mark marks an object as TLP:RED in one of the forms that feeds use.
func (m mutator) mark(o map[string]any) {
	switch m.IntN(6) {
	case 0:
		o["object_marking_refs"] = tlpRed
	case 1:
		o["object_marking_refs"] = []any{strings.ToUpper(tlpRed[:30]) + tlpRed[30:]}
	case 2:
		o["object_marking_refs"] = []any{tlpClear, " " + tlpRed2 + " "}
	case 3:
		o["labels"] = []any{"TLP:RED"}
	case 4:
		o["object_marking_refs"] = []any{tlpRed2}
	case 5:
		o["object_marking_refs"] = []any{tlpRed, nil, map[string]any{}}
	}
}

// grow makes an answer large: many objects, or large ones.
func (m mutator) grow(top map[string]any) {
	list, _ := top["objects"].([]any)
	if len(list) == 0 || m.IntN(20) > 0 {
		return
	}
	n := 1 + m.IntN(6000)
	for i := range n {
		list = append(list, map[string]any{
			"type": "indicator", "spec_version": "2.1", "id": stixID("indicator", 1_000_000+m.IntN(1e9)), "name": fmt.Sprint(i),
			"pattern": "[ipv4-addr:value = '192.0.2.1']", "pattern_type": "stix", "valid_from": "2026-01-01T00:00:00Z",
		})
	}
	if m.IntN(2) == 0 {
		list = append(list, map[string]any{
			"type": "report", "id": stixID("report", m.IntN(1e9)), "name": "large", "published": "2026-01-01T00:00:00Z",
			"description": strings.Repeat("<p>large "+onScreen, 1<<uint(m.IntN(17))),
		})
	}
	top["objects"] = list
}
