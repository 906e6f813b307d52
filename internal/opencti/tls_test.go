package opencti

import (
	"crypto/x509"
	"io"
	"log"
	"net/http/httptest"
	"strings"
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
		want string // "": it works
	}{
		"not trusted":     {srv.URL, Options{}, "OpenCTI: the authority of its certificate is not trusted here: name it in HTTPS_CA_CERTIFICATES"},
		"another name":    {strings.Replace(srv.URL, "127.0.0.1", "localhost", 1), Options{Roots: ca}, "OpenCTI: its certificate is for another name than localhost: check opencti.url"},
		"authority":       {srv.URL, Options{Roots: ca}, ""},
		"any certificate": {srv.URL, Options{Insecure: true}, ""},
		"no TLS there":    {"https" + f.URL[len("http"):], Options{}, "OpenCTI: no TLS is spoken there: check http:// or https:// and the port in opencti.url"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := newClient(t, tt.url, func(o *Options) { o.Roots, o.Insecure = tt.tls.Roots, tt.tls.Insecure }).Probe(t.Context())
			if (err == nil) != (tt.want == "") {
				t.Fatalf("probe: %v", err)
			}
			if err != nil && (!fault.Is(err, fault.Systemic) || fault.Sentence(err) != tt.want) {
				t.Errorf("got %q, want %q, systemic", fault.Sentence(err), tt.want)
			}
		})
	}
}
