package threatmatch

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"threatmatch-connector/internal/fault"
)

// Kind is what went wrong with a request.
type Kind string

// The kinds. The table below says what each means for a stage.
const (
	KindTimeout      Kind = "timeout"      // no connection, no response, or no end of it in time
	KindNetwork      Kind = "network"      // connection refused, reset, or cut off in mid-body
	KindMalformed    Kind = "malformed"    // a response that is not JSON, or not of the promised form
	KindErrorBody    Kind = "error-body"   // a status of success with an error as the body
	KindThrottled    Kind = "throttled"    // 429
	KindUnavailable  Kind = "unavailable"  // 408, 425, 5xx
	KindUnauthorised Kind = "unauthorised" // 401 twice in a row, the second time with a fresh token
	KindRefused      Kind = "refused"      // 403, 404, 410, other 4xx; a redirect that is not followed
	KindTooLarge     Kind = "too-large"    // the body is over Options.MaxBody
	KindCredentials  Kind = "credentials"  // the token endpoint, or the control request, refuses the account
)

// classes says what each kind means for the work at hand.
var classes = map[Kind]fault.Class{
	KindTimeout:      fault.Transient,
	KindNetwork:      fault.Transient,
	KindMalformed:    fault.Transient,
	KindErrorBody:    fault.Transient,
	KindThrottled:    fault.Transient,
	KindUnavailable:  fault.Transient,
	KindUnauthorised: fault.Permanent,
	KindRefused:      fault.Permanent,
	KindTooLarge:     fault.Permanent,
	KindCredentials:  fault.Systemic,
}

// kindOfStatus classifies the status of a data request. "" means success so far.
func kindOfStatus(status int) Kind {
	switch {
	case status/100 == 2:
		return ""
	case status == http.StatusUnauthorized:
		return KindUnauthorised
	case status == http.StatusTooManyRequests:
		return KindThrottled
	case status == http.StatusRequestTimeout, status == http.StatusTooEarly, status >= 500:
		return KindUnavailable
	default:
		return KindRefused
	}
}

// kindOfTokenStatus classifies the status of a token request. Whatever the server answers to a wrong account (such
// platforms answer 400, 401, 403 and 422) or to a wrong address, no item is to blame.
func kindOfTokenStatus(status int) Kind {
	kind := kindOfStatus(status)
	if status/100 == 4 && kind != KindThrottled && kind != KindUnavailable {
		return KindCredentials
	}
	if status/100 == 3 {
		return KindUnavailable
	}
	return kind
}

// Error is a failed request. Callers get it wrapped in a fault mark; errors.AsType finds it.
type Error struct {
	Op     string // "token", "list", "item", "groups", "page"
	Object string // the dataset, "dataset/id", "group/type", or ""
	Status int    // of the response; 0 if there was none
	Kind   Kind
	// RetryAfter is the least wait before the next try that the server asked for, capped. Zero if it asked for none.
	RetryAfter time.Duration
	// Snippet is the beginning of the response: one line of at most 512 bytes, without secrets.
	Snippet string

	cause error // nil if status and snippet say everything
}

// Error returns "operation object: cause".
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Object != "" {
		b.WriteString(" " + e.Object)
	}
	b.WriteString(": " + e.Reason())
	return b.String()
}

// Reason says what went wrong, without operation, object and the beginning of the response.
func (e *Error) Reason() string {
	switch {
	case e.byProxy():
		return fault.ProxyWords
	case e.cause != nil:
		if words, _ := fault.Network(e.cause, fault.Settings{}); words != "" {
			return words
		}
		return e.cause.Error()
	case e.Status != 0:
		return strings.TrimSpace(fmt.Sprintf("answered %d %s", e.Status, strings.ToLower(http.StatusText(e.Status))))
	}
	return string(e.Kind)
}

// Unwrap returns the cause, or nil.
func (e *Error) Unwrap() error { return e.cause }

// marked returns e with the class of its kind and what the operator can do.
func (e *Error) marked() error {
	var err error = e
	class := classes[e.Kind]
	if e.byProxy() {
		class = fault.Systemic
	}
	if class == fault.Transient {
		err = fault.After(e.RetryAfter, e)
	} else {
		err = fault.Mark(class, e)
	}
	return fault.Say(fault.Hint(err, e.hint()), e.Reason())
}

// ByProxy reports whether a proxy refused the request, not ThreatMatch.
func ByProxy(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.byProxy()
}

// byProxy reports whether a proxy refused the request: neither the account nor an item is to blame.
func (e *Error) byProxy() bool {
	return e.Status == http.StatusProxyAuthRequired || fault.ByProxy(e.cause)
}

func (e *Error) hint() string {
	switch {
	case e.byProxy():
		return fault.ProxyHint
	case e.Kind == KindCredentials && e.Status == http.StatusNotFound, e.Status/100 == 3,
		e.Kind == KindMalformed && errors.Is(e.cause, errLarger): // of the token endpoint
		return "check threatmatch.url"
	case e.Kind == KindCredentials:
		return "check threatmatch.client_id and threatmatch.client_secret"
	case e.Kind == KindTooLarge && errors.Is(e.cause, errLarger):
		return "raise threatmatch.max_body"
	}
	_, hint := fault.Network(e.cause, fault.HTTP("threatmatch.url"))
	return hint
}
