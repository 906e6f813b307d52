package fault

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"strings"
	"syscall"
)

// The words for a proxy that answers 407, for one between us and any server.
const (
	ProxyWords = "the proxy refuses the request (407)"
	ProxyHint  = "it asks for a user and a password, or refuses those it got: put them into HTTPS_PROXY or HTTP_PROXY"
)

// ByProxy reports that a proxy refused to open the way to a server with TLS.
func ByProxy(err error) bool {
	return err != nil && strings.Contains(err.Error(), http.StatusText(http.StatusProxyAuthRequired))
}

// BadTLS reports that a server's certificate is not accepted, or that it speaks no TLS: waiting does not help.
func BadTLS(err error) bool {
	_, refused := errors.AsType[*tls.CertificateVerificationError](err)
	return refused || noTLS(err)
}

func noTLS(err error) bool {
	_, ok := errors.AsType[tls.RecordHeaderError](err)
	return ok || errors.Is(err, http.ErrSchemeMismatch)
}

// Settings are the names of the settings that hints about a server mention.
type Settings struct {
	Address   string
	Authority string // whose certificates are trusted
	TLS       string // whether it speaks TLS, and at which port
}

// HTTP returns the settings of a server whose URL is in the named one.
func HTTP(url string) Settings {
	return Settings{url, "HTTPS_CA_CERTIFICATES", "http:// or https:// and the port in " + url}
}

// Network says why a server cannot be reached and what the operator can do about it, in the same words for check and
// for stages. Both are "" if err is not about a connection, its name or its certificate.
func Network(err error, set Settings) (words, hint string) {
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		if dns.IsNotFound {
			return "the name " + dns.Name + " is not known here", "check " + set.Address + " and this machine's DNS"
		}
		return "the name " + dns.Name + " cannot be looked up", "check this machine's DNS"
	}
	if words, hint := certificate(err, set); words != "" {
		return words, hint
	}
	if ByProxy(err) {
		return ProxyWords, ProxyHint
	}
	timeout, isNet := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens " + at(err), "check " + set.Address + ", and whether the server runs"
	case errors.Is(err, context.DeadlineExceeded), isNet && timeout.Timeout(),
		errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return strings.TrimSuffix("no response in time "+at(err), " there"), "check " + set.Address + ", firewalls, and whether a proxy is needed (HTTPS_PROXY)"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "the connection " + at(err) + " was cut by the other side", "check whether the server was restarted, or a proxy or firewall closes connections"
	}
	return "", ""
}

// at names the address of the connection.
func at(err error) string {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Addr != nil {
		return "at " + op.Addr.String()
	}
	return "there"
}

func certificate(err error, set Settings) (words, hint string) {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "the authority of its certificate is not trusted here", "name it in " + set.Authority
	}
	if e, ok := errors.AsType[x509.HostnameError](err); ok {
		return "its certificate is for another name than " + e.Host, "check " + set.Address
	}
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok && e.Reason == x509.Expired {
		return "its certificate is not valid at this machine's time", "check the clock here, then the certificate there"
	}
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "its certificate is not accepted: " + e.Err.Error(), "check the certificate there, and " + set.Authority
	}
	if noTLS(err) {
		return "no TLS is spoken there", "check " + set.TLS
	}
	return "", ""
}
