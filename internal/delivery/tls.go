package delivery

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	"threatmatch-connector/internal/fault"
)

// TLS says how the connection to the broker is secured, with the same settings as other OpenCTI connectors. The zero
// value checks the broker's certificate against the system's authorities. CA, Cert and Key are in PEM.
type TLS struct {
	// CA, if given, is trusted instead of the system's authorities.
	CA []byte
	// Cert and Key are for brokers that ask for a client certificate.
	Cert, Key []byte
	// Passphrase decrypts Key, if that is encrypted.
	Passphrase string
	// Insecure accepts any certificate.
	Insecure bool
	// Required refuses a broker without TLS, whoever names it: the password is never sent unencrypted.
	Required bool
}

func (t TLS) config() (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: t.Insecure}
	if len(t.CA) > 0 {
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(t.CA) {
			return nil, fault.Hint(errors.New("read broker authority: no certificate in it"), "check MQ_USE_SSL_CA")
		}
	}
	if len(t.Cert)+len(t.Key) == 0 {
		return conf, nil
	}
	pair, err := t.keyPair()
	if err != nil {
		return nil, fault.Hint(fmt.Errorf("read client certificate: %w", err),
			"check MQ_USE_SSL_CERT, MQ_USE_SSL_KEY and MQ_USE_SSL_PASSPHRASE")
	}
	conf.Certificates = []tls.Certificate{pair}
	return conf, nil
}

func (t TLS) keyPair() (tls.Certificate, error) {
	if len(t.Cert) == 0 || len(t.Key) == 0 {
		return tls.Certificate{}, errors.New("certificate and key belong together")
	}
	key, err := decryptKey(t.Key, t.Passphrase)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(t.Cert, key)
}
