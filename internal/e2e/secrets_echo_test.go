package e2e_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"threatmatch-connector/internal/sim/faults"
	"threatmatch-connector/internal/sim/opencti"
	"threatmatch-connector/spool"
)

// TestNoEchoedSecretShows lets both servers put our own secrets into their
// error messages, and looks for them in the log at level debug, in what the
// commands print, and in the entries of the spool, decompressed.
func TestNoEchoedSecretShows(t *testing.T) {
	t.Parallel()
	const token, secret, header = "canary-token-4711", "canary-secret-0815", "canary-header-1234"
	api := few()
	api.ClientSecret = secret
	w := newWorld(t, options{api: api, platform: opencti.Options{Users: map[string]opencti.User{
		token: {ID: "88ec0c6a-13ce-5e39-b486-354fe4a7084f", Name: "connector", Capabilities: []string{"CONNECTORAPI", "MODULES_MODMANAGE"}},
	}}})
	w.env["OPENCTI_TOKEN"], w.env["CONNECTOR_LOG_LEVEL"], w.env["OPENCTI_CUSTOM_HEADERS"] = token, "debug", "X-Gate:"+header
	w.api.SetFault(
		faults.Rule{Route: "item", ID: "alerts/1", Kind: faults.Answer, Status: 404, ContentType: "application/json",
			Body: fmt.Sprintf(`{"message":"not for %s"}`, secret)},
		faults.Rule{Route: "item", ID: "alerts/2", Kind: faults.Answer, Status: 500, ContentType: "text/html", Body: "<p>client_secret: " + secret, Times: 1},
	)
	echo := fmt.Sprintf("refused: Authorization: Bearer %s, X-Gate: %s", token, header)
	w.platform.SetFault(
		faults.Rule{Route: "registerConnector", Kind: faults.Answer, Status: 200, ContentType: "application/json", Times: 1,
			Body: fmt.Sprintf(`{"errors":[{"message":%q,"extensions":{"code":"DATABASE_ERROR"}}],"data":null}`, echo)},
		faults.Rule{Route: "workAdd", Kind: faults.Answer, Status: 502, ContentType: "text/html", Body: echo, Times: 1},
	)
	clean := func(what, text string) {
		t.Helper()
		for _, c := range []string{secret, token, header} {
			if i := strings.Index(text, c); i >= 0 {
				t.Errorf("%s shows a secret: …%s…", what, text[max(0, i-120):min(len(text), i+80)])
			}
		}
	}
	log := w.run(3, "run", "--once")
	clean("the log", log)
	for _, want := range []string{"trouble with OpenCTI", "delivery is held up", `"level":"DEBUG"`} {
		if !strings.Contains(log, want) {
			t.Errorf("the log has no %q: nothing was echoed", want)
		}
	}
	for _, bucket := range spool.Buckets() {
		var entries []spool.Entry
		list := w.run(0, "spool", "ls", bucket, "--json")
		clean(bucket, list)
		must(t, json.Unmarshal([]byte(list), &entries))
		for i, e := range entries {
			if i < 3 || bucket == "tasks" || bucket == "meta" {
				clean(bucket+" "+e.Key, w.run(0, "spool", "show", bucket, e.Key))
			}
		}
	}
	clean("find", w.run(0, "spool", "find", "alerts/1"))
}
