package worker

import (
	"regexp"
	"slices"
	"strings"
	"time"
)

// byType are the rules of single types that the platform has beyond its schema.
func (c *objectCheck) byType(stixType string) {
	switch stixType {
	case "indicator":
		c.indicator()
	case "relationship":
		for _, key := range []string{"source_ref", "target_ref"} {
			c.refuse(c.o[key] == nil, "required", "no %s", key)
		}
		c.guessTimes()
		c.order("start_time", "stop_time")
	case "sighting":
		c.refuse(c.o["sighting_of_ref"] == nil || len(c.elements("where_sighted_refs")) == 0, "required", "no sighting_of_ref or where_sighted_refs")
		c.order("first_seen", "last_seen")
	case "marking-definition":
		c.marking()
	case "file", "artifact", "x509-certificate":
		c.hashes()
	}
}

func (c *objectCheck) indicator() {
	if pattern := c.text("pattern"); strings.EqualFold(c.text("pattern_type"), "stix") {
		err := checkPattern(pattern)
		c.refuse(err != nil, "pattern", "%q: %v", pattern, err)
	}
	main := c.text("x_opencti_main_observable_type")
	c.refuse(main != "" && !slices.Contains(observableTypes, main), "observable type", "%v is unknown", main)
	from, ok := readTime(c.text("valid_from"))
	if !ok {
		if from, ok = readTime(c.text("created")); !ok {
			from = time.Now()
		}
	}
	until, ok := readTime(c.text("valid_until"))
	c.refuse(ok && !until.After(from), "time", "valid_until %s is not after %s", c.text("valid_until"), from.Format(time.RFC3339))
}

var date = regexp.MustCompile(`\b\d{4}-\d\d-\d\d\b`)

// guessTimes does as the client does: a relationship without a start or stop
// gets the date in the text of its last reference. The client knows many more
// forms of dates.
func (c *objectCheck) guessTimes() {
	references := c.elements("external_references")
	if len(references) == 0 {
		return
	}
	last, _ := references[len(references)-1].(map[string]any)
	text, ok := last["description"].(string)
	if !ok {
		text, _ = last["source_name"].(string)
	}
	day := date.FindString(text)
	if t, err := time.Parse(time.DateOnly, day); err != nil || time.Since(t) < 24*time.Hour {
		return
	}
	for _, key := range []string{"start_time", "stop_time"} {
		if c.o[key] == nil {
			c.o[key] = day + "T00:00:00Z"
		}
	}
}

// order refuses an end before its beginning.
func (c *objectCheck) order(begin, end string) {
	from, ok := readTime(c.text(begin))
	to, also := readTime(c.text(end))
	c.refuse(ok && also && to.Before(from), "time", "%s %s is after %s %s", begin, c.text(begin), end, c.text(end))
}

// marking follows the client: a definition by its own fields, by
// definition_type, or by name.
func (c *objectCheck) marking() {
	definition, _ := c.o["definition"].(map[string]any)
	byType, _ := definition[c.text("definition_type")].(string)
	ok := c.text("x_opencti_definition") != "" && c.text("x_opencti_definition_type") != "" ||
		c.text("definition_type") != "" && (byType != "" || c.text("definition") != "") || c.text("name") != ""
	c.refuse(!ok, "required", "no definition")
}
