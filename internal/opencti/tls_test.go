package opencti

import (
	"crypto/x509"
	"io"
	"log"
	"net/http/httptest"
	"testing"

	"threatmatch-connector/internal/fault"
)

func TestTLS(t *testing.T) {
	f := newFake(t)
	srv := httptest.NewUnstartedServer(f)
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	defer srv.Close()
	ca := x509.NewCertPool()
	ca.AddCert(srv.Certificate())
	for name, tt := range map[string]struct {
		url  string
		tls  Options
		ok   bool
		hint bool
	}{
		"not trusted":     {srv.URL, Options{}, false, true},
		"authority":       {srv.URL, Options{Roots: ca}, true, false},
		"any certificate": {srv.URL, Options{Insecure: true}, true, false},
		"no TLS there":    {"https" + f.URL[len("http"):], Options{}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := newClient(t, tt.url, func(o *Options) { o.Roots, o.Insecure = tt.tls.Roots, tt.tls.Insecure }).Probe(t.Context())
			if (err == nil) != tt.ok {
				t.Fatalf("probe: %v", err)
			}
			if !tt.ok && (!fault.Is(err, fault.Systemic) || fault.HintOf(err) == "") && tt.hint {
				t.Errorf("error %v, hint %q", err, fault.HintOf(err))
			}
		})
	}
}
