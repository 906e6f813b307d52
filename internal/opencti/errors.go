package opencti

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"threatmatch-connector/internal/fault"
)

var (
	// ErrUnknownConnector: the platform has no connector of this id. Register again.
	ErrUnknownConnector = errors.New("connector unknown to the platform")
	// ErrWorkGone: the work was deleted on the platform. What still has to be sent needs a new one.
	ErrWorkGone = errors.New("work gone from the platform")
)

// Error is a refusal by the platform, or by something in front of it.
type Error struct {
	// Status is the HTTP status. The platform answers most errors with 200.
	Status int
	// Code is the GraphQL error code, or "".
	Code    string
	Message string

	retryAfter time.Duration
	location   string
	html       bool
}

func (e *Error) Error() string {
	text := cmp.Or(strings.TrimSpace(e.Code+" "+e.Message), "no answer")
	if e.Status == http.StatusOK && e.Code != "" { // the platform answers most errors like this
		return text
	}
	return fmt.Sprintf("%s (HTTP %d)", text, e.Status)
}

const (
	hintToken  = "check opencti.token: the token of the connector's own user, not expired"
	hintRights = "give the connector's user a role with the capability \"Connect and register connectors\" (CONNECTORAPI) and read access to connectors (MODULES)"
	hintURL    = "check opencti.url: it must be the platform's address, with its base path"
	hintGate   = "something between connector and platform refuses the request: check proxies and opencti.custom_headers"
	hintOwn    = "check whether OpenCTI's RabbitMQ, Redis, storage and database are running, and read its log"
)

type verdict struct {
	class fault.Class
	hint  string
}

// byCode says what a GraphQL error code means, whatever the HTTP status. For other codes the status decides. OpenCTI
// 6.7 to 7.26.
var byCode = map[string]verdict{
	"AUTH_REQUIRED":             {fault.Systemic, hintToken},
	"AUTH_FAILURE":              {fault.Systemic, hintToken},
	"UNAUTHENTICATED":           {fault.Systemic, hintToken},
	"OTP_REQUIRED":              {fault.Systemic, "the connector's user must not need a one-time password"},
	"LTS_REQUIRED_ACTIVATION":   {fault.Systemic, "the platform asks for its licence to be activated"},
	"FORBIDDEN_ACCESS":          {fault.Systemic, hintRights},
	"FUNCTIONAL_ERROR":          {fault.Permanent, ""},
	"VALIDATION_ERROR":          {fault.Permanent, ""},
	"UNSUPPORTED_ERROR":         {fault.Permanent, ""},
	"BAD_USER_INPUT":            {fault.Permanent, ""},
	"GRAPHQL_VALIDATION_FAILED": {fault.Permanent, ""},
	"GRAPHQL_PARSE_FAILED":      {fault.Permanent, ""},
	"RESOURCE_NOT_FOUND":        {fault.Permanent, ""},
	"ALREADY_DELETED_ERROR":     {fault.Permanent, ""},
	"WORK_NOT_ALIVE":            {fault.Permanent, ""},
	"DRAFT_LOCKED":              {fault.Permanent, ""},
	"DATABASE_ERROR":            {fault.Transient, ""},
	"LOCK_ERROR":                {fault.Transient, ""},
	"MISSING_REFERENCE_ERROR":   {fault.Transient, ""},
	"INTERNAL_SERVER_ERROR":     {fault.Transient, ""},
}

// byStatus classifies answers without a known code.
func byStatus(e *Error) verdict {
	switch s := e.Status; {
	case s == http.StatusRequestTimeout, s == http.StatusTooEarly, s == http.StatusTooManyRequests, s >= 500:
		return verdict{fault.Transient, ""}
	case s >= 300 && s < 400:
		return verdict{fault.Systemic, hintURL + "; the response redirects to " + e.location}
	case s == http.StatusNotFound, s == http.StatusMethodNotAllowed, e.html:
		return verdict{fault.Systemic, hintURL}
	case s == http.StatusProxyAuthRequired:
		return verdict{fault.Systemic, fault.ProxyHint}
	case s == http.StatusUnauthorized, s == http.StatusForbidden:
		return verdict{fault.Systemic, hintGate}
	case s >= 400:
		return verdict{fault.Permanent, ""}
	}
	return verdict{fault.Transient, ""} // a success without a response: cut short or empty
}

// ownServer matches how Node.js, which runs the platform, says that it cannot reach a server, and which.
var ownServer = regexp.MustCompile(`\b(ECONNREFUSED|ECONNRESET|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|EPIPE)\b(?: ([\w.:\[\]-]+))?`)

