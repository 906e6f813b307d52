package stix

import (
	"encoding/json"
	"errors"
	"strings"

	"github.com/google/uuid"
)

// CanonicalID returns the id under which OpenCTI accepts an object: a UUID in lower case, since upper and lower case
// name the same object; or, if the platform does not accept the UUID (its version or variant does not exist, or it is
// a name), one of version 5 that is made from the id as it is. It returns false for text without a type and something
// behind it.
func CanonicalID(id string) (string, bool) {
	if typ, ok := SplitID(id); ok && acceptedUUID(id[len(typ)+2:]) && strings.ToLower(id) == id {
		return id, true
	}
	id = strings.TrimSpace(id)
	typ, rest, ok := strings.Cut(id, "--")
	typ = strings.ToLower(typ)
	if !ok || !typeName(typ) || rest == "" || len(rest) > 1000 {
		return "", false
	}
	lower := typ + "--" + strings.ToLower(rest)
	if _, form := SplitID(lower); form {
		if acceptedUUID(lower[len(typ)+2:]) {
			return lower, true
		}
		id = lower
	}
	return DerivedID(typ, id), true
}

// DerivedID returns the id of an object of the type that is known by another text, such as an id that it cannot have:
// a UUID of version 5.
func DerivedID(typ, text string) string {
	return typ + "--" + uuid.NewSHA1(namespace, []byte(text)).String()
}

// acceptedUUID reports whether the platform accepts text in the form of a UUID: version 1 to 8, variant of RFC
// 9562.
func acceptedUUID(text string) bool {
	return text[14] >= '1' && text[14] <= '8' && strings.IndexByte("89abAB", text[19]) >= 0
}

// DecodeSource is [Decode] for an object as a source writes it: its id may have any form that CanonicalID accepts,
// and becomes the canonical one. The id of a marking must have the form of a UUID, since nobody would find the
// marking by another id. It must not be too much, as TooMuch says.
func DecodeSource(raw json.RawMessage) (*Object, error) {
	o, err := Decode(raw)
	if err != nil && !errors.Is(err, ErrBadID) {
		return nil, err
	}
	if o == nil {
		if o = decodeFields(raw); o.typ == "marking-definition" {
			return nil, ErrBadID
		}
	}
	if err := o.TooMuch(); err != nil {
		return nil, err
	}
	id, ok := CanonicalID(o.id)
	if !ok || !strings.HasPrefix(id, o.typ+"--") {
		return nil, ErrBadID
	}
	if id != o.id {
		o.Set("id", id)
	}
	return o, nil
}
