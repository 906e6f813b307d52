package worker

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"threatmatch-connector/internal/sim/splitter"
)

// dateTime is what the platform's schema takes for a time: no hour of one
// digit, no comma, no zone without a colon.
var dateTime = regexp.MustCompile(`^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3])(:[0-5]\d){2}(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$`)

// broken is one broken rule.
type broken struct {
	rule, detail string
	refused      bool // by the platform, too
}

// unmarked are types that need neither author nor marking.
var unmarked = strings.Fields("marking-definition identity location")

var observableTypes = strings.Fields(`Autonomous-System Directory Domain-Name Email-Addr Email-Message Artifact StixFile File
	Email-Mime-Part-Type Windows-Registry-Value-Type X509-Certificate IPv4-Addr IPv6-Addr Mac-Addr Mutex Network-Traffic Process Software Url User-Account Windows-Registry-Key
	Hostname Cryptographic-Key Cryptocurrency-Wallet Text User-Agent Bank-Account Phone-Number Credential Tracking-Number
	Payment-Card Media-Content Persona SSH-Key Unknown`)

// containers are the types that may have object_refs.
var containers = strings.Fields("report note opinion observed-data grouping case-incident case-rfi case-rft feedback task")

type objectCheck struct {
	o     map[string]any
	facts *platformFacts
	found []broken
}

func (c *objectCheck) text(key string) string { v, _ := c.o[key].(string); return v }

func (c *objectCheck) refuse(wrong bool, rule, format string, args ...any) {
	if wrong {
		c.found = append(c.found, broken{rule, fmt.Sprintf(format, args...), true})
	}
}

func (c *objectCheck) dislike(wrong bool, rule, format string, args ...any) {
	if wrong {
		c.found = append(c.found, broken{rule, fmt.Sprintf(format, args...), false})
	}
}

// rules are all that can be said about an object by itself; refusals first.
func (w *Worker) rules(o map[string]any) []broken {
	c := &objectCheck{o: o, facts: w.facts}
	stixType, id := c.text("type"), c.text("id")
	prefix, uuid, _ := strings.Cut(id, "--")
	c.refuse(o["error"] != nil, "object", "an error element: %v", o["error"])
	c.dislike(stixType != prefix || strings.ToLower(uuid) != uuid, "id", "type %q, id %q", stixType, id)
	c.nulls("", o)
	c.references()
	c.schema()
	c.byType(stixType)
	c.dislike(stixType != "relationship" && stixType != "sighting" && o["spec_version"] != "2.1", "spec_version", "%v", o["spec_version"])
	deps, _ := o["nb_deps"].(float64)
	c.dislike(deps < 1, "nb_deps", "is %v", o["nb_deps"])
	c.unique("external_references", "url", "source_name", "external_id")
	c.unique("kill_chain_phases", "", "kill_chain_name", "phase_name")
	if w.opt.Policy && !slices.Contains(unmarked, stixType) {
		c.dislike(o["created_by_ref"] == nil, "author", "no created_by_ref")
		c.dislike(o["object_marking_refs"] == nil, "marking", "no object_marking_refs")
	}
	slices.SortStableFunc(c.found, func(a, b broken) int {
		switch {
		case a.refused == b.refused:
			return 0
		case a.refused:
			return -1
		}
		return 1
	})
	return c.found
}

// nulls break some clients; empty lists are useless.
func (c *objectCheck) nulls(path string, v any) {
	switch v := v.(type) {
	case nil:
		c.dislike(true, "null", "%s is null", path)
	case map[string]any:
		for key, inner := range v {
			c.nulls(path+"."+key, inner)
		}
	case []any:
		c.dislike(len(v) == 0, "empty list", "%s is empty", path)
		for _, inner := range v {
			c.nulls(path+"[]", inner)
		}
	}
}

// references does what the client's splitter does to top-level references:
// those to types that it does not know, and to the object itself, it takes out.
func (c *objectCheck) references() {
	id := c.text("id")
	for key, refs := range references(c.o) {
		kept := []any{}
		for _, ref := range refs {
			prefix, _, found := strings.Cut(ref, "--")
			gone := found && !splitter.Supported(prefix) || ref == id
			c.dislike(gone, "reference", "%s refers to %q", key, ref)
			twice := slices.Contains(kept, any(ref))
			c.dislike(twice, "reference", "%s holds %s twice", key, ref)
			if !gone && !twice {
				kept = append(kept, ref)
			}
			c.dislike(key == "object_marking_refs" && prefix != "marking-definition", "reference", "%s holds %s", key, ref)
		}
		switch c.o[key].(type) {
		case []any:
			c.o[key] = kept
		case string:
			if len(kept) == 0 {
				c.o[key] = nil
			}
		}
	}
	_, has := c.o["object_refs"]
	c.dislike(has && !slices.Contains(containers, c.text("type")), "object_refs", "on a %s", c.text("type"))
}

// references are the top-level references of an object. A value of another
// shape than text or a list of texts gives "", which nothing is known by.
func references(o map[string]any) map[string][]string {
	out := map[string][]string{}
	for key, value := range o {
		if value != nil && isReference(key) {
			out[key] = referred(value)
		}
	}
	return out
}

func isReference(key string) bool {
	return strings.HasSuffix(key, "_ref") || strings.HasSuffix(key, "_refs")
}

// referred are the ids in a value.
func referred(value any) []string {
	list, ok := value.([]any)
	if !ok {
		list = []any{value}
	}
	var refs []string
	for _, v := range list {
		text, _ := v.(string)
		refs = append(refs, text)
	}
	return refs
}

// unique finds entries of a list that are the same to the platform: by the
// first field when they have it, else by the others.
func (c *objectCheck) unique(key, first string, others ...string) {
	list, _ := c.o[key].([]any)
	seen := map[string]bool{}
	for _, v := range list {
		entry, _ := v.(map[string]any)
		var id string
		if text, ok := entry[first].(string); ok {
			id = text
		} else {
			for _, field := range others {
				text, _ := entry[field].(string)
				id += "\x00" + text
			}
		}
		c.dislike(seen[id], "duplicate", "%s holds %v twice", key, entry)
		seen[id] = true
	}
}
