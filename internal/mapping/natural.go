package mapping

import (
	"strings"

	"threatmatch-connector/internal/stix"
)

// naturalTypes lists the obvious relationship type between two types: sources,
// type, targets.
const naturalTypes = `
threat-actor,intrusion-set | uses | malware,tool,attack-pattern,infrastructure,channel,narrative,file
threat-actor,intrusion-set | targets | vulnerability,identity,location,event
campaign,incident | uses | malware,tool,attack-pattern,infrastructure,channel,narrative
campaign,incident | targets | vulnerability,identity,location,event
campaign,incident | attributed-to | threat-actor,intrusion-set
incident | attributed-to | campaign
malware | uses | attack-pattern,infrastructure,tool
malware | exploits | vulnerability
malware | targets | identity,location,event
tool | uses | attack-pattern,infrastructure
tool | targets | vulnerability,identity,location,event
attack-pattern | uses | malware,tool
attack-pattern | targets | vulnerability,identity,location,event
indicator | indicates | attack-pattern,campaign,incident,infrastructure,intrusion-set,malware,threat-actor,tool,vulnerability
indicator | based-on | observable
infrastructure | consists-of | observable
malware | communicates-with | domain-name,ipv4-addr,ipv6-addr,url
course-of-action | mitigates | attack-pattern,indicator,malware,tool,vulnerability
infrastructure | located-at | location
infrastructure | has | vulnerability
ipv4-addr,ipv6-addr | located-at | location
ipv4-addr,ipv6-addr | belongs-to | autonomous-system
domain-name | resolves-to | ipv4-addr,ipv6-addr
software | has | vulnerability
intrusion-set | attributed-to | threat-actor
malware-analysis | analysis-of | malware
data-component | detects | attack-pattern
identity | located-at | location
`

// observable stands for every type of observables.
const observable = "observable"

var naturals = naturalTable()

func naturalTable() map[[2]string]string {
	table := map[[2]string]string{}
	for line := range lines(naturalTypes) {
		row := strings.Split(line, " | ")
		for source := range strings.SplitSeq(row[0], ",") {
			for target := range strings.SplitSeq(row[2], ",") {
				table[[2]string{source, target}] = row[1]
			}
		}
	}
	return table
}

// natural returns the obvious relationship type for two types, related-to if there
// is none, and whether it points from the second to the first.
func natural(from, to string) (relation string, swap bool) {
	for _, group := range [...]func(string) string{itself, observables} {
		if relation, ok := naturals[[2]string{from, group(to)}]; ok {
			return relation, false
		}
		if relation, ok := naturals[[2]string{to, group(from)}]; ok {
			return relation, true
		}
	}
	return relatedTo, false
}

func itself(typ string) string { return typ }

func observables(typ string) string {
	if stix.Observable(typ) {
		return observable
	}
	return typ
}
