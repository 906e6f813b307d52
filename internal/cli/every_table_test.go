package cli_test

// trial is one command line of a command.
type trial struct {
	args string // SPOOL: the fixture's directory; NEW: a path where nothing is yet
	// The exit codes on the spool of a stopped connector, and over the socket of a
	// running one.
	stopped, running int
	plain            bool // --json makes no difference
	silent           bool // it says nothing when all is well
	varies           bool // what it says depends on whether the connector runs
	changes          bool // it changes the spool, and asks unless --yes
}

// everyCommand has the trials of each command: TestEveryCommand fails for a command
// that has none. testdata/script says what the answers must contain.
func everyCommand() map[string][]trial {
	return map[string][]trial{
		"run":          {{args: "--config nosuch.yml", stopped: 78, running: 78, plain: true}, {stopped: -1, running: 1, plain: true}},
		"check":        {{stopped: 1, running: 1, varies: true}},
		"status":       {{varies: true}, {args: "--watch --interval 100ms --times 2", varies: true, plain: true}},
		"trigger":      {{stopped: 1, varies: true}},
		"repull":       {{args: "--from 2025-12-01 --dataset alerts", changes: true}, {stopped: 78, running: 78, plain: true}, {args: "--from P1D --dataset=", stopped: 78, running: 78, plain: true}},
		"skip":         {{args: "--dataset alerts --to 2026-01-02T03:04:30Z", changes: true}, {stopped: 78, running: 78, plain: true}, {args: "--dataset alerts --to 2020-01-01 --yes", stopped: 1, running: 1, plain: true}},
		"pause":        {{args: "fetch", changes: true}, {args: "platform --yes", stopped: 78, running: 78, plain: true}},
		"resume":       {{args: "deliver", changes: true}, {stopped: 78, running: 78, plain: true}},
		"ui":           {{args: "--port 70000", stopped: 78, running: 78, plain: true}},
		"health":       {{stopped: 1, varies: true}, {args: "--ready", stopped: 1, running: 1, varies: true}},
		"version":      {{}},
		"config print": {{}, {args: "--origin"}, {args: "--changed"}}, "config check": {{}},
		"config schema": {{plain: true}}, "config sample": {{plain: true}},
		"completion bash": {{plain: true}}, "completion fish": {{plain: true}}, "completion zsh": {{plain: true}},
		"completion powershell": {{plain: true}}, "help": {{plain: true}, {args: "spool find", plain: true}},

		"spool stats": {{varies: true}},
		"spool runs":  {{}, {args: "--limit 2 --before 4"}},
		"spool run":   {{args: "2"}, {args: "99", stopped: 1, running: 1, plain: true}},
		"spool ls": {
			{args: "failing"}, {args: "meta", varies: true}, {args: "runs"}, {args: "tasks"}, {args: "records"}, {args: "waiting"}, {args: "waiting_by_id"},
			{args: "held"}, {args: "bundles"}, {args: "cursors"}, {args: "ids"}, {args: "dead"}, {args: "kept"}, {args: "dead --limit 1 --after 1"},
		},
		"spool show": {
			{args: "records 3/6"}, {args: "waiting 3/1"}, {args: "held " + object("relationship", 28)}, {args: "bundles 2/2"}, {args: "dead 1"},
			{args: "tasks alerts/item/33"}, {args: "runs 2"}, {args: "ids " + object("malware", 1)},
			{args: "bundles 2/2 --message 1", stopped: 1, plain: true, varies: true}, {args: "dead 99", stopped: 1, running: 1, plain: true},
		},
		"spool find": {
			{args: object("malware", 1)}, {args: object("malware", 22)}, {args: object("relationship", 28)}, {args: object("malware", 29)},
			{args: "11"}, {args: "alerts/33"}, {args: "99", stopped: 1, running: 1},
		},
		"spool dead":     {{}, {args: "--limit 1 --after 1"}},
		"spool export":   {{args: "NEW"}, {args: "NEW --only dead,held"}},
		"spool verify":   {{}},
		"spool snapshot": {{args: "NEW", varies: true}},

		"spool retry":   {{args: "1 alerts/33", changes: true}, {args: "--all", changes: true}},
		"spool drop":    {{args: "2 " + object("relationship", 28), changes: true}},
		"spool compact": {{changes: true, running: 1}},
		"spool salvage": {{args: "ASIDE", changes: true, running: 1}},
	}
}
