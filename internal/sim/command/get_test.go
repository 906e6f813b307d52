package command

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestGet(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/sim/verdict" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte("fine\n"))
	}))
	defer srv.Close()
	for path, want := range map[string]string{"/sim/verdict": "fine\n", "/sim/nothing": ""} {
		var out bytes.Buffer
		cmd := New(&out, &out)
		cmd.SetArgs([]string{"get", srv.URL + path})
		err := cmd.ExecuteContext(t.Context())
		if out.String() != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v", path, out.String(), err)
		}
	}
}
