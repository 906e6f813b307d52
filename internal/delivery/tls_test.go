package delivery

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"threatmatch-connector/internal/brokertest"
	"threatmatch-connector/internal/fault"
)

// authority signs certificates for a test.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{t: t, key: newKey(t)}
	a.cert = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	a.pem = a.sign(a.cert, &a.key.PublicKey)
	return a
}

func (a *authority) sign(c *x509.Certificate, key *ecdsa.PublicKey) []byte {
	a.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, key, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// issue makes a certificate for localhost, as a server and a client.
func (a *authority) issue(name string, key *ecdsa.PublicKey) []byte {
	return a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, key)
}

func keyPEM(t *testing.T, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func file(t *testing.T, dir, name string, text []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestTLS uses a RabbitMQ with a certificate of a private authority that asks clients for one, too.
func TestTLS(t *testing.T) {
	t.Parallel()
	own, foreign := newAuthority(t, "own"), newAuthority(t, "foreign")
	serverKey, clientKey := newKey(t), parseKey(t, readKey(t, "clear.pem"))
	dir := t.TempDir()
	client := own.issue("client", &clientKey.PublicKey)
	n := brokertest.Start(t,
		"ssl_options.cacertfile = "+file(t, dir, "ca.pem", own.pem),
		"ssl_options.certfile = "+file(t, dir, "server.pem", own.issue("server", &serverKey.PublicKey)),
		"ssl_options.keyfile = "+file(t, dir, "server.key", keyPEM(t, serverKey)),
		"ssl_options.verify = verify_peer",
		"ssl_options.fail_if_no_peer_cert = true",
		"ssl_options.versions.1 = tlsv1.3",
		"ssl_options.versions.2 = tlsv1.2",
	)
	v := n.VHost(t)
	top := v.Declare("c", "classic")
	key := keyPEM(t, clientKey)
	tests := []struct {
		name string
		tls  TLS
		host string
		port int
		hint string // "": it works
	}{
		{name: "private authority and client certificate", tls: TLS{CA: own.pem, Cert: client, Key: key}},
		{name: "a key with a passphrase", tls: TLS{CA: own.pem, Cert: client, Key: readKey(t, "pkcs8-aes256-sha256.pem"), Passphrase: passphrase}},
		{name: "any certificate", tls: TLS{Insecure: true, Cert: client, Key: key}},
		{name: "wrong authority", tls: TLS{CA: foreign.pem, Cert: client, Key: key}, hint: "name it in MQ_USE_SSL_CA"},
		{name: "system's authorities", tls: TLS{Cert: client, Key: key}, hint: "name it in MQ_USE_SSL_CA"},
		{name: "another name", tls: TLS{CA: own.pem, Cert: client, Key: key}, host: "127.0.0.2", hint: "check MQ_HOST and MQ_PORT"},
		{name: "no client certificate", tls: TLS{CA: own.pem}, hint: hintClient},
		{name: "client certificate of another authority", tls: TLS{CA: own.pem, Cert: foreign.issue("client", &clientKey.PublicKey), Key: key}, hint: hintClient},
		{name: "no TLS on the port", tls: TLS{CA: own.pem}, port: n.Port, hint: "check MQ_USE_SSL and MQ_PORT"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := brokerOf(v)
			b.UseTLS, b.Port = true, n.TLSPort
			if tt.port != 0 {
				b.Port = tt.port
			}
			if tt.host != "" {
				b.Host = tt.host
				p := brokertest.NewProxyAt(t, tt.host, n.Host, n.TLSPort)
				b.Port = p.Port
			}
			p := newPublisher(t, Options{Broker: b, TLS: tt.tls})
			l := newLedger(t, 50, 8)
			batch, _ := l.batch(top, false)
			err := p.Send(t.Context(), batch)
			if tt.hint == "" {
				if err != nil {
					t.Fatal(err)
				}
				l.arrived(numbers(t, v, top.Queue), totals{})
				return
			}
			o, ok := err.(*Outcome)
			if !ok || o.Kind != BadTLS || !fault.Is(err, fault.Systemic) || fault.HintOf(err) != tt.hint {
				t.Errorf("Send: %v, hint %q", err, fault.HintOf(err))
			}
			if err := p.Check(t.Context(), top.Exchange, ""); !fault.Is(err, fault.Systemic) || fault.HintOf(err) != tt.hint {
				t.Errorf("Check: %v, hint %q", err, fault.HintOf(err))
			}
		})
	}
	t.Run("TLS is asked for and the broker is named without", func(t *testing.T) {
		proxy := brokertest.NewProxyAt(t, "127.0.0.1", n.Host, n.Port)
		b := brokerOf(v)
		b.Host, b.Port, b.UseTLS = "127.0.0.1", proxy.Port, false
		p := newPublisher(t, Options{Broker: b, TLS: TLS{Required: true}})
		l := newLedger(t, 1, 1)
		batch, _ := l.batch(top, false)
		o, ok := errors.AsType[*Outcome](p.Send(t.Context(), batch))
		if !ok || o.Kind != BadTLS || !fault.Is(o, fault.Systemic) || fault.HintOf(o) != hintClear {
			t.Errorf("Send: %v, hint %q, want it refused", o, fault.HintOf(o))
		}
		if err := p.Check(t.Context(), "", ""); !fault.Is(err, fault.Systemic) || fault.HintOf(err) != hintClear {
			t.Errorf("Check: %v, hint %q", err, fault.HintOf(err))
		}
		if _, err := p.QueueDepth(t.Context(), top.Queue); !fault.Is(err, fault.Systemic) || fault.HintOf(err) != hintClear {
			t.Errorf("QueueDepth: %v, hint %q", err, fault.HintOf(err))
		}
	})
	t.Run("plain to a TLS port", func(t *testing.T) {
		b := brokerOf(v)
		b.Port = n.TLSPort
		p := newPublisher(t, Options{Broker: b})
		if err := p.Check(t.Context(), "", ""); err == nil || fault.HintOf(err) != hintTLSPort {
			t.Errorf("Check: %v, hint %q", err, fault.HintOf(err))
		}
	})
}

func TestTLSOptions(t *testing.T) {
	clear := readKey(t, "clear.pem")
	for name, tls := range map[string]TLS{
		"no certificate":      {CA: clear},
		"key alone":           {Key: clear},
		"certificate alone":   {Cert: clear},
		"wrong passphrase":    {Cert: clear, Key: readKey(t, "pkcs8-des3.pem"), Passphrase: "x"},
		"no passphrase":       {Cert: clear, Key: readKey(t, "legacy-aes256.pem")},
		"key of another kind": {Cert: newAuthority(t, "a").pem, Key: clear},
	} {
		_, err := New(Options{TLS: tls})
		if !fault.Is(err, fault.Fatal) || fault.HintOf(err) == "" {
			t.Errorf("%s: %v, hint %q", name, err, fault.HintOf(err))
		}
	}
}
