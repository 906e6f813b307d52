package threatmatch

import (
	"bytes"
	"unicode/utf8"

	"golang.org/x/net/html/charset"
)

var byteOrderMark = []byte("\ufeff")

// toUTF8 converts a body to what JSON should be: UTF-8, without a byte-order mark. Valid UTF-8 stays, whatever the
// content type says; otherwise a mark or the content type names the charset. The reference client reads these, too.
// Text in no charset stays as it is: its reader reports what is wrong with it. What is over the limit in UTF-8 is too
// large, as one byte may become three.
func (c *Client) toUTF8(body *Body, contentType string) *Error {
	if !utf8.Valid(body.Bytes) {
		encoding, _, _ := charset.DetermineEncoding(body.Bytes, contentType)
		text := encoding.NewDecoder().Reader(bytes.NewReader(body.Bytes))
		if len(body.Bytes) < largeBody {
			var b bytes.Buffer
			if _, err := b.ReadFrom(text); err == nil {
				body.Bytes = b.Bytes()
			}
		} else {
			stored, err := c.store(text, c.opt.MaxBody+1)
			if err != nil {
				stored.Release()
				return &Error{Kind: KindMalformed, cause: err}
			}
			if int64(len(stored.Bytes)) > c.opt.MaxBody {
				stored.Release()
				return larger(KindTooLarge, c.opt.MaxBody)
			}
			body.Release()
			*body = stored
		}
	}
	body.Bytes = bytes.TrimPrefix(body.Bytes, byteOrderMark)
	return nil
}
