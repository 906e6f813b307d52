package encoding

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"
)

// ID is what the spool knows of an object that was handed to deliver, or found on the platform.
type ID struct {
	Hash       [16]byte          // of the content taken in last; zero if the object is only known to be on the platform
	Earlier    [][16]byte        // of the contents before it, newest first; at most MaxEarlier
	Modified   time.Time         // in milliseconds
	Properties int               // their number
	Names      []string          // their names, sorted; nil if unknown (entries of schema 1)
	Lists      map[string]uint64 // by name of property, a mark of what was sent of it; map defines its meaning
	Marking    int               // rank of the strictest source marking that was sent; 0: none
	Required   uint64            // hash of the values that the platform requires; 0: not known
	Kind       string            // kind as OpenCTI's relationship table names it
	Run        uint64            // 0: known from the platform
	At         time.Time         // in seconds
}

// MaxEarlier is how many earlier contents an entry remembers.
const MaxEarlier = 7

// The value of an entry:
//
//	version | flags | crc (4) | kind | properties | run | log row | [hash] | [modified ms] | [at s]
//	  and from version 2 on | earlier | names | lists | marking | [required (8)] | [origin]
//
// Earlier, names and lists are counted. A kind or a name is a code, or a string.
const (
	idVersion     = 2
	idHasHash     = 1 << 0
	idHasModified = 1 << 1
	idHasAt       = 1 << 2
	idKindCoded   = 1 << 3
	idHasRequired = 1 << 4
	idHasOrigin   = 1 << 5
)

// kindCodes are the kinds that take one byte. Codes are part of the file
// format: entries may be added at the end, never moved.
var kindCodes = []string{
	"indicator", "relationship", "malware", "intrusion-set", "threat-actor", "threat-actor-group",
	"report", "attack-pattern", "campaign", "vulnerability", "tool", "incident", "infrastructure",
	"identity-individual", "identity-organization", "identity-sector", "identity-system",
	"location-region", "location-country", "location-city", "location-administrative-area",
	"location-position", "domain-name", "ipv4-addr", "ipv6-addr", "url", "stix-file", "file",
	"course-of-action", "note", "sighting", "marking-definition", "observed-data", "channel",
	"narrative", "software", "user-account", "hostname", "email-addr",
}

// nameCodes are the names of properties that take one byte; as kindCodes.
var nameCodes = []string{
	"type", "id", "spec_version", "created", "modified", "created_by_ref", "labels", "confidence", "lang",
	"external_references", "object_marking_refs", "granular_markings", "extensions", "revoked", "name",
	"description", "aliases", "first_seen", "last_seen", "goals", "resource_level", "primary_motivation",
	"secondary_motivations", "personal_motivations", "roles", "sophistication", "threat_actor_types", "pattern",
	"pattern_type", "pattern_version", "valid_from", "valid_until", "indicator_types", "kill_chain_phases",
	"relationship_type", "source_ref", "target_ref", "start_time", "stop_time", "object_refs", "published",
	"report_types", "malware_types", "is_family", "capabilities", "tool_types", "tool_version", "value", "hashes",
	"identity_class", "sectors", "contact_information", "region", "country", "city", "latitude", "longitude",
	"content", "authors", "abstract", "x_opencti_score", "x_opencti_main_observable_type", "x_opencti_files",
	"x_opencti_location_type", "x_opencti_aliases", "x_opencti_type", "x_opencti_description",
	"x_opencti_order", "x_opencti_detection", "x_opencti_reliability", "x_mitre_id", "objective", "number",
	"opinion", "explanation", "count", "summary", "sighting_of_ref", "where_sighted_refs", "first_observed",
	"last_observed", "number_observed", "infrastructure_types", "architecture_execution_envs",
	"implementation_languages", "operating_system_refs", "sample_refs", "definition", "definition_type",
}

