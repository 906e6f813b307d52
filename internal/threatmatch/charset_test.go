package threatmatch

import (
	"io"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"threatmatch-connector/internal/fault"
)

// TestLenientBodies: what the reference client can read, our client can read, too.
func TestLenientBodies(t *testing.T) {
	const plain = `{"objects":[{"id":"a","name":"Zürich"}],"list":[7]}`
	wide := []byte{0xff, 0xfe}
	for _, u := range utf16.Encode([]rune(plain)) {
		wide = append(wide, byte(u), byte(u>>8))
	}
	for _, c := range []struct{ name, contentType, body string }{
		{"plain", "application/json", plain},
		{"byte-order mark", "application/json", "\ufeff" + plain},
		{"byte-order mark and charset", "application/json; charset=utf-8", "\ufeff" + plain},
		{"charset", "application/json; charset=iso-8859-1", strings.ReplaceAll(plain, "ü", "\xfc")},
		{"charset in quotes", `text/html; charset="ISO-8859-1"`, strings.ReplaceAll(plain, "ü", "\xfc")},
		{"UTF-8 by another name", "application/json; charset=iso-8859-1", plain},
		{"UTF-16 with its mark", "application/json", string(wide)},
		{"no content type", "", "\r\n " + plain + "\n"},
		{"another content type", "text/plain", plain},
	} {
		_, client := serve(t, answerWith(200, map[string][]string{"Content-Type": {c.contentType}}, c.body))
		page, err := client.Page(t.Context(), "1", "indicator", "2026-03-01T00:00:00.000Z")
		if list := collect(page); err != nil || len(list) != 1 || string(list[0].Raw) != `{"id":"a","name":"Zürich"}` {
			t.Errorf("%s: got %s %v, want Zürich", c.name, page.Bytes, err)
		}
		if list, err := client.List(t.Context(), Alerts, time.Now()); err != nil || list.Count != 1 {
			t.Errorf("%s: list %v %v, want one id", c.name, list.IDs, err)
		}
		if item, err := client.Item(t.Context(), Alerts, "7"); err != nil || strings.TrimSpace(string(item.Bytes)) != plain {
			t.Errorf("%s: item %q %v, want it in UTF-8", c.name, item.Bytes, err)
		}
	}
	_, client := serve(t, answerWith(200, nil, "\ufeff[{\"id\":1,\"name\":\"All content\"}]"))
	if groups, err := client.Groups(t.Context()); err != nil || len(groups) != 1 {
		t.Errorf("groups: got %v %v", groups, err)
	}
}

// collect returns the objects of a page.
func collect(p Page) []PageObject {
	if p.Objects == nil {
		return nil
	}
	return slices.Collect(p.Objects)
}

// TestLargerInUTF8: the limit holds for what a body becomes.
func TestLargerInUTF8(t *testing.T) {
	const size = largeBody + largeBody/2
	for limit, want := range map[int64]Kind{2*size + 100: "", 2*size - 100: KindTooLarge} {
		c := streamed(t, limit, -1, func() io.Reader {
			return io.MultiReader(strings.NewReader(`{"objects":["`), strings.NewReader(strings.Repeat("\xe9", size)), strings.NewReader(`"]}`))
		})
		body, err := c.Item(t.Context(), Alerts, "1")
		if want != "" {
			class, _ := fault.Of(err)
			wantError(t, err, want, class)
		} else if err != nil || len(body.Bytes) != 2*size+len(`{"objects":[""]}`) {
			t.Errorf("got %d bytes and %v, want twice as many as came", len(body.Bytes), err)
		}
		body.Release()
	}
}
