package e2e_test

import (
	"regexp"
	"testing"

	"threatmatch-connector/internal/brokertest"
	"threatmatch-connector/internal/inspect"
	"threatmatch-connector/internal/sim/faults"
	"threatmatch-connector/internal/sim/opencti"
)

// TestMetricsMove makes what the metrics count, around the real program, and
// waits until they show it.
func TestMetricsMove(t *testing.T) {
	t.Parallel()
	vhost := brokertest.Shared(t).VHost(t)
	k, base := exposed(t, options{api: few(), amqp: vhost.URL()})
	k.env["SPOOL_KEEP_RECORDS"] = "P1D"
	k.api.SetFault(
		faults.Rule{Name: "slow", Route: "list", Kind: faults.Answer, Status: 429, RetryAfter: "1", Times: 1},
		faults.Rule{Name: "gone", Route: "item", ID: "alerts/3", Kind: faults.Answer, Status: 404, ContentType: "application/json", Body: "{}"},
	)
	k.platform.SetQueueSize(opencti.QueueSize{Bytes: 700e6})
	p := k.start("run")
	k.until("messages wait", func(s inspect.Status) bool { return s.Spool.Messages > 0 && stage(s, "deliver").State == "paused" })
	k.moves(base,
		"threatmatch_api_paused_seconds_total [1-9.]+", `threatmatch_api_requests_total{failure="throttled",route="list",status="429"} 1`,
		`threatmatch_api_request_seconds_count{route="item"} 1\d`, "threatmatch_fetch_source_up 1", `threatmatch_fetch_tries_total{.*outcome="ok"} \d`,
		"threatmatch_fetch_commits_total [1-9]", "threatmatch_fetch_record_bytes_total [1-9]", "threatmatch_fetch_ioc_objects_total 20",
		`threatmatch_fetch_given_up_total{dataset="alerts",fate="parked"} 1`, "threatmatch_spool_parked_items 1", `threatmatch_spool_oldest_age_seconds{kind="parked"} \d`,
		"threatmatch_map_commits_total [1-9]", "threatmatch_map_record_seconds_count 12", `threatmatch_map_events_total{kind="published"} [1-9]`,
		"threatmatch_spool_kept_records 12", "threatmatch_spool_messages [1-9]", "threatmatch_spool_bundles [1-9]", `threatmatch_spool_oldest_age_seconds{kind="bundles"} \d`,
		`threatmatch_spool_bucket_bytes{bucket="bundles"} [1-9]`, "threatmatch_spool_live_bytes [1-9]", "threatmatch_spool_file_bytes [1-9]", "threatmatch_spool_max_bytes [1-9]",
		"threatmatch_deliver_buffering 1", `threatmatch_platform_queue_bytes 7e\+08`, `state{state="running"} 1`, "ping_api_total [1-9]",
		`threatmatch_opencti_requests_total{operation=".+",outcome="ok"} [1-9]`, "threatmatch_opencti_request_seconds_count{.*} [1-9]",
	)
	k.platform.Heal()
	k.until("the run is delivered", done)
	k.moves(base,
		"bundles_sent_total [1-9]", "records_sent_total [1-9]", "runs_total 1", `state{state="idle"} 1`, `threatmatch_deliver_works_total{event=".+"} [1-9]`,
		`threatmatch_broker_batch_seconds_count{outcome="confirmed"} [1-9]`, "threatmatch_broker_connections_total 1", `threatmatch_broker_state{state="connected"} 1`,
		`threatmatch_watermark_held_back{dataset="alerts"} 1`, `threatmatch_watermark_age_seconds{dataset="profiles"} \d`, "threatmatch_spool_ids [1-9]",
	)
	k.api.Heal()
	vhost.CloseConnections()
	k.run(0, "repull", "--from", "P30D", "--yes")
	k.moves(base, "threatmatch_broker_connections_total 2")
	must(t, k.platform.Reset(connectorID))
	k.run(0, "trigger") // whatever comes first, the ping sees it
	k.moves(base, "threatmatch_platform_resets_total 1")
	p.stop()
}

// moves waits until the metrics have a line for each pattern.
func (k *walk) moves(base string, patterns ...string) {
	k.t.Helper()
	for _, pattern := range patterns {
		re := regexp.MustCompile("(?m)^" + pattern)
		k.eventually(pattern, func() bool { _, body := get(k.t, base+"/metrics"); return re.MatchString(body) })
	}
}
