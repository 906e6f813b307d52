package opencti

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"time"

	"threatmatch-connector/internal/fault"
)

func transport(opt Options) (*http.Transport, error) {
	conf, err := tlsConfig(opt)
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

func tlsConfig(opt Options) (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: opt.Insecure}
	if len(opt.CAs) == 0 {
		return conf, nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(opt.CAs) {
		return nil, fault.Hint(fault.Mark(fault.Fatal, errors.New("certificate authority for opencti: no certificate in it")), "give a PEM certificate or the path of a PEM file")
	}
	conf.RootCAs = pool
	return conf, nil
}
