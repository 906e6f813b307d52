package worker

import (
	"encoding/hex"
	"hash/maphash"
	"strings"
)

// key is a STIX id in 17 bytes: a store of a million objects stays small.
type key struct {
	kind byte
	uuid [16]byte
}

// entry is what the platform knows about an object.
type entry struct {
	hash     uint64 // of the last copy's JSON
	modified int64  // Unix milliseconds; 0 when absent
	received uint32
	kind     byte // as the table of relationships names it
}

// store is what the platform holds, and how often each object came.
type store struct {
	seed    maphash.Seed
	entries map[key]entry
	types   interned // of ids
	kinds   interned
}

// interned numbers strings from 1.
type interned struct {
	number map[string]byte
	text   []string
}

func (n *interned) of(s string) byte {
	if i, ok := n.number[s]; ok {
		return i
	}
	if len(n.text) == 255 {
		return 0
	}
	n.text = append(n.text, s)
	i := byte(len(n.text))
	n.number[s] = i
	return i
}

func newStore() store {
	return store{
		seed: maphash.MakeSeed(), entries: map[key]entry{},
		types: interned{number: map[string]byte{}}, kinds: interned{number: map[string]byte{}},
	}
}

// parse reads "<type>--<uuid>".
func (s *store) parse(id string) (k key, ok bool) {
	stixType, uuid, found := strings.Cut(id, "--")
	if !found || stixType == "" || !isUUID(uuid) {
		return k, false
	}
	var packed [32]byte
	copy(packed[:], uuid[:8])
	copy(packed[8:], uuid[9:13])
	copy(packed[12:], uuid[14:18])
	copy(packed[16:], uuid[19:23])
	copy(packed[20:], uuid[24:])
	if _, err := hex.Decode(k.uuid[:], packed[:]); err != nil {
		return k, false
	}
	k.kind = s.types.of(stixType)
	return k, true
}

func isUUID(s string) bool {
	return len(s) == 36 && s[8] == '-' && s[13] == '-' && s[18] == '-' && s[23] == '-'
}

func (s *store) get(id string) (entry, bool) {
	k, ok := s.parse(id)
	if !ok {
		return entry{}, false
	}
	e, ok := s.entries[k]
	return e, ok
}

func (s *store) kindName(e entry) string {
	if e.kind == 0 {
		return ""
	}
	return s.kinds.text[e.kind-1]
}

// platformMarkings exist on every platform from its first start.
var platformMarkings = []string{
	"marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9",
	"marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da",
	"marking-definition--f88d31f6-486f-44da-b317-01333bde0b82",
	"marking-definition--826578e1-40ad-459f-bc73-ede076f81f37",
	"marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed",
}

// add makes an id known without it having been received.
func (s *store) add(id, kind string) {
	if k, ok := s.parse(id); ok {
		if _, known := s.entries[k]; !known {
			s.entries[k] = entry{kind: s.kinds.of(kind)}
		}
	}
}
