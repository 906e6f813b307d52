package check

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"threatmatch-connector/internal/clients"
	"threatmatch-connector/internal/fault"
)

// reach checks that a server can be reached: its name, its port, its certificate. It reports whether more checks of
// that server make sense.
func (c *checker) reach(ctx context.Context, name, setting, address string, roots *x509.CertPool, insecure bool) bool {
	u, err := url.Parse(address)
	if err != nil {
		c.failed(name, errors.New("not an address"), "check "+setting)
		return false
	}
	via, err := clients.Proxy(c.Config.Network)(&http.Request{URL: u})
	if err != nil {
		c.failed(name, errors.New("the proxy's address cannot be read"), "check HTTPS_PROXY and HTTP_PROXY")
		return false
	}
	target, by := u, ""
	if via != nil {
		target, by, setting = via, " by the proxy "+via.Host, "HTTPS_PROXY or HTTP_PROXY"
	}
	host, port := target.Hostname(), cmp.Or(target.Port(), map[string]string{"http": "80", "https": "443"}[target.Scheme])
	addrs, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		c.unreached(name, err, setting)
		return false
	}
	conn, err := (&net.Dialer{Timeout: c.Timeout}).DialContext(ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		c.unreached(name, err, setting)
		return false
	}
	defer func() { _ = conn.Close() }()
	if via != nil || u.Scheme != "https" {
		c.ok(name, "%s%s is reached at %s%s", u.Host, by, strings.Join(addrs[:min(2, len(addrs))], ", "), inClear(u.Scheme))
		return true
	}
	return c.handshake(ctx, name, setting, tls.Client(conn, &tls.Config{
		ServerName: host, RootCAs: roots, InsecureSkipVerify: insecure, MinVersion: tls.VersionTLS12,
	}), insecure)
}

func inClear(scheme string) string {
	if scheme == "http" {
		return "; not encrypted"
	}
	return ""
}

// handshake checks the server's certificate.
func (c *checker) handshake(ctx context.Context, name, setting string, conn *tls.Conn, insecure bool) bool {
	if err := conn.HandshakeContext(ctx); err != nil {
		c.unreached(name, err, setting)
		return false
	}
	state := conn.ConnectionState()
	end := state.PeerCertificates[0].NotAfter.UTC()
	detail := fmt.Sprintf("%s is reached at %s with %s, certificate valid until %s",
		state.ServerName, conn.RemoteAddr(), tls.VersionName(state.Version), end.Format(time.DateOnly))
	switch left := end.Sub(c.Now()); {
	case insecure:
		c.remark(name, detail+"; it is not checked", "let the certificate be checked: opencti.ssl_verify")
	case left < 14*24*time.Hour:
		c.remark(name, detail, fmt.Sprintf("the server's certificate ends in %d days", int(left.Hours()/24)))
	default:
		c.ok(name, "%s", detail)
	}
	return true
}

func (c *checker) unreached(name string, err error, setting string) {
	words, hint := fault.Network(err, fault.HTTP(setting))
	c.failed(name, errors.New(cmp.Or(words, err.Error())), cmp.Or(hint, "check "+setting))
}
