package fault

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"syscall"
)

// NetworkHint says what the operator can do about a server that is not reached, whose
// address stands in the named setting: the same words for a check and for a stage. It
// is "" for what is no error of a connection, of its name or of its certificate.
func NetworkHint(err error, setting string) string {
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		if dns.IsNotFound {
			return "its name is not known here: check " + setting + " and this machine's DNS"
		}
		return "its name cannot be looked up: check this machine's DNS"
	}
	if hint := certificateHint(err, setting); hint != "" {
		return hint
	}
	timeout, isNet := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there: check " + setting + ", and whether the server runs"
	case errors.Is(err, context.DeadlineExceeded), isNet && timeout.Timeout(),
		errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "no answer from there: check " + setting + ", firewalls, and whether a proxy is needed (HTTPS_PROXY)"
	}
	return ""
}

func certificateHint(err error, setting string) string {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "the authority of its certificate is not trusted here: name it in HTTPS_CA_CERTIFICATES"
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return "the certificate is for another name: check " + setting
	}
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok && e.Reason == x509.Expired {
		return "the certificate is not valid at this machine's time: check the clock here, then the certificate there"
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return "no TLS is spoken there: check http:// or https:// and the port in " + setting
	}
	return ""
}
