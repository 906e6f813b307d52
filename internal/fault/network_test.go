package fault

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"testing"
)

// TestNetwork: the sentence says what is wrong, with the address that was tried, and then what to do.
func TestNetwork(t *testing.T) {
	dial := func(err error) error {
		return fmt.Errorf("get: %w", &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 99}, Err: os.NewSyscallError("connect", err)})
	}
	const noAnswer, away = "no response in time", ": check x.url, firewalls, and whether a proxy is needed (HTTPS_PROXY)"
	for _, tt := range []struct {
		err  error
		want string
	}{
		{dial(syscall.ECONNREFUSED), "nothing listens at 127.0.0.1:99: check x.url, and whether the server runs"},
		{dial(syscall.EHOSTUNREACH), noAnswer + " at 127.0.0.1:99" + away},
		{dial(syscall.ENETUNREACH), noAnswer + " at 127.0.0.1:99" + away},
		{dial(syscall.ETIMEDOUT), noAnswer + " at 127.0.0.1:99" + away},
		{fmt.Errorf("get: %w", context.DeadlineExceeded), noAnswer + away},
		{fmt.Errorf("get: %w", &net.DNSError{Name: "h", IsNotFound: true}), "the name h is not known here: check x.url and this machine's DNS"},
		{dial(syscall.ECONNRESET), "the connection at 127.0.0.1:99 was cut by the other side: check whether the server was restarted, or a proxy or firewall closes connections"},
		{&net.DNSError{Name: "h", IsTimeout: true}, "the name h cannot be looked up: check this machine's DNS"},
		{x509.UnknownAuthorityError{}, "the authority of its certificate is not trusted here: name it in HTTPS_CA_CERTIFICATES"},
		{x509.HostnameError{Certificate: &x509.Certificate{}, Host: "h"}, "its certificate is for another name than h: check x.url"},
		{x509.CertificateInvalidError{Reason: x509.Expired}, "its certificate is not valid at this machine's time: check the clock here, then the certificate there"},
		{&tls.CertificateVerificationError{Err: x509.CertificateInvalidError{Reason: x509.NotAuthorizedToSign}}, "its certificate is not accepted: x509: certificate is not authorized to sign other certificates: check the certificate there, and HTTPS_CA_CERTIFICATES"},
		{tls.RecordHeaderError{}, "no TLS is spoken there: check http:// or https:// and the port in x.url"},
		{fmt.Errorf("get: %w", http.ErrSchemeMismatch), "no TLS is spoken there: check http:// or https:// and the port in x.url"},
		{io.ErrUnexpectedEOF, ""},
		{errors.New("answered 500"), ""},
		{nil, ""},
	} {
		words, hint := Network(tt.err, HTTP("x.url"))
		got := words
		if hint != "" {
			got += ": " + hint
		}
		if got != tt.want {
			t.Errorf("%v: got %q, want %q", tt.err, got, tt.want)
		}
	}
}

// TestSentence: the words given to an error replace its text and that of everything wrapped around it, whatever marks
// come later; without words it is the text.
func TestSentence(t *testing.T) {
	said := Hint(Say(Mark(Systemic, errors.New("dial tcp: refused")), "RabbitMQ: nothing listens"), "check MQ_HOST")
	for _, tt := range []struct {
		err  error
		want string
	}{
		{said, "RabbitMQ: nothing listens: check MQ_HOST"},
		{fmt.Errorf("publish: lost: %w", said), "RabbitMQ: nothing listens: check MQ_HOST"},
		{Mark(Fatal, After(1, fmt.Errorf("publish: %w", said))), "RabbitMQ: nothing listens: check MQ_HOST"},
		{Hint(errors.New("answered 500"), "wait"), "answered 500: wait"},
		{Hint(errors.New("OpenCTI: You must be logged in."), "check opencti.token"), "OpenCTI: You must be logged in: check opencti.token"},
		{errors.New("answered 500"), "answered 500"},
	} {
		if got := Sentence(tt.err); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
	if class, _ := Of(said); class != Systemic || Say(nil, "x") != nil {
		t.Errorf("words changed the class to %v, or nil to an error", class)
	}
}
