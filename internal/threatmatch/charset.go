package threatmatch

import (
	"bytes"
	"unicode/utf8"

	"golang.org/x/net/html/charset"
)

var byteOrderMark = []byte("\ufeff")

// toUTF8 converts a body to what JSON should be: UTF-8, without a byte-order mark. Valid UTF-8 stays, whatever the
// content type says; otherwise a mark or the content type names the charset. The reference client reads these, too.
// Text in no charset stays as it is: its reader reports what is wrong with it.
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
			// One byte becomes at most three.
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
