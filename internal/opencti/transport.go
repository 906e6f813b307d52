package opencti

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"threatmatch-connector/internal/fault"
)

// TLS says how the platform's certificate is checked. The zero value checks it against the system's authorities.
type TLS struct {
	// CAs are further authorities, each a PEM text or the path of a PEM file.
	CAs []string
	// Insecure accepts any certificate.
	Insecure bool
}

func transport(opt Options) (*http.Transport, error) {
	conf, err := opt.TLS.config()
	if err != nil {
		return nil, err
	}
	proxy := opt.Proxy
	if proxy == nil {
		proxy = http.ProxyFromEnvironment
	}
	return &http.Transport{
		Proxy:                 proxy,
		DialContext:           (&net.Dialer{Timeout: min(10*time.Second, cmp.Or(opt.Timeout, defaultTimeout))}).DialContext,
		TLSClientConfig:       conf,
		TLSHandshakeTimeout:   10 * time.Second,
		ForceAttemptHTTP2:     true,
		MaxIdleConnsPerHost:   4,
		IdleConnTimeout:       90 * time.Second,
		ExpectContinueTimeout: time.Second,
	}, nil
}

func (t TLS) config() (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: t.Insecure}
	if len(t.CAs) == 0 {
		return conf, nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	for _, ca := range t.CAs {
		text, err := pemText(ca)
		if err == nil && !pool.AppendCertsFromPEM(text) {
			err = errors.New("no certificate in it")
		}
		if err != nil {
			return nil, fault.Hint(fault.Mark(fault.Fatal, fmt.Errorf("certificate authority for opencti: %w", err)),
				"give a PEM certificate or the path of a PEM file")
		}
	}
	conf.RootCAs = pool
	return conf, nil
}

// pemText returns value itself if it is PEM, else the content of the file it names.
func pemText(value string) ([]byte, error) {
	if strings.Contains(value, "-----BEGIN") {
		return []byte(value), nil
	}
	return os.ReadFile(strings.TrimSpace(value))
}
