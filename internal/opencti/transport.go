package opencti

import (
	"crypto/tls"
	"net"
	"net/http"
	"time"
)

func transport(opt Options) *http.Transport {
	return &http.Transport{
		Proxy:                 opt.Proxy,
		DialContext:           (&net.Dialer{Timeout: min(10*time.Second, opt.Timeout)}).DialContext,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: opt.Roots, InsecureSkipVerify: opt.Insecure},
		TLSHandshakeTimeout:   10 * time.Second,
		ForceAttemptHTTP2:     true,
		MaxIdleConnsPerHost:   4,
		IdleConnTimeout:       90 * time.Second,
		ExpectContinueTimeout: time.Second,
	}
}
