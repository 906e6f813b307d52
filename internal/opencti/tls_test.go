package opencti

import (
	"encoding/pem"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"threatmatch-connector/internal/fault"
)

func TestTLS(t *testing.T) {
	f := newFake(t)
	srv := httptest.NewUnstartedServer(f)
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	defer srv.Close()
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}))
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, []byte(ca), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		url  string
		tls  TLS
		ok   bool
		hint bool
	}{
		"not trusted":       {srv.URL, TLS{}, false, true},
		"authority as text": {srv.URL, TLS{CAs: []string{ca}}, true, false},
		"authority in file": {srv.URL, TLS{CAs: []string{path + "\n"}}, true, false},
		"any certificate":   {srv.URL, TLS{Insecure: true}, true, false},
		"no TLS there":      {"https" + f.URL[len("http"):], TLS{}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := newClient(t, tt.url, func(o *Options) { o.TLS = tt.tls }).Probe(t.Context())
			if (err == nil) != tt.ok {
				t.Fatalf("probe: %v", err)
			}
			if !tt.ok && (!fault.Is(err, fault.Systemic) || fault.HintOf(err) == "") && tt.hint {
				t.Errorf("error %v, hint %q", err, fault.HintOf(err))
			}
		})
	}
}
