package delivery

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"

	"threatmatch-connector/internal/fault"
)

// TLS says how the connection to the broker is secured, with the same settings as other OpenCTI connectors. The zero
// value checks the broker's certificate against the system's authorities. CA, Cert and Key are PEM texts or paths of
// PEM files.
type TLS struct {
	// CA, if given, is trusted instead of the system's authorities.
	CA string
	// Cert and Key are for brokers that ask for a client certificate.
	Cert, Key string
	// Passphrase decrypts Key, if that is encrypted.
	Passphrase string
	// Insecure accepts any certificate.
	Insecure bool
	// Required refuses a broker without TLS, whoever names it: the password is never sent unencrypted.
	Required bool
}

func (t TLS) config() (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: t.Insecure}
	if t.CA != "" {
		text, err := pemText(t.CA)
		if err != nil {
			return nil, fault.Hint(fmt.Errorf("read broker authority: %w", err), "check MQ_USE_SSL_CA")
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(text) {
			return nil, fault.Hint(errors.New("read broker authority: no certificate in it"), "check MQ_USE_SSL_CA")
		}
	}
	if t.Cert == "" && t.Key == "" {
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
	if t.Cert == "" || t.Key == "" {
		return tls.Certificate{}, errors.New("certificate and key belong together")
	}
	cert, err := pemText(t.Cert)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := pemText(t.Key)
	if err != nil {
		return tls.Certificate{}, err
	}
	if key, err = decryptKey(key, t.Passphrase); err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(cert, key)
}

// pemText returns value itself if it is PEM, else the content of the file it names.
func pemText(value string) ([]byte, error) {
	if strings.Contains(value, "-----BEGIN") {
		return []byte(value), nil
	}
	return os.ReadFile(strings.TrimSpace(value))
}
