package mapping

import (
	_ "embed"
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"threatmatch-connector/internal/stix"
)

// OpenCTI merges techniques by x_mitre_id, kill chain phases by their names and
// vulnerabilities by name. If a source writes these differently, OpenCTI would have
// each of them twice.

// join brings the names by which OpenCTI identifies an object into their standard
// form.
func (r *record) join(o *stix.Object) {
	r.killChains(o)
	switch o.Type() {
	case "attack-pattern":
		r.technique(o, techniqueID)
	case "course-of-action":
		r.technique(o, mitigationID)
	case "vulnerability":
		r.vulnerability(o)
	}
}

// mitreID says how to find the ids of one kind of MITRE object.
type mitreID struct {
	whole *regexp.Regexp // in a reference
	named *regexp.Regexp // in a name: at the start, at the end, or alone
	url   *regexp.Regexp // in an address of MITRE's site
}

func newMitreID(pattern, folder string) mitreID {
	return mitreID{
		whole: regexp.MustCompile(`(?i)^\s*(` + pattern + `)\s*$`),
		named: regexp.MustCompile(`(?i)(?:^|[^a-z0-9.])(` + pattern + `)(?:[^a-z0-9.]|\.(?:[^0-9]|$)|$)`),
		url:   regexp.MustCompile(`(?i)^https?://attack\.mitre\.org/(?:versions/[^/]+/)?` + folder + `/(` + pattern + `|T[0-9]{4}/[0-9]{3})/?(?:[?#]|$)`),
	}
}

var (
	techniqueID  = newMitreID(`T[0-9]{4}(?:[./][0-9]{3})?`, "techniques")
	mitigationID = newMitreID(`M[0-9]{4}`, "mitigations")
)

// technique sets an object's x_mitre_id if everything that names one agrees: the
// references to ATT&CK, else the name, from which the id is then removed.
func (r *record) technique(o *stix.Object, form mitreID) {
	given := o.String("x_mitre_id")
	if m := form.whole.FindStringSubmatch(given); m != nil {
		if id := mitreName(m[1]); id != given {
			o.Set("x_mitre_id", id)
			r.count("names_joined", 1, "x_mitre_id")
		}
	}
	referenced := form.references(o)
	var named []string
	var places [][]int
	name := o.String("name")
	if len(name) <= joinMost {
		places = form.named.FindAllStringSubmatchIndex(name, -1)
	}
	for _, at := range places {
		named = appendOnce(named, mitreName(name[at[2]:at[3]]))
	}
	id := mitreName(given)
	switch {
	case given != "":
	case len(referenced) == 1:
		id = referenced[0]
	case len(referenced) == 0 && len(named) == 1:
		id = named[0]
	default:
		return
	}
	if given == "" {
		o.Set("x_mitre_id", id)
		r.count("names_joined", 1, "x_mitre_id")
	}
	if len(places) == 1 && named[0] == id {
		if name := attackWord.ReplaceAllString(rest(name, places[0][2], places[0][3]), ""); len([]rune(name)) > 1 {
			o.Set("name", name)
		}
	}
}

// joinMost is the longest text in which ids are looked for: there may be millions.
const joinMost = 4096

// mitreName writes an id as MITRE does.
func mitreName(id string) string { return strings.ToUpper(strings.Replace(id, "/", ".", 1)) }

// attackWord is the prefix of an id in a name that means nothing without the id.
var attackWord = regexp.MustCompile(`(?i)^(?:mitre\s+)?att&ck\b[\s:–—-]*`)

// references returns the ids that references to ATT&CK name.
func (form mitreID) references(o *stix.Object) []string {
	var ids []string
	raw, _ := o.Get("external_references")
	for e := range stix.Elements(raw) {
		if len(ids) > 1 { // they do not agree
			break
		}
		if source := fold(memberText(e, "source_name")); strings.HasPrefix(source, "mitre") || strings.Contains(source, "att and ck") ||
			source == "attack" {
			if m := form.whole.FindStringSubmatch(memberText(e, "external_id")); m != nil {
				ids = appendOnce(ids, mitreName(m[1]))
				continue
			}
		}
		if m := form.url.FindStringSubmatch(strings.TrimSpace(memberText(e, "url"))); m != nil {
			ids = appendOnce(ids, mitreName(m[1]))
		}
	}
	return ids
}

func memberText(raw json.RawMessage, key string) string {
	value, _ := stix.Member(raw, key)
	s, _ := stix.Text(value)
	return s
}

func appendOnce(list []string, s string) []string {
	if slices.Contains(list, s) {
		return list
	}
	return append(list, s)
}

