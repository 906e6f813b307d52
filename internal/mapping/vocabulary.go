package mapping

import (
	_ "embed"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// The vocabularies are those that the vendor of ThreatMatch publishes as the MISP
// taxonomy "threatmatch" (version 3), one value per line; after "=" is the
// equivalent value of the STIX 2.1 vocabulary. The motivations are STIX's own values
// (attack-motivation-ov) and the words that threat reports use for them.
var (
	//go:embed tables/sectors.txt
	sectorNames string
	//go:embed tables/alerts.txt
	alertNames string
	//go:embed tables/malware.txt
	malwareNames string
	//go:embed tables/incidents.txt
	incidentNames string
	//go:embed tables/motivations.txt
	motivationNames string
)

// The types that STIX 2.1 lists for each kind of object.
const (
	stixMalware = `adware backdoor bot bootkit ddos downloader dropper exploit-kit keylogger ransomware
		remote-access-trojan resource-exploitation rogue-security-software rootkit screen-capture spyware trojan unknown
		virus webshell wiper worm`
	stixTools = `denial-of-service exploitation information-gathering network-capture credential-exploitation
		remote-access vulnerability-scanning unknown`
	stixReports = `attack-pattern campaign identity indicator intrusion-set malware observed-data threat-actor
		threat-report tool vulnerability`
	stixIndicators = `anomalous-activity anonymization benign compromised malicious-activity attribution unknown`
	stixActors     = `activist competitor crime-syndicate criminal hacker insider-accidental insider-disgruntled nation-state
		sensationalist spy terrorist unknown`
	stixInfrastructure = `amplification anonymization botnet command-and-control control-system exfiltration firewall
		hosting-malware hosting-target-lists phishing reconnaissance routers-switches staging workstation undefined unknown`
)

// typesOf gives, by object type, the property for its kind and the values that a
// label may have for it.
var typesOf = map[string]struct {
	property string
	terms    terms
}{
	"malware":        {"malware_types", wordTerms(stixMalware, malwareTerms)},
	"tool":           {"tool_types", wordTerms(stixTools, malwareTerms)},
	"report":         {"report_types", wordTerms(stixReports, alertTerms)},
	"indicator":      {"indicator_types", wordTerms(stixIndicators)},
	"threat-actor":   {"threat_actor_types", wordTerms(stixActors)},
	"infrastructure": {"infrastructure_types", wordTerms(stixInfrastructure)},
	"incident":       {"incident_type", incidentTerms},
}

// wordTerms reads words of STIX's vocabularies, which map to themselves, and adds
// other terms unless they are defined already.
func wordTerms(words string, others ...terms) terms {
	t := terms{}
	for word := range strings.FieldsSeq(words) {
		t[fold(word)] = word
	}
	for _, other := range others {
		for name, value := range other {
			if t[name] == "" {
				t[name] = value
			}
		}
	}
	return t
}

// terms maps a folded name to its meaning.
type terms map[string]string

// readTerms reads one of the lists above. A name without "=" maps to what otherwise
// returns for it.
func readTerms(list string, otherwise func(string) string) terms {
	t := terms{}
	for line := range lines(list) {
		name, value, ok := strings.Cut(line, " = ")
		if !ok {
			value = otherwise(name)
		}
		t[fold(name)] = value
	}
	return t
}

// find looks a label up, by its words or as the value itself.
func (t terms) find(label string) (string, bool) {
	v, ok := t[fold(label)]
	return v, ok
}

var (
	sectorTerms     = readTerms(sectorNames, func(s string) string { return s })
	alertTerms      = readTerms(alertNames, slug)
	malwareTerms    = readTerms(malwareNames, slug)
	incidentTerms   = readTerms(incidentNames, slug)
	motivationTerms = readTerms(motivationNames, slug)
)

// slug writes a name like a value of a STIX vocabulary.
func slug(name string) string {
	name, _, _ = strings.Cut(name, " (")
	return strings.ReplaceAll(fold(name), " ", "-")
}

// fold makes names comparable: lower case, no accents, no punctuation except
// between words, "and" for &.
func fold(s string) string {
	ascii := true
	for i := range len(s) {
		ascii = ascii && s[i] < 0x80
	}
	if !ascii {
		s = norm.NFD.String(s)
	}
	var b strings.Builder
	gap := false
	word := func(c rune) {
		if gap && b.Len() > 0 {
			b.WriteByte(' ')
		}
		gap = false
		b.WriteRune(c)
	}
	for _, c := range s {
		switch {
		case unicode.IsLetter(c) || unicode.IsDigit(c) || c == '+':
			word(unicode.ToLower(c))
		case c == '&':
			gap = true
			for _, l := range "and" {
				word(l)
			}
			gap = true
		case unicode.Is(unicode.Mn, c) || c == '\'' || c == '’' || c == '.':
		default:
			gap = true
		}
	}
	return b.String()
}
