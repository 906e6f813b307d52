// Package encoding builds and parses the keys and values of a spool file. FORMAT.md describes them.
package encoding

import "errors"

// ErrCorrupt means that bytes fail their checksum or cannot be decoded.
var ErrCorrupt = errors.New("corrupt")

// maxType bounds the search for the end of a type in a key.
const maxType = 4096

// Clone returns a copy that is never nil.
func Clone(b []byte) []byte { return append([]byte{}, b...) }
