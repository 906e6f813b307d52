package fetch

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
)

// notItsOwn reports whether a failure is due to the account, the network or the
// server rather than to what was requested: the server put the request off unread,
// or the request never reached it.
func notItsOwn(err error) bool {
	answer := answerOf(err)
	switch answer.Status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusRequestTimeout, http.StatusTooEarly:
		return true
	}
	if answer.Op == "token" {
		return true
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && (op.Op == "dial" || op.Op == "proxyconnect") {
		return true
	}
	_, name := errors.AsType[*net.DNSError](err)
	_, cert := errors.AsType[*tls.CertificateVerificationError](err)
	return name || cert
}