// classify marks the error of one request.
func classify(err error) error {
	if e, ok := errors.AsType[*Error](err); ok {
		v, known := byCode[e.Code]
		if !known {
			v = byStatus(e)
		}
		err = fault.Mark(v.class, err)
		if v.class == fault.Transient && e.retryAfter > 0 {
			err = fault.After(e.retryAfter, err)
		}
		words := e.Error()
		switch away := ownServer.FindStringSubmatch(e.Message); {
		case v.class == fault.Permanent: // for these it matters what was attempted
			return fault.Hint(err, v.hint)
		case e.Status == http.StatusProxyAuthRequired:
			words = fault.ProxyWords
		case v.class == fault.Transient && away != nil:
			words, v.hint = "it cannot reach a server that it needs", hintOwn
			if at := strings.TrimRight(away[2], ".:"); at != "" {
				words += " at " + at
			}
			words += " (" + away[1] + ")"
		}
		return fault.Hint(fault.Say(err, "OpenCTI: "+words), v.hint)
	}
	if fault.Is(err, fault.Permanent) {
		return err
	}
	class := fault.Transient
	if fault.ByProxy(err) || fault.BadTLS(err) {
		class = fault.Systemic
	}
	err = fault.Mark(class, err)
	words, hint := fault.Network(err, fault.HTTP("opencti.url"))
	if e, ok := errors.AsType[*url.Error](err); ok && words == "" {
		words = e.Err.Error()
	}
	if words != "" {
		err = fault.Say(err, "OpenCTI: "+words)
	}
	return fault.Hint(err, hint)
}

type answer struct {
	Data   json.RawMessage `json:"data"`
	Errors []struct {
		Message    string `json:"message"`
		Name       string `json:"name"`
		Extensions struct {
			Code string `json:"code"`
		} `json:"extensions"`
	} `json:"errors"`
}

// decode reads a response. An error in it counts, whatever data is beside it, and repeats the response as it is.
func decode(resp *http.Response, text []byte, out any) error {
	fail := &Error{
		Status: resp.StatusCode, location: resp.Header.Get("Location"),
		retryAfter: retryAfter(resp.Header.Get("Retry-After")),
		html:       bytes.HasPrefix(bytes.TrimSpace(text), []byte("<")),
	}
	var a answer
	if err := json.Unmarshal(text, &a); err != nil {
		fail.Code = codeIn(text)
		fail.Message = "response is not JSON: " + string(text)
		return fail
	}
	if len(a.Errors) > 0 {
		first := a.Errors[0]
		fail.Code = cmp.Or(first.Extensions.Code, first.Name)
		fail.Message = first.Message
		return fail
	}
	if resp.StatusCode >= 300 || len(a.Data) == 0 || string(a.Data) == "null" {
		fail.Code = codeIn(text)
		fail.Message = "no data: " + string(text)
		return fail
	}
	if err := json.Unmarshal(a.Data, out); err != nil {
		return fmt.Errorf("decode response: %w", err)
	}
	return nil
}

// codeIn finds the first error code in a response of another form: errors from before GraphQL runs come as plain text
// or other JSON.
func codeIn(text []byte) (first string) {
	at := len(text)
	for code := range byCode {
		if i := bytes.Index(text[:at], []byte(code)); i >= 0 {
			first, at = code, i
		}
	}
	return first
}

// excerpt shortens text for a log line and removes line breaks.
func excerpt(text string) string {
	const limit = 300
	s := strings.Join(strings.Fields(text[:min(len(text), 4*limit)]), " ")
	s = strings.ToValidUTF8(s, "")
	if len(s) > limit {
		return strings.ToValidUTF8(s[:limit], "") + "…"
	}
	return s
}

// retryAfter reads the seconds in the header, at most 15 minutes. Dates are rare and would need a clock; the caller's
// own back-off replaces them.
func retryAfter(value string) time.Duration {
	n, err := strconv.Atoi(strings.TrimSpace(value))
	if err != nil || n < 0 {
		return 0
	}
	return time.Duration(min(n, 15*60)) * time.Second
}

// codeOf returns the GraphQL code of an error, or "".
func codeOf(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return ""
}

// isValidation reports whether the platform does not know a field or argument.
func isValidation(err error) bool {
	code := codeOf(err)
	return code == "GRAPHQL_VALIDATION_FAILED" || code == "BAD_USER_INPUT"
}

// IsForbidden reports whether the connector's user lacks the capability for a call.
func IsForbidden(err error) bool {
	return codeOf(err) == "FORBIDDEN_ACCESS"
}

// isGone reports whether the object of a call does not exist any more.
func isGone(err error) bool {
	switch codeOf(err) {
	case "RESOURCE_NOT_FOUND", "ALREADY_DELETED_ERROR", "WORK_NOT_ALIVE":
		return true
	}
	return false
}

// isUnknownConnector reports whether the platform does not know the connector. OpenCTI has no code of its own for
// that.
func isUnknownConnector(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && (isGone(err) || strings.Contains(strings.ToLower(e.Message), "no connector found"))
}

// unknownConnector is systemic, so that no item is blamed: the caller registers and continues.
func unknownConnector(op string, cause error) error {
	err := fault.Mark(fault.Systemic, because(ErrUnknownConnector, op, cause))
	return fault.Hint(err, "the connector registers again by itself")
}

// workGone is the error of a work that was deleted.
func workGone(op string, cause error) error {
	return fault.Mark(fault.Permanent, because(ErrWorkGone, op, cause))
}

// because joins an error with what the platform said, which names op, if it said anything.
func because(err error, op string, cause error) error {
	if cause == nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	return fmt.Errorf("%w: %w", err, cause)
}
