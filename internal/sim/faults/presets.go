package faults

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

const (
	typeJSON = "application/json"
	typeHTML = "text/html; charset=UTF-8"
	badPage  = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body><center><h1>502 Bad Gateway</h1></center></body>\r\n</html>\r\n"
)

func jsonAnswer(status int, body string) Rule {
	return Rule{Kind: Answer, Status: status, ContentType: typeJSON, Body: body}
}

func graphQL(code, message string) Rule {
	return jsonAnswer(200, fmt.Sprintf(`{"errors":[{"message":%q,"name":%q,"extensions":{"code":%q,"data":{"http_status":500,"genre":"TECHNICAL"}}}],"data":null}`,
		message, code, code))
}

// presets are the faults worth having by name.
var presets = map[string]Rule{
	"401":       jsonAnswer(401, `{"message":"Unauthenticated."}`),
	"403":       jsonAnswer(403, `{"message":"This action is unauthorized."}`),
	"404":       jsonAnswer(404, `{"message":"Not found."}`),
	"410":       jsonAnswer(410, `{"message":"Gone."}`),
	"422":       jsonAnswer(422, `{"message":"The given data was invalid.","errors":{"id":["The id is invalid."]}}`),
	"429":       {Kind: Answer, Status: 429, ContentType: typeJSON, Body: `{"message":"Too Many Attempts."}`, RetryAfter: "1"},
	"429-plain": jsonAnswer(429, `{"message":"Too Many Attempts."}`),
	"500":       jsonAnswer(500, `{"message":"Server Error"}`),
	"500-html":  {Kind: Answer, Status: 500, ContentType: typeHTML, Body: "<html><body><h1>500</h1></body></html>"},
	"502":       {Kind: Answer, Status: 502, ContentType: typeHTML, Body: badPage},
	"503":       {Kind: Answer, Status: 503, ContentType: typeHTML, Body: "<html><body>Be right back.</body></html>", RetryAfter: "1"},

	"error":      jsonAnswer(200, `{"error":"The item could not be converted"}`),
	"null":       jsonAnswer(200, `{"date_applied":null,"list":null,"objects":null,"more":null}`),
	"missing":    jsonAnswer(200, `{}`),
	"empty":      jsonAnswer(200, `{"type":"bundle","id":"bundle--0","list":[],"objects":[],"more":false}`),
	"more-empty": jsonAnswer(200, `{"more":true,"objects":[]}`),
	"garbage":    {Kind: Answer, Status: 200, ContentType: typeHTML, Body: "<!DOCTYPE html><html><body>Please sign in</body></html>"},

	"reset":    {Kind: Reset},
	"lost":     {Kind: Lost},
	"cut":      {Kind: Cut},
	"truncate": {Kind: Truncate},
	"hang":     {Kind: Hang},
	"stall":    {Kind: Stall},
	"flood":    {Kind: Flood},
	"slow":     {Kind: Slow, Delay: Duration(2 * time.Second)},

	"auth-required": graphQL("AUTH_REQUIRED", "You must be logged in to do this."),
	"forbidden":     graphQL("FORBIDDEN_ACCESS", "You are not allowed to do this."),
	"functional":    graphQL("FUNCTIONAL_ERROR", "No connector found with the specified ID"),
	"database":      graphQL("DATABASE_ERROR", "Find direct ids fail"),
	"null-data":     jsonAnswer(200, `{"data":null}`),
	"bad-gateway":   {Kind: Answer, Status: 502, ContentType: "text/plain", Body: "Bad Gateway"},
}

// Preset is the fault of a name.
func Preset(name string) (Rule, error) {
	r, ok := presets[name]
	if !ok {
		return Rule{}, fmt.Errorf("unknown fault %q, known are: %s", name, strings.Join(Presets(), " "))
	}
	return r, nil
}

// Presets are the names that Preset knows.
func Presets() []string { return slices.Sorted(maps.Keys(presets)) }

// Must is Preset for names known to the program.
func Must(name string) Rule {
	r, err := Preset(name)
	if err != nil {
		panic(err) // a mistake in a test's source
	}
	return r
}
