// Package clients builds the three clients from the settings: of ThreatMatch, of OpenCTI's API and of its broker. The
// running connector and the command check share it.
package clients

import (
	"cmp"
	"crypto/x509"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/http/httpproxy"

	"threatmatch-connector/config"
	"threatmatch-connector/internal/delivery"
	"threatmatch-connector/internal/opencti"
	"threatmatch-connector/internal/threatmatch"
)

// OpenCTIOptions returns the options of the client of OpenCTI's API.
func OpenCTIOptions(c *config.Config, version string) opencti.Options {
	headers := make(map[string]string, len(c.OpenCTI.CustomHeaders))
	for _, h := range c.OpenCTI.CustomHeaders {
		headers[h.Name] = h.Value.Reveal()
	}
	return opencti.Options{
		URL: c.OpenCTI.URL, Token: c.OpenCTI.Token.Reveal(), Version: version, Headers: headers,
		Roots: Roots(c.OpenCTICAs()), Insecure: !c.VerifyOpenCTI(), Proxy: Proxy(c.Network), NoQueue: c.Pushes(),
		Connector: opencti.Connector{
			ID: c.Connector.ID, Name: c.Connector.Name, Type: c.Connector.Type, Scope: c.Connector.Scope, Slug: "threatmatch",
		},
	}
}

// ThreatMatchOptions returns the options of the ThreatMatch client. The caller adds the clock and the randomness.
func ThreatMatchOptions(c *config.Config, version string) threatmatch.Options {
	t := c.ThreatMatch
	return threatmatch.Options{
		BaseURL: t.URL, ClientID: t.ClientID, ClientSecret: t.ClientSecret.Reveal(),
		UserAgent: "threatmatch-connector/" + version, RequestsPerSecond: t.RequestsPerSecond, MaxBody: t.MaxBody,
		Roots: Roots(c.ThreatMatchCAs()), Proxy: Proxy(c.Network),
	}
}

// Roots returns the system's authorities and those in pem; nil, which means the system's alone, if pem is empty.
func Roots(pem []byte) *x509.CertPool {
	if len(pem) == 0 {
		return nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	pool.AppendCertsFromPEM(pem)
	return pool
}

// Proxy returns a function for http.Transport.Proxy that chooses the proxy of a request.
func Proxy(n config.Network) func(*http.Request) (*url.URL, error) {
	f := (&httpproxy.Config{
		HTTPProxy: n.HTTPProxy.Reveal(), HTTPSProxy: n.HTTPSProxy.Reveal(), NoProxy: n.NoProxy,
	}).ProxyFunc()
	return func(r *http.Request) (*url.URL, error) { return f(r.URL) }
}

// BrokerTLS returns the options for TLS to the broker.
func BrokerTLS(mq config.MQ) delivery.TLS {
	return delivery.TLS{
		CA: mq.SSLCA.Bytes(), Cert: mq.SSLCert.Bytes(), Key: mq.SSLKey.Bytes(),
		Passphrase: mq.SSLPassphrase.Reveal(), Insecure: !mq.SSLRejectUnauthorized,
		Required: asksForTLS(mq),
	}
}

// asksForTLS reports whether a setting is set that only makes sense with TLS.
func asksForTLS(mq config.MQ) bool {
	return mq.UseSSL != nil && *mq.UseSSL || len(mq.SSLCA.Bytes())+len(mq.SSLCert.Bytes())+len(mq.SSLKey.Bytes()) > 0 || mq.SSLPassphrase.IsSet()
}

// InClear reports whether the broker's password goes over the network unencrypted although OpenCTI itself is reached
// by https.
func InClear(c *config.Config, b delivery.Broker) bool {
	return !b.UseTLS && strings.HasPrefix(strings.ToLower(c.OpenCTI.URL), "https://")
}

// Broker returns b with our MQ_* settings laid over what the platform says.
func Broker(mq config.MQ, b opencti.Broker) delivery.Broker {
	tls := b.UseTLS
	if mq.UseSSL != nil {
		tls = *mq.UseSSL
	}
	return delivery.Broker{
		Host: cmp.Or(mq.Host, b.Host), Port: cmp.Or(mq.Port, b.Port), VHost: cmp.Or(mq.VHost, b.VHost), UseTLS: tls,
		User: cmp.Or(mq.User, b.User), Password: cmp.Or(mq.Pass.Reveal(), b.Password),
	}
}
