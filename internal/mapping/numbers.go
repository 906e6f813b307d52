package mapping

import (
	"encoding/json"
	"math"
	"regexp"
	"strconv"
	"strings"

	"threatmatch-connector/internal/stix"
)

// number reads a JSON number, or a text that contains one.
func number(raw json.RawMessage) (float64, bool) {
	s, isText := stix.Text(raw)
	if !isText {
		s = string(raw)
	}
	s = strings.TrimSpace(s)
	if strings.Count(s, ",") == 1 && !strings.Contains(s, ".") {
		s = strings.Replace(s, ",", ".", 1)
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil && !math.IsNaN(f) && !math.IsInf(f, 0)
}

var protocol = regexp.MustCompile(`(?i)^[0-9]+/(?:tcp|udp|sctp)$`)

// hemisphere matches a latitude or longitude as people write it.
var hemisphere = regexp.MustCompile(`(?i)^([0-9.,]+)\s*°?\s*([NSEW])$`)

// share matches a fraction: 85/100, 4 out of 5.
var share = regexp.MustCompile(`^([0-9.]+) ?(?:/|out of|of) ?(5|10|100)$`)

var thousands = regexp.MustCompile(`^[0-9]{1,3}(?:,[0-9]{3})+$`)

func readInteger(raw json.RawMessage) (any, bool) {
	given := raw
	if s, isText := stix.Text(raw); isText {
		s = strings.TrimSpace(s)
		if len(s) > 2 && strings.EqualFold(s[:2], "AS") { // AS64496, ASN 64496, AS1.10
			s := strings.TrimLeft(s[2:], "Nn ")
			raw = json.RawMessage(s)
			high, low, dotted := strings.Cut(s, ".")
			h, err1 := strconv.ParseUint(high, 10, 16)
			l, err2 := strconv.ParseUint(low, 10, 16)
			if dotted && err1 == nil && err2 == nil {
				raw = json.RawMessage(strconv.FormatUint(h<<16|l, 10))
			}
		}
		if port, _, ok := strings.Cut(s, "/"); ok && protocol.MatchString(s) { // 443/tcp
			raw = json.RawMessage(port)
		}
		if thousands.MatchString(s) {
			raw = json.RawMessage(strings.ReplaceAll(s, ",", ""))
		}
	}
	f, ok := number(raw)
	if !ok || f != math.Trunc(f) || f < math.MinInt32 || f > math.MaxInt32 {
		return nil, false
	}
	return int(f), strconv.Itoa(int(f)) == string(given)
}

// readDecimal reads a number, or a percentage as a fraction.
func readDecimal(raw json.RawMessage) (any, bool) {
	f, ok := number(raw)
	if s, isText := stix.Text(raw); isText && !ok {
		s = strings.TrimSpace(s)
		if m := hemisphere.FindStringSubmatch(s); m != nil {
			f, ok = number(json.RawMessage(m[1]))
			if strings.ContainsAny(m[2], "SWsw") {
				f = -f
			}
		} else if s, ok = strings.CutSuffix(s, "%"); ok {
			f, ok = number(json.RawMessage(s))
			f /= 100
		}
	}
	if !ok {
		return nil, false
	}
	return json.Number(strconv.FormatFloat(f, 'f', -1, 64)), isNumber(raw)
}

// readPercent reads a number from 0 to 100, or a word of STIX's confidence scales.
func readPercent(raw json.RawMessage) (any, bool) {
	s, _ := stix.Text(raw)
	s = strings.ToLower(strings.Join(strings.Fields(s), " "))
	f, ok := number(raw)
	s = strings.TrimLeft(s, "~≈ ")
	bare, percent := strings.CutSuffix(strings.Replace(s, "percent", "%", 1), "%")
	if f2, isNumber := number(json.RawMessage(strings.TrimSpace(bare))); isNumber {
		f, ok = f2, true
	}
	if m := share.FindStringSubmatch(s); m != nil {
		part, _ := strconv.ParseFloat(m[1], 64)
		whole, _ := strconv.ParseFloat(m[2], 64)
		f, ok, percent = part*100/whole, true, true
	}
	if f > 0 && f < 1 && !percent { // a fraction
		f *= 100
	}
	if !ok {
		n, known := confidenceOf(s)
		if !known {
			return nil, false
		}
		f = float64(n)
	}
	n := int(math.Round(min(max(f, 0), 100)))
	return n, strconv.Itoa(n) == string(raw)
}

// scales are the words of the scales in STIX 2.1, appendix A, with their values.
var scales = map[string]int{
	"none": 0, "very low": 5, "very high": 95, "low": 15, "med": 50, "medium": 50, "moderate": 50, "high": 85,

	"confirmed by other sources": 90, "confirmed": 90, "probably true": 70, "possibly true": 50, "doubtful": 30,

	"impossible": 0, "highly unlikely": 10, "almost certainly not": 10, "unlikely": 30, "probably not": 30,
	"even chance": 50, "likely": 70, "probable": 70, "highly likely": 90, "almost certain": 90, "certain": 100,

	"almost no chance": 5, "remote": 5, "very unlikely": 15, "highly improbable": 15, "improbable": 30,
	"roughly even chance": 50, "roughly even odds": 50, "very likely": 85, "highly probable": 85,
	"almost certainly": 95, "nearly certain": 95,
}

// credibility is the second half of an admiralty code such as B2. A 6 means that it
// cannot be judged.
var credibility = map[byte]int{'1': 90, '2': 70, '3': 50, '4': 30, '5': 10}

// confidenceOf reads a word of a scale, in lower case: "high", "high/likely", "2 -
// probably true", "b2".
func confidenceOf(s string) (int, bool) {
	if len(s) == 2 && s[0] >= 'a' && s[0] <= 'f' {
		n, ok := credibility[s[1]]
		return n, ok
	}
	if _, words, ok := strings.Cut(s, " - "); ok {
		s = words
	}
	first, _, _ := strings.Cut(s, "/")
	first = strings.TrimSuffix(strings.TrimSpace(first), " confidence")
	n, ok := scales[first]
	return n, ok
}

// readHashes keeps the hashes that are texts.
func readHashes(raw json.RawMessage) (any, bool) {
	if raw[0] != '{' {
		return nil, false
	}
	fine := true
	kept := map[string]json.RawMessage{}
	for algorithm, hash := range stix.Members(raw) {
		if s, ok := stix.Text(hash); ok && strings.TrimSpace(s) != "" && strings.TrimSpace(algorithm) != "" {
			kept[algorithm] = hash
			continue
		}
		fine = false
	}
	if len(kept) == 0 {
		return nil, false
	}
	return kept, fine
}
