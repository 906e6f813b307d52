package threatmatch

import (
	"bytes"
	"unicode/utf8"

	"golang.org/x/net/html/charset"
)

var byteOrderMark = []byte("\ufeff")

// toUTF8 brings a body into the form that JSON should have: in UTF-8, without a
// byte-order mark. What is UTF-8 stays, whatever the content type says; else its
// charset, or a mark, says what it is. The reference client reads these, too.
// What is in no charset stays: whoever reads it says what is wrong with it.
func (c *Client) toUTF8(body *Body, contentType string) error {
	if !utf8.Valid(body.Bytes) {
		encoding, _, _ := charset.DetermineEncoding(body.Bytes, contentType)
		text := encoding.NewDecoder().Reader(bytes.NewReader(body.Bytes))
		if len(body.Bytes) < largeBody {
			var b bytes.Buffer
			if _, err := b.ReadFrom(text); err == nil {
				body.Bytes = b.Bytes()
			}
		} else {
			// A byte becomes at most three.
			stored, err := c.store(text, 3*int64(len(body.Bytes)))
			if err != nil {
				stored.Release()
				return err
			}
			body.Release()
			*body = stored
		}
	}
	body.Bytes = bytes.TrimPrefix(body.Bytes, byteOrderMark)
	return nil
}
