package sim

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// importer is the least that can import: everything in memory, nothing retried.
// It shows that the stand-ins let a faithful import through.
type importer struct {
	t       *testing.T
	env     map[string]string
	http    *http.Client
	bearer  string
	objects map[string]map[string]any
	order   []string
}

func newImporter(t *testing.T, s *Sim) *importer {
	i := &importer{t: t, env: map[string]string{}, objects: map[string]map[string]any{}}
	i.http = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 30 * time.Second}
	for _, line := range s.Env() {
		name, value, _ := strings.Cut(line, "=")
		i.env[name] = value
	}
	return i
}

func (i *importer) do(method, address, token string, body any, into any) {
	i.t.Helper()
	var text []byte
	var err error
	if body != nil {
		if text, err = json.Marshal(body); err != nil {
			i.t.Fatal(err)
		}
	}
	req, err := http.NewRequestWithContext(i.t.Context(), method, address, bytes.NewReader(text))
	if err != nil {
		i.t.Fatal(err)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := i.http.Do(req)
	if err != nil {
		i.t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, err = io.ReadAll(resp.Body); err != nil || resp.StatusCode != 200 {
		i.t.Fatalf("%s: %s %s %v", address, resp.Status, text, err)
	}
	if into != nil {
		if err := json.Unmarshal(text, into); err != nil {
			i.t.Fatal(err)
		}
	}
}

func (i *importer) threatMatch(path string, into any) {
	i.t.Helper()
	i.do("GET", i.env["THREATMATCH_URL"]+path, i.bearer, nil, into)
}

func (i *importer) platform(query string, vars map[string]any) map[string]any {
	i.t.Helper()
	var out struct {
		Data   map[string]map[string]any
		Errors []any
	}
	i.do("POST", i.env["OPENCTI_URL"]+"/graphql", i.env["OPENCTI_TOKEN"], map[string]any{"query": query, "variables": vars}, &out)
	if len(out.Errors) > 0 {
		i.t.Fatalf("%s: %v", query, out.Errors)
	}
	for _, v := range out.Data {
		return v
	}
	return nil
}

func (i *importer) fetch() {
	var token struct {
		Token string `json:"access_token"`
	}
	i.do("POST", i.env["THREATMATCH_URL"]+"/api/developers-platform/token", "",
		map[string]string{"client_id": i.env["THREATMATCH_CLIENT_ID"], "client_secret": i.env["THREATMATCH_CLIENT_SECRET"]}, &token)
	i.bearer = token.Token
	since := "date_since=" + url.QueryEscape(i.env["THREATMATCH_IMPORT_FROM_DATE"])
	for _, d := range []string{"profiles", "alerts", "reports"} {
		var list struct{ List []int }
		i.threatMatch("/api/"+d+"/all?mode=compact&"+since, &list)
		for _, id := range list.List {
			var bundle struct{ Objects []map[string]any }
			i.threatMatch(fmt.Sprintf("/api/stix/%s/%d", d, id), &bundle)
			i.gather(bundle.Objects)
		}
	}
	for after, more := "2000-01-01T00:00:00.000Z", true; more; {
		var page struct {
			More    bool
			Objects []map[string]any
		}
		i.threatMatch("/api/taxii/objects?groupId=101&stixTypeName=indicator&modifiedAfter="+url.QueryEscape(after), &page)
		i.gather(page.Objects)
		if more = page.More; more {
			after = page.Objects[len(page.Objects)-1]["modified"].(string)
		}
	}
}

// gather keeps the richest copy of each object.
func (i *importer) gather(list []map[string]any) {
	for _, o := range list {
		id, ok := o["id"].(string)
		if !ok || strings.HasPrefix(id, "x-") {
			continue
		}
		known, has := i.objects[id]
		if !has {
			i.order = append(i.order, id)
		}
		if len(o) > len(known) {
			i.objects[id] = o
		}
	}
}

// tidy makes what the platform takes of what came, in order of dependencies.
func (i *importer) tidy() []map[string]any {
	const amber = "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82"
	var out []map[string]any
	done := map[string]bool{amber: true}
	for _, o := range i.objects {
		if o["relationship_type"] == "associated_content" {
			o["relationship_type"] = "related-to"
		}
		if o["type"] != "report" && o["type"] != "note" {
			delete(o, "object_refs")
		}
		if refs, _ := o["external_references"].([]any); len(refs) > 1 {
			o["external_references"] = refs[:1]
		}
	}
	for progress := true; progress; {
		progress = false
		for _, id := range i.order {
			o := i.objects[id]
			if done[id] || slices.ContainsFunc(refsOf(o), func(ref string) bool { return !done[ref] }) {
				continue
			}
			done[id], progress = true, true
			o["nb_deps"] = 1
			out = append(out, o)
		}
	}
	return out
}

func refsOf(o map[string]any) (refs []string) {
	for key, v := range o {
		if s, ok := v.(string); ok && strings.HasSuffix(key, "_ref") {
			refs = append(refs, s)
		}
		if list, ok := v.([]any); ok && strings.HasSuffix(key, "_refs") {
			for _, ref := range list {
				refs = append(refs, ref.(string))
			}
		}
	}
	return refs
}

func (i *importer) deliver(list []map[string]any) {
	reg := i.platform(`mutation R($input: RegisterConnectorInput) { registerConnector(input: $input) {
		connector_user_id config { connection { host port vhost user pass } push_exchange push_routing } } }`,
		map[string]any{"input": map[string]any{"id": i.env["CONNECTOR_ID"], "name": "ThreatMatch", "type": "EXTERNAL_IMPORT", "scope": []string{"threatmatch"}}})
	config := reg["config"].(map[string]any)
	c := config["connection"].(map[string]any)
	work, _ := i.platform(`mutation W($id: String!) { workAdd(connectorId: $id, friendlyName: "run") { id } }`, map[string]any{"id": i.env["CONNECTOR_ID"]})["id"].(string)
	i.platform(`mutation E($id: ID!, $n: Int) { workEdit(id: $id) { addExpectations(expectations: $n) } }`, map[string]any{"id": work, "n": len(list)})
	conn, err := amqp.Dial(amqp.URI{Scheme: "amqp", Host: c["host"].(string), Port: int(c["port"].(float64)), Vhost: c["vhost"].(string), Username: c["user"].(string), Password: c["pass"].(string)}.String())
	if err != nil {
		i.t.Fatal(err)
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err == nil {
		err = ch.Confirm(false)
	}
	var last *amqp.DeferredConfirmation
	for n, o := range list {
		if err != nil {
			i.t.Fatal(err)
		}
		bundle, _ := json.Marshal(map[string]any{"type": "bundle", "id": "bundle--11111111-1111-4111-8111-111111111111", "spec_version": "2.1", "x_opencti_seq": 1, "objects": []any{o}})
		body, _ := json.Marshal(map[string]any{
			"bundle_type": "QUEUE_BUNDLE", "applicant_id": reg["connector_user_id"], "action_sequence": n + 1, "entities_types": []any{},
			"content": base64.StdEncoding.EncodeToString(bundle), "update": false, "draft_id": nil, "no_split": false, "work_id": work,
		})
		last, err = ch.PublishWithDeferredConfirm(config["push_exchange"].(string), config["push_routing"].(string), true, false,
			amqp.Publishing{DeliveryMode: amqp.Persistent, ContentEncoding: "utf-8", Body: body})
	}
	if err != nil {
		i.t.Fatal(err)
	}
	if _, err := last.WaitContext(i.t.Context()); err != nil {
		i.t.Fatal(err)
	}
	i.platform(`mutation P($id: ID!) { workEdit(id: $id) { toProcessed(message: "done", inError: false) } }`, map[string]any{"id": work})
}
