package threatmatch

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"threatmatch-connector/internal/fault"
)

// streamed answers every data request with a body in chunks of 32 KiB.
func streamed(t *testing.T, limit int64, length int64, body func() io.Reader) *Client {
	t.Helper()
	opt := testOptions("http://threatmatch.example")
	opt.MaxBody = limit
	c := newClient(t, opt)
	c.http.Transport = transport(func(r *http.Request) (*http.Response, error) {
		resp := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, ContentLength: length, Body: io.NopCloser(body()), Request: r}
		if r.URL.Path == tokenPath {
			resp.Body, resp.ContentLength = io.NopCloser(strings.NewReader(`{"access_token":"tok","token_type":"Bearer","expires_at":3600}`)), -1
		}
		return resp, nil
	})
	return c
}

func TestLargeBodyHasOneBuffer(t *testing.T) {
	const limit = 48 << 20
	head, tail := `{"objects":["`, `"]}`
	whole := func(size int) func() io.Reader {
		return func() io.Reader {
			return io.MultiReader(strings.NewReader(head), io.LimitReader(filler{}, int64(size-len(head)-len(tail))), strings.NewReader(tail))
		}
	}
	tests := []struct {
		name   string
		length int64
		body   func() io.Reader
		kind   Kind // "": it is accepted
	}{
		{"at the limit", -1, whole(limit), ""},
		{"at the limit, length told", limit, whole(limit), ""},
		{"a third", -1, whole(limit / 3), ""},
		{"a fifth", -1, whole(limit / 5), ""},
		{"one byte over", -1, whole(limit + 1), KindTooLarge},
		{"without end", -1, func() io.Reader { return filler{} }, KindTooLarge},
		{"cut", -1, func() io.Reader {
			return io.MultiReader(whole(limit/2)(), failing{io.ErrUnexpectedEOF})
		}, KindNetwork},
		{"reset", -1, func() io.Reader {
			return io.MultiReader(whole(limit/2)(), failing{errors.New("connection reset by peer")})
		}, KindNetwork},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := streamed(t, limit, tt.length, tt.body)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			got, err := c.Item(t.Context(), Alerts, "1")
			runtime.ReadMemStats(&after)
			if tt.kind == "" {
				want, _ := io.ReadAll(tt.body())
				if err != nil || !bytes.Equal(got.Bytes, want) {
					t.Errorf("got %d bytes, error %v, want the %d that were sent", len(got.Bytes), err, len(want))
				}
				if cap(got.Bytes) > 2*len(got.Bytes) {
					t.Errorf("keeps %d bytes for a body of %d", cap(got.Bytes), len(got.Bytes))
				}
			} else {
				class := fault.Transient
				if tt.kind == KindTooLarge {
					class, _ = fault.Of(err)
				}
				wantError(t, err, tt.kind, class)
			}
			const most = limit*2 + 2*largeBody // what is read first, doubling, and a body cut to its size
			if took := after.TotalAlloc - before.TotalAlloc; took > most {
				t.Errorf("took %d KiB to read, want at most %d", took>>10, most>>10)
			}
		})
	}
}

// filler is text without end.
type filler struct{}

func (filler) Read(p []byte) (int, error) {
	n := min(len(p), 32<<10)
	for i := range p[:n] {
		p[i] = 'x'
	}
	return n, nil
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func BenchmarkList(b *testing.B) {
	body := []byte(`{"list":[` + strings.TrimSuffix(strings.Repeat("123456,", 200_000), ",") + `]}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := decodeList(body, func(b []byte) string { return string(b) }); err != nil {
			b.Fatal(err)
		}
	}
}
