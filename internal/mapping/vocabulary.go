package mapping

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// The vocabularies are those that the vendor of ThreatMatch publishes as the MISP
// taxonomy "threatmatch" (version 3), one value per line; after "=" is the
// equivalent value of the STIX 2.1 vocabulary.

const sectorNames = `
Banking & Capital Markets
Financial Services
Insurance
Pension
Government & Public Service
Diplomatic Services
Energy, Utilities & Mining
Telecommunications
Technology
Academic/Research Institutes
Aerospace, Defence & Security
Agriculture
Asset & Wealth Management
Automotive
Business and Professional Services
Capital Projects & Infrastructure
Charity/Not-for-Profit
Chemicals
Commercial Aviation
Commodities
Education
Engineering & Construction
Entertainment & Media
Forest, Paper & Packaging
Healthcare
Hospitality & Leisure
Industrial Manufacturing
IT Industry
Legal
Metals
Pharmaceuticals & Life Sciences
Private Equity
Retail & Consumer
Semiconductors
Sovereign Investment Funds
Transport & Logistics
`

const alertNames = `
Actor Campaigns = campaign
Credential Breach
DDoS
Exploit Alert
General Notification
Vulnerability = vulnerability
Information Leakages
Malware = malware
Suspicious Domain
Forum Mention
Phishing Attempts
Social Media Alerts
Supply Chain Event
Technical Exposure
Threat Actor Update = threat-actor
Direct Targeting
Protest Activity
Violent Event
Strategic Event
Insider Threat
`

const malwareNames = `
Adware = adware
Backdoor = backdoor
Banking Trojan
Botnet = bot
Destructive = wiper
Downloader = downloader
Exploit Kit = exploit-kit
Fileless Malware
Keylogger = keylogger
Legitimate Tool
Mobile Application
Mobile Malware
Point-of-Sale (PoS)
Remote Access Trojan = remote-access-trojan
Rootkit = rootkit
Skimmer
Spyware = spyware
Surveillance Tool
Trojan = trojan
Virus = virus
Worm = worm
Zero-day
Unknown = unknown
Ransomware = ransomware
Wiper = wiper
Dropper = dropper
Bootkit = bootkit
Webshell = webshell
Web Shell = webshell
Bot = bot
RAT = remote-access-trojan
Infostealer
Information Stealer = infostealer
`

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

const incidentNames = `
ATM Attacks
ATM Breach
Attempted Exploitation
Botnet Activity
Business Email Compromise
Crypto Mining
Data Breach/Compromise
Data Dump
Data Leakage
DDoS
Defacement Activity
Denial of Service (DoS)
Disruption Activity
Espionage
Espionage Activity
Exec Targeting
Exposure of Data
Extortion Activity
Fraud Activity
General Notification
Hacktivism Activity
Malicious Insider
Malware Infection
Man in the Middle Attacks
MFA Attack
Mobile Malware
Phishing Activity
Ransomware Activity
Social Engineering Activity
Social Media Compromise
Spear-phishing Activity
Spyware
SQL Injection Activity
Supply Chain Compromise
Trojanised Software
Vishing
Website Attack (Other)
Unknown
`

// motivationNames has STIX's own values (attack-motivation-ov) and the words that
// threat reports use for them.
const motivationNames = `
Accidental = accidental
Coercion = coercion
Extortion = coercion
Dominance = dominance
Sabotage = dominance
Destruction = dominance
Disruption = dominance
Military = dominance
Geopolitical = dominance
Ideology = ideology
Ideological = ideology
Political = ideology
Religious = ideology
Hacktivism = ideology
Hacktivist = ideology
Activism = ideology
Notoriety = notoriety
Fame = notoriety
Organizational Gain = organizational-gain
Organisational Gain = organizational-gain
Espionage = organizational-gain
Cyber Espionage = organizational-gain
Corporate Espionage = organizational-gain
Industrial Espionage = organizational-gain
Information Theft = organizational-gain
Intelligence Gathering = organizational-gain
Personal Gain = personal-gain
Financial = personal-gain
Financial Gain = personal-gain
Financially Motivated = personal-gain
Financial Crime = personal-gain
Cyber Crime = personal-gain
Cybercrime = personal-gain
Personal Satisfaction = personal-satisfaction
Thrill = personal-satisfaction
Revenge = revenge
Retaliation = revenge
Unpredictable = unpredictable
`

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
