package opencti

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"threatmatch-connector/internal/fault"
)

func TestKnown(t *testing.T) {
	f := newFake(t, [2]string{"$b", `{"data":{"a":{"entity_type":"Malware"},"b":null}}`}, [2]string{"$a", `{"data":{"a":{"entity_type":"uses"}}}`})
	got, err := f.client().Known(t.Context(), []string{"m1", "x", "m2", "y", "r"})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"m1": "malware", "m2": "malware", "r": "uses"}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for _, s := range f.seen {
		if n := strings.Count(s.Query, "stixObjectOrStixRelationship("); n > 2 {
			t.Errorf("%d look-ups in one document", n)
		}
	}
	if got, err := f.client().Known(t.Context(), nil); err != nil || len(got) != 0 {
		t.Errorf("no ids: %v %v", got, err)
	}
}

// TestKnownInPart: what was answered before an error is returned, and not asked again.
func TestKnownInPart(t *testing.T) {
	n := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n++; n > 2 {
			w.WriteHeader(503)
			return
		}
		_, _ = io.WriteString(w, `{"data":{"a":{"entity_type":"Tool"},"b":{"entity_type":"Tool"}}}`)
	}))
	defer srv.Close()
	var ids []string
	for i := range 10 {
		ids = append(ids, fmt.Sprint(i))
	}
	got, err := newClient(t, srv.URL).Known(t.Context(), ids)
	if len(got) != 4 || err == nil || !fault.Is(err, fault.Transient) {
		t.Errorf("got %v, %v, want what was answered, and the error", got, err)
	}
}
