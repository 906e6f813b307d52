package threatmatch

import (
	"bytes"
	"unicode/utf8"

	"golang.org/x/net/html/charset"
)

var byteOrderMark = []byte("\ufeff")

// toUTF8 returns a body as JSON should have it: in UTF-8, without a byte-order
// mark. What is UTF-8 stays, whatever the content type says; else its charset,
// or a mark, says what it is. The reference client reads these, too.
func toUTF8(body []byte, contentType string) []byte {
	if utf8.Valid(body) {
		return bytes.TrimPrefix(body, byteOrderMark)
	}
	encoding, _, _ := charset.DetermineEncoding(body, contentType)
	text, err := encoding.NewDecoder().Bytes(body)
	if err != nil {
		return body // whoever reads it says what is wrong with it
	}
	return bytes.TrimPrefix(text, byteOrderMark)
}
