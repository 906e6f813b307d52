package fault

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
)

func TestNetworkHint(t *testing.T) {
	dial := func(err error) error {
		return fmt.Errorf("get: %w", &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", err)})
	}
	for _, tt := range []struct {
		err  error
		want string // in the hint; "" for none
	}{
		{dial(syscall.ECONNREFUSED), "nothing listens there: check x.url"},
		{dial(syscall.EHOSTUNREACH), "no answer from there: check x.url"},
		{dial(syscall.ENETUNREACH), "no answer from there: check x.url"},
		{dial(syscall.ETIMEDOUT), "no answer from there: check x.url"},
		{fmt.Errorf("get: %w", context.DeadlineExceeded), "no answer from there: check x.url"},
		{fmt.Errorf("get: %w", &net.DNSError{IsNotFound: true}), "name is not known here: check x.url"},
		{&net.DNSError{IsTimeout: true}, "DNS"},
		{x509.UnknownAuthorityError{}, "HTTPS_CA_CERTIFICATES"},
		{x509.HostnameError{Certificate: &x509.Certificate{}}, "another name: check x.url"},
		{x509.CertificateInvalidError{Reason: x509.Expired}, "check the clock"},
		{tls.RecordHeaderError{}, "no TLS is spoken there"},
		{io.ErrUnexpectedEOF, ""},
		{errors.New("answered 500"), ""},
		{nil, ""},
	} {
		if got := NetworkHint(tt.err, "x.url"); (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%v: got %q, want %q in it", tt.err, got, tt.want)
		}
	}
}