// rest returns a name without the part from start to end and without the
// punctuation that separates it.
func rest(name string, start, end int) string {
	const marks = " \t:;,-–—|/"
	before, after := strings.TrimRight(name[:start], marks), strings.TrimLeft(name[end:], marks)
	for _, pair := range [...]string{"()", "[]"} {
		b, opened := strings.CutSuffix(before, pair[:1])
		a, closed := strings.CutPrefix(after, pair[1:])
		switch {
		case opened && closed: // "Phishing [T1566]"
			before, after = strings.TrimRight(b, marks), strings.TrimLeft(a, marks)
		case before == "" && strings.HasPrefix(after, pair[:1]) && strings.HasSuffix(after, pair[1:]): // "CVE-… (Log4Shell)"
			after = after[1 : len(after)-1]
		}
	}
	return strings.TrimSpace(before + " " + after)
}

// chainNames has the names by which OpenCTI knows the kill chains, with other
// spellings, folded.
//
//go:embed tables/killchains.txt
var chainNames string

var chains = readGroups[string](chainNames)

// tacticID is the id in front of a tactic's name: "TA0002 Execution".
var tacticID = regexp.MustCompile(`(?i)^\s*(?:TA[0-9]{4}\b[\s:–—-]*)`)

// tactics are those of Enterprise ATT&CK, by id.
var tactics = map[string]string{
	"TA0043": "reconnaissance", "TA0042": "resource-development", "TA0001": "initial-access", "TA0002": "execution",
	"TA0003": "persistence", "TA0004": "privilege-escalation", "TA0005": "defense-evasion", "TA0006": "credential-access",
	"TA0007": "discovery", "TA0008": "lateral-movement", "TA0009": "collection", "TA0011": "command-and-control",
	"TA0010": "exfiltration", "TA0040": "impact",
}

// killChains gives kill chains and their phases their standard names.
func (r *record) killChains(o *stix.Object) {
	raw, _ := o.Get("kill_chain_phases")
	var phases []json.RawMessage
	changed := 0
	for e := range stix.Elements(raw) {
		name, phase := memberText(e, "kill_chain_name"), memberText(e, "phase_name")
		if chain := chains[fold(name)]; chain != "" {
			if tactic := tactics[strings.ToUpper(strings.TrimSpace(phase))]; tactic != "" {
				phase = tactic
			}
			to := strings.ReplaceAll(strings.Replace(fold(tacticID.ReplaceAllString(phase, "")), "defence", "defense", 1), " ", "-")
			to = strings.Replace(to, "weaponisation", "weaponization", 1)
			if chain != name || to != memberText(e, "phase_name") {
				e = withMember(e, "kill_chain_name", chain)
				if to != "" {
					e = withMember(e, "phase_name", to)
				}
				changed++
			}
		}
		phases = append(phases, e)
	}
	if changed > 0 {
		o.Set("kill_chain_phases", phases)
		r.count("names_joined", changed, "kill_chain_phases")
	}
}

var cve = regexp.MustCompile(`(?i)(?:^|[^a-z0-9])CVE[\s_‐‑–—-]?([0-9]{4})[\s_‐‑–—-]([0-9]{4,})(?:[^0-9]|$)`)

// vulnerability names a vulnerability by its CVE alone, as OpenCTI does; the rest
// of the name becomes an alias.
func (r *record) vulnerability(o *stix.Object) {
	name := o.String("name")
	if len(name) > joinMost {
		return
	}
	ids, at := cvesIn(name)
	nickname := name
	switch {
	case len(ids) == 1:
		nickname = rest(name, at[0], at[1])
	case len(ids) == 0:
		if ids = cveReferences(o); len(ids) != 1 {
			return
		}
	default:
		return
	}
	if ids[0] == name {
		return
	}
	o.Set("name", ids[0])
	r.count("names_joined", 1, "name")
	if len([]rune(nickname)) > 1 {
		o.AddRef("x_opencti_aliases", nickname)
	}
}

// cvesIn returns the CVE ids in a text, in standard form, and the position of the
// first.
func cvesIn(text string) (ids []string, at [2]int) {
	if len(text) > joinMost {
		return nil, at // it is an id of a reference
	}
	for _, m := range cve.FindAllStringSubmatchIndex(text, -1) {
		if ids == nil {
			at = [2]int{m[0], m[5]}
			for text[at[0]]|0x20 != 'c' {
				at[0]++
			}
		}
		ids = appendOnce(ids, "CVE-"+text[m[2]:m[3]]+"-"+text[m[4]:m[5]])
	}
	return ids, at
}

// cveReferences returns the CVE ids in the references of an object.
func cveReferences(o *stix.Object) []string {
	var ids []string
	raw, _ := o.Get("external_references")
	for e := range stix.Elements(raw) {
		if len(ids) > 1 {
			break
		}
		if source := fold(memberText(e, "source_name")); source != "cve" && source != "nvd" && source != "mitre cve" && source != "nist nvd" {
			continue
		}
		found, _ := cvesIn(memberText(e, "external_id"))
		for _, id := range found {
			ids = appendOnce(ids, id)
		}
	}
	return ids
}