// EncodeID builds the value of the entry under the key. seq is its log row; origin says what brought the object, ""
// if unknown.
func EncodeID(key []byte, e ID, seq uint64, origin string) []byte {
	b := make([]byte, 6, 192)
	b[0] = idVersion
	flag := func(set bool, f byte) bool {
		if set {
			b[1] |= f
		}
		return set
	}
	if code := slices.Index(kindCodes, e.Kind); flag(code >= 0, idKindCoded) {
		b = append(b, byte(code))
	} else {
		b = AppendString(b, e.Kind)
	}
	b = binary.AppendUvarint(b, uint64(max(e.Properties, 0)))
	b = binary.AppendUvarint(b, e.Run)
	b = binary.AppendUvarint(b, seq)
	if flag(e.Hash != [16]byte{}, idHasHash) {
		b = append(b, e.Hash[:]...)
	}
	if flag(!e.Modified.IsZero(), idHasModified) {
		b = binary.AppendVarint(b, e.Modified.UnixMilli())
	}
	if flag(!e.At.IsZero(), idHasAt) {
		b = binary.AppendVarint(b, e.At.Unix())
	}
	earlier := e.Earlier[:min(len(e.Earlier), MaxEarlier)]
	b = binary.AppendUvarint(b, uint64(len(earlier)))
	for _, h := range earlier {
		b = append(b, h[:]...)
	}
	b = binary.AppendUvarint(b, uint64(len(e.Names)))
	for _, n := range e.Names {
		b = appendName(b, n)
	}
	b = binary.AppendUvarint(b, uint64(len(e.Lists)))
	var few [32]string
	names := slices.AppendSeq(few[:0], maps.Keys(e.Lists))
	slices.Sort(names)
	for _, n := range names {
		b = PutU64(appendName(b, n), e.Lists[n])
	}
	b = binary.AppendUvarint(b, uint64(max(e.Marking, 0)))
	if flag(e.Required != 0, idHasRequired) {
		b = PutU64(b, e.Required)
	}
	if flag(origin != "", idHasOrigin) {
		b = AppendString(b, origin)
	}
	binary.BigEndian.PutUint32(b[2:], checksum(key, b))
	return b
}

// DecodeID parses a value of EncodeID, also one of schema 1.
func DecodeID(key, b []byte) (e ID, seq uint64, origin string, err error) {
	if len(b) < 6 || b[0] < 1 || b[0] > idVersion {
		return e, 0, "", fmt.Errorf("id entry: %w", ErrCorrupt)
	}
	if checksum(key, b) != binary.BigEndian.Uint32(b[2:]) {
		return e, 0, "", fmt.Errorf("id entry: %w: checksum", ErrCorrupt)
	}
	r := Reader{B: b[6:]}
	flags := b[1]
	if flags&idKindCoded != 0 {
		e.Kind = r.coded(kindCodes, int(r.Byte()))
	} else {
		e.Kind = string(r.Bytes(r.Uvarint()))
	}
	e.Properties = int(min(r.Uvarint(), math.MaxInt32))
	e.Run, seq = r.Uvarint(), r.Uvarint()
	if flags&idHasHash != 0 {
		copy(e.Hash[:], r.Bytes(16))
	}
	if flags&idHasModified != 0 {
		e.Modified = time.UnixMilli(r.Varint()).UTC()
	}
	if flags&idHasAt != 0 {
		e.At = time.Unix(r.Varint(), 0).UTC()
	}
	if b[0] > 1 {
		r.contents(&e, flags)
	}
	if flags&idHasOrigin != 0 {
		origin = string(r.Bytes(r.Uvarint()))
	}
	if r.Bad || len(r.B) > 0 {
		return ID{}, 0, "", fmt.Errorf("id entry: %w: %d bytes", ErrCorrupt, len(b))
	}
	return e, seq, origin, nil
}

// contents reads the fields that version 2 added.
func (r *Reader) contents(e *ID, flags byte) {
	for n := r.count(16); n > 0; n-- {
		e.Earlier = append(e.Earlier, [16]byte(r.Bytes(16)))
	}
	for n := r.count(1); n > 0; n-- {
		e.Names = append(e.Names, r.name())
	}
	for n := r.count(9); n > 0; n-- {
		if e.Lists == nil {
			e.Lists = make(map[string]uint64, n)
		}
		name := r.name()
		e.Lists[name] = U64(r.Bytes(8), 0)
	}
	e.Marking = int(min(r.Uvarint(), math.MaxInt32))
	if flags&idHasRequired != 0 {
		e.Required = U64(r.Bytes(8), 0)
	}
}

// count reads the number of items of at least size bytes that follow.
func (r *Reader) count(size uint64) uint64 {
	n := r.Uvarint()
	if n > uint64(len(r.B))/size {
		r.Bad = true
		return 0
	}
	return n
}

// appendName appends the code of a property's name, or 0 and the name.
func appendName(b []byte, name string) []byte {
	if i := slices.Index(nameCodes, name); i >= 0 {
		return append(b, byte(i+1))
	}
	return AppendString(append(b, 0), name)
}

func (r *Reader) name() string {
	if code := int(r.Byte()); code > 0 {
		return r.coded(nameCodes, code-1)
	}
	return string(r.Bytes(r.Uvarint()))
}

func (r *Reader) coded(codes []string, i int) string {
	if i >= len(codes) {
		r.Bad = true
		return ""
	}
	return codes[i]
}
