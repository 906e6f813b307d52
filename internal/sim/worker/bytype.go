package worker

import (
	"slices"
	"strings"
)

// byType are the rules of single types, as the platform has them on import.
func (c *objectCheck) byType(stixType string) {
	switch stixType {
	case "report":
		c.refuse(len(c.text("name")) < 2, "required", "name %q", c.text("name"))
		c.refuse(c.text("published") == "", "required", "no published")
	case "indicator":
		c.indicator()
	case "relationship":
		for _, key := range []string{"relationship_type", "source_ref", "target_ref"} {
			c.refuse(c.text(key) == "", "required", "no %s", key)
		}
		c.refuse(before(c.o, "stop_time", "start_time"), "time", "stop_time before start_time")
	case "sighting":
		where, _ := c.o["where_sighted_refs"].([]any)
		c.refuse(c.text("sighting_of_ref") == "" || len(where) == 0, "required", "no sighting_of_ref or where_sighted_refs")
	case "note":
		c.refuse(c.text("content") == "", "required", "no content")
	case "opinion":
		c.refuse(c.text("opinion") == "", "required", "no opinion")
	case "marking-definition":
		c.marking()
	}
	if n, has := c.o["confidence"]; has {
		v, ok := n.(float64)
		c.refuse(!ok || v < 0 || v > 100, "confidence", "is %v", n)
	}
}

func before(o map[string]any, a, b string) bool {
	x, y := millis(o[a]), millis(o[b])
	return x != 0 && y != 0 && x < y
}

func (c *objectCheck) indicator() {
	pattern := strings.TrimSpace(c.text("pattern"))
	c.refuse(pattern == "" || c.text("pattern_type") == "", "required", "no pattern or pattern_type")
	if c.text("pattern_type") == "stix" {
		c.refuse(!balanced(pattern), "pattern", "%q does not parse", pattern)
	}
	if t, has := c.o["x_opencti_main_observable_type"]; has {
		text, _ := t.(string)
		c.refuse(!slices.Contains(observableTypes, text), "observable type", "%v is unknown", t)
	}
	if s, has := c.o["x_opencti_score"]; has {
		v, ok := s.(float64)
		c.refuse(!ok || v < 0 || v > 100, "score", "is %v", s)
	}
	c.refuse(before(c.o, "valid_until", "valid_from"), "time", "valid_until before valid_from")
}

// balanced is a rough look at a STIX pattern: observations in brackets, quotes
// and parentheses closed. The platform's parser wants more.
func balanced(pattern string) bool {
	var open []rune
	quoted, escaped, observations := false, false, 0
	for _, r := range pattern {
		switch {
		case quoted:
			if !escaped && r == '\'' {
				quoted = false
			}
			escaped = !escaped && r == '\\'
		case r == '\'':
			quoted = true
		case r == '[' || r == '(':
			open = append(open, r)
		case r == ']' || r == ')':
			if len(open) == 0 || (open[len(open)-1] == '[') != (r == ']') {
				return false
			}
			open = open[:len(open)-1]
			if r == ']' {
				observations++
			}
		}
	}
	return !quoted && len(open) == 0 && observations > 0
}

// marking follows the platform's import: a definition by its own fields, by
// definition_type, or by name.
func (c *objectCheck) marking() {
	definition, _ := c.o["definition"].(map[string]any)
	byType, _ := definition[c.text("definition_type")].(string)
	ok := c.text("x_opencti_definition") != "" && c.text("x_opencti_definition_type") != "" ||
		c.text("definition_type") != "" && (byType != "" || c.text("definition") != "") || c.text("name") != ""
	c.refuse(!ok, "required", "no definition")
}
