package encoding

import (
	"encoding/hex"
	"strings"
)

// IDKey returns the compact key of a STIX id: it is self-delimiting, lossless, and keeps a total order, though not
// that of the text. "type--uuid" in its usual form takes the type and 16 bytes; anything else is stored as it is.
//
//	1 type-code uuid          a type of the table below
//	2 type 0 uuid             another type
//	3 string                  everything else, see PutString
func IDKey(id string) []byte { return AppendID(make([]byte, 0, 18), id) }

const (
	idCoded  = 1
	idTyped  = 2
	idString = 3
)

// typeCodes are the types that take one byte. Codes are part of the file
// format: entries may be added at the end, never moved.
var typeCodes = []string{
	"indicator", "relationship", "ipv4-addr", "domain-name", "url", "file", "malware",
	"intrusion-set", "threat-actor", "report", "identity", "location", "attack-pattern",
	"vulnerability", "tool", "campaign", "incident", "infrastructure", "note", "sighting",
	"marking-definition", "observed-data", "course-of-action", "ipv6-addr", "email-addr",
	"opinion", "grouping", "malware-analysis", "email-message", "autonomous-system",
	"software", "user-account", "hostname", "mac-addr", "x509-certificate",
}

// AppendID appends the IDKey of id.
func AppendID(b []byte, id string) []byte {
	typ, uuid, ok := splitID(id)
	if !ok {
		return PutString(append(b, idString), id)
	}
	for i, t := range typeCodes {
		if t == typ {
			return append(append(b, idCoded, byte(i)), uuid[:]...)
		}
	}
	b = append(append(b, idTyped), typ...)
	return append(append(b, 0), uuid[:]...)
}

// CutID parses a key of AppendID at the start of b and returns the rest.
func CutID(b []byte) (id string, rest []byte, ok bool) {
	if len(b) == 0 {
		return "", nil, false
	}
	kind, b := b[0], b[1:]
	switch kind {
	case idCoded:
		if len(b) < 17 || int(b[0]) >= len(typeCodes) {
			return "", nil, false
		}
		return joinID(typeCodes[b[0]], b[1:17]), b[17:], true
	case idTyped:
		i := strings.IndexByte(string(b[:min(len(b), maxType)]), 0)
		if i < 0 || len(b) < i+17 {
			return "", nil, false
		}
		return joinID(string(b[:i]), b[i+1:i+17]), b[i+17:], true
	case idString:
		return CutString(b)
	}
	return "", nil, false
}

// splitID takes apart an id whose uuid is in the canonical lower-case form.
func splitID(id string) (typ string, uuid [16]byte, ok bool) {
	i := len(id) - len("--") - 36
	if i < 1 || id[i:i+2] != "--" || strings.IndexByte(id[:i], 0) >= 0 {
		return "", uuid, false
	}
	text := id[i+2:]
	if text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-' {
		return "", uuid, false
	}
	plain := text[:8] + text[9:13] + text[14:18] + text[19:23] + text[24:]
	for i := range len(plain) {
		if plain[i] >= 'A' && plain[i] <= 'F' {
			return "", uuid, false
		}
	}
	if _, err := hex.Decode(uuid[:], []byte(plain)); err != nil {
		return "", uuid, false
	}
	return id[:i], uuid, true
}

func joinID(typ string, uuid []byte) string {
	h := hex.EncodeToString(uuid)
	return typ + "--" + h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}
