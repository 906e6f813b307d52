package stix

import (
	"encoding/json"
	"fmt"
)

// What TooMuch says.
var (
	ErrTooLarge = fmt.Errorf("more than %d MiB besides its long texts", MaxRest>>20)
	ErrLongName = fmt.Errorf("a property with a name of more than %d bytes", maxName)
	ErrTooBig   = fmt.Errorf("more than %d MiB", maxMerged>>20)
	ErrTooMany  = fmt.Errorf("more than %d properties", MaxProperties)
	ErrTooLong  = fmt.Errorf("more than %d entries in its lists", MaxEntries)
	ErrTooWide  = fmt.Errorf("more than %d objects associated with an object that is not a container", MaxAssociated)
)

// MaxRest is how many bytes of JSON such an object may have besides its long texts and attached files. While it is
// mapped, what it is made of takes several times its size.
const MaxRest = 8 << 20

// maxMerged is how many bytes of JSON copies of an object may have together.
const maxMerged = 64 << 20

// MergeBounded is [Merge]. It returns an error if the copies together are too much and larger than each of them: a
// copy from each of many answers may add to an object that waits.
func MergeBounded(a, b *Object) (*Object, error) {
	both := Merge(a, b)
	size := both.Size()
	switch err := both.TooMuch(); {
	case size <= max(a.Size(), b.Size()):
		return both, nil
	case err != nil:
		return nil, err
	case size > maxMerged:
		return nil, ErrTooBig
	}
	return both, nil
}

// longTexts may have any length: hardly anything is made of them.
var longTexts = set("description", "x_opencti_description", "abstract", "explanation", "content", "x_opencti_content",
	"pattern", "body", "payload_bin", "x_opencti_files")

// MaxProperties is how many properties an object from a source may have. STIX and OpenCTI together define fewer than
// 100 for any type, and most operations on an object look at all of them.
const MaxProperties = 500

// maxName is STIX's own limit. What ids remembers of an object has the names of its properties.
const maxName = 250

// MaxEntries is how many entries the lists of such an object may have together, and the objects in it members, at
// every level. Each takes up to two kilobytes, made of a few bytes.
const MaxEntries = 100_000

// MaxAssociated is how many objects an object may list that is not a container: each becomes a relationship.
const MaxAssociated = 5_000

// TooMuch returns one of these errors for an object that no source may bring.
func (o *Object) TooMuch() error {
	if o.Len()+len(o.repeated) > MaxProperties {
		return ErrTooMany
	}
	if refs, ok := o.Get("object_refs"); ok && !Container(o.typ) && commas(refs) >= MaxAssociated {
		return ErrTooWide
	}
	size, n := 0, 0
	all := [...][]field{o.fields, o.repeated}
	for _, fields := range all {
		for i := range fields {
			f := &fields[i]
			if len(f.key) > maxName {
				return ErrLongName
			}
			if !longTexts[f.key] || f.raw[0] != '"' && f.key != "x_opencti_files" {
				size += len(f.key) + len(f.raw)
			}
		}
	}
	switch {
	case size > MaxRest:
		return ErrTooLarge
	case size < len("1,")*MaxEntries && !o.Has("x_opencti_files"):
		return nil
	}
	for _, fields := range all {
		for i := range fields {
			n += commas(fields[i].raw)
		}
	}
	if n > MaxEntries {
		return ErrTooLong
	}
	return nil
}

// commas counts those between entries in JSON text in normal form.
func commas(raw json.RawMessage) (n int) {
	if len(raw) > 0 && raw[0] == '"' {
		return 0
	}
	text := false
	for i := 0; i < len(raw); i++ {
		switch raw[i] {
		case '"':
			text = !text
		case '\\':
			i++
		case ',':
			if !text {
				n++
			}
		}
	}
	return n
}
