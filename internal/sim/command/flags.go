package command

import (
	"cmp"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"threatmatch-connector/internal/sim"
	"threatmatch-connector/internal/sim/data"
	"threatmatch-connector/internal/sim/faults"
	"threatmatch-connector/internal/sim/opencti"
	"threatmatch-connector/internal/sim/threatmatch"
)

// flags are the command line, grouped as the parts are.
type flags struct {
	envFile, logLevel string
	faults            []string

	sim  sim.Options
	data data.Options

	stixDir, start, quirks, ties, zone, expires string
	notOffered, capabilities                    []string
	newPerDay, republishPerDay                  map[string]string
}

func (f *flags) register(fs *pflag.FlagSet) {
	fs.SortFlags = false
	fs.StringVar(&f.envFile, "env-file", "", "write the connector's environment into this file, too")
	fs.StringVar(&f.logLevel, "log-level", "warn", "debug, info, warn or error; debug has a line per request")
	fs.StringVar(&f.sim.AdminAddr, "admin", "127.0.0.1:0", "address of the interface to watch and disturb")
	fs.StringArrayVar(&f.faults, "fault", nil, `fault from the start, repeatable: PART:KEY=VALUE,… with PART threatmatch or opencti and the keys
do (`+strings.Join(faults.Presets(), " ")+`),
route (threatmatch: token list item groups objects; opencti: the root field, workEdit.FIELD),
id (a dataset, DATASET/NUMBER), rate (0 to 1), skip, times, delay, retry_after, name`)
	f.registerData(fs)
	f.registerThreatMatch(fs)
	f.registerOpenCTI(fs)
}

func (f *flags) registerData(fs *pflag.FlagSet) {
	d := &f.data
	fs.StringVar(&f.stixDir, "stix-dir", "", "serve the STIX bundles of this directory: actors as profiles, malware as alerts, reports, indicators as IOCs")
	fs.IntVar(&d.Profiles, "profiles", 200, "generated profiles")
	fs.IntVar(&d.Alerts, "alerts", 200, "generated alerts")
	fs.IntVar(&d.Reports, "reports", 50, "generated reports")
	fs.IntVar(&d.IOCs, "iocs", 20000, "generated IOCs")
	fs.Uint64Var(&d.Seed, "seed", 1, "seed of the content and of the faults")
	fs.DurationVar(&d.Span, "span", 20*24*time.Hour, "age of the oldest item")
	fs.StringVar(&f.start, "start", "", "time of the newest generated item, such as 2026-11-01T12:00:00Z (default now): with it, a restart serves the same bytes")
	fs.StringVar(&f.quirks, "quirks", "realistic", "oddities of the content: realistic or none")
	fs.BoolVar(&d.Dense, "dense", false, "items without descriptions and with few objects, for measurements")
	fs.StringVar(&f.ties, "ties", "", "EVERY:SIZE: every so many IOCs a block of so many with one modification time")
	fs.BoolVar(&d.SubMillisecond, "sub-millisecond", false, "IOC modification times with six digits")
	fs.StringToStringVar(&f.newPerDay, "new-per-day", nil, "what a day brings when the clock moves on: alerts=5,iocs=100")
	fs.StringToStringVar(&f.republishPerDay, "republish-per-day", nil, "what a day changes: profiles=3")
}

func (f *flags) registerThreatMatch(fs *pflag.FlagSet) {
	t := &f.sim.ThreatMatch
	fs.StringVar(&t.Addr, "threatmatch", "127.0.0.1:0", "address of the ThreatMatch API")
	fs.StringVar(&t.ClientID, "client-id", "sim-client", "client id that it accepts")
	fs.StringVar(&t.ClientSecret, "client-secret", "sim-secret", "client secret that it accepts")
	fs.DurationVar(&t.TokenLifetime, "token-lifetime", time.Hour, "lifetime of its tokens")
	fs.StringVar(&f.expires, "expires-at", "epoch", "form of expires_at: epoch, duration or absent")
	fs.IntVar(&t.WrongSecretStatus, "wrong-secret-status", 401, "status of the answer to wrong credentials")
	fs.IntVar(&t.PageSize, "page-size", 500, "objects in a page of IOCs")
	fs.BoolVar(&t.Exclusive, "exclusive", false, "modifiedAfter means later than, not at or later than")
	fs.BoolVar(&t.OmitMore, "omit-more", false, `leave out "more" on the last page`)
	fs.BoolVar(&t.ShufflePages, "shuffle-pages", false, "objects of a page in no order")
	fs.BoolVar(&t.ListExclusive, "list-exclusive", false, "date_since means later than")
	fs.BoolVar(&t.OmitDateApplied, "omit-date-applied", false, "lists without date_applied")
	fs.BoolVar(&t.StringIDs, "string-ids", false, "ids as text")
	fs.StringVar(&f.zone, "zone", "", "time zone in which date_since is read, such as -5h")
	fs.StringSliceVar(&t.Groups, "groups", nil, `names of the groups (default "All content,Watchlist")`)
	fs.StringSliceVar(&f.notOffered, "not-offered", nil, "datasets whose routes answer 404")
	fs.BoolVar(&t.HTMLErrors, "html-errors", false, "errors as HTML")
	fs.BoolVar(&t.Gzip, "gzip", false, "compress for clients that take it")
	fs.DurationVar(&t.Latency, "latency", 0, "time before each answer")
}

func (f *flags) registerOpenCTI(fs *pflag.FlagSet) {
	o, w := &f.sim.OpenCTI, &f.sim.Worker
	fs.StringVar(&o.Addr, "opencti", "127.0.0.1:0", "address of the OpenCTI platform")
	fs.StringVar(&o.AMQPURL, "amqp-url", "", "the RabbitMQ behind the platform (default $AMQP_URL)")
	fs.StringVar(&o.Version, "platform-version", "newest", strings.Join(opencti.ProfileNames(), ", ")+": each refuses what it did not know")
	fs.BoolVar(&o.HideStateTimestamp, "hide-state-timestamp", false, "a schema without connector_state_timestamp")
	fs.StringSliceVar(&f.capabilities, "capabilities", opencti.DefaultUsers()[opencti.ConnectorToken].Capabilities,
		"what the connector's user may do on the platform; without CONNECTORAPI it may not register")
	fs.StringVar(&f.sim.State, "state", "", `state that the platform holds from the start, such as {"last_run":"2026-10-01T00:00:00+00:00"}`)
	fs.StringVar(&o.QueueType, "queue-type", "classic", "classic or quorum")
	fs.StringVar(&o.QueuePrefix, "queue-prefix", "", "the platform's rabbitmq:queue_prefix")
	fs.Float64Var(&o.MessageSize, "message-size", 2000, "bytes that a queued message counts for in the queue's size")
	fs.DurationVar(&o.CloserInterval, "closer", time.Minute, "how often works older than the last reporting one are ended; 0 is never")
	fs.BoolVar(&f.sim.NoWorker, "no-worker", false, "leave the queues alone")
	fs.IntVar(&w.Parallel, "workers", 1, "messages that are worked on at a time")
	fs.IntVar(&w.Prefetch, "prefetch", 100, "messages that each takes at once; a real worker takes 1")
	fs.DurationVar(&w.Delay, "worker-delay", 0, "time that the import of a message takes")
	fs.DurationVar(&w.RetryDelay, "retry-delay", 5*time.Millisecond, "time before an object with an unknown reference is tried again (4 times); a real worker's is 1 to 3 s")
	fs.BoolVar(&w.Policy, "policy", true, "also hold the rules that no platform enforces: author, marking, no older copy after a newer")
	fs.BoolVar(&w.CountOnly, "count-only", false, "the worker counts without reading, for measurements")
}

// options turns the flags into the stand-ins' options.
func (f *flags) options() (sim.Options, error) {
	o := f.sim
	o.OpenCTI.AMQPURL = cmp.Or(o.OpenCTI.AMQPURL, os.Getenv("AMQP_URL")) // no default: help would print the password
	if err := f.content(&o.ThreatMatch); err != nil {
		return o, err
	}
	o.OpenCTI.Users = opencti.DefaultUsers()
	user := o.OpenCTI.Users[opencti.ConnectorToken]
	user.Capabilities = f.capabilities
	o.OpenCTI.Users[opencti.ConnectorToken] = user
	o.ThreatMatch.Seed, o.OpenCTI.Seed = f.data.Seed, f.data.Seed
	switch e := threatmatch.Expiry(f.expires); e {
	case threatmatch.Epoch, threatmatch.Duration, threatmatch.Absent:
		o.ThreatMatch.Expiry = e
	default:
		return o, fmt.Errorf("--expires-at %q is none of epoch, duration, absent", f.expires)
	}
	if f.zone != "" {
		d, err := time.ParseDuration(f.zone)
		if err != nil {
			return o, fmt.Errorf("--zone: %w", err)
		}
		o.ThreatMatch.Zone = time.FixedZone(f.zone, int(d/time.Second))
	}
	for _, text := range f.faults {
		part, rest, _ := strings.Cut(text, ":")
		rule, err := faults.Parse(rest)
		if err == nil {
			err = rule.Check()
		}
		switch {
		case err != nil:
			return o, fmt.Errorf("--fault: %w", err)
		case part == "threatmatch":
			o.ThreatMatch.Faults = append(o.ThreatMatch.Faults, rule)
		case part == "opencti":
			o.OpenCTI.Faults = append(o.OpenCTI.Faults, rule)
		default:
			return o, fmt.Errorf("--fault %q does not begin with a part, threatmatch: or opencti: for instance", text)
		}
	}
	return o, nil
}

// content says what the ThreatMatch stand-in serves.
func (f *flags) content(t *threatmatch.Options) error {
	var err error
	if t.NewPerDay, err = perDay("new-per-day", f.newPerDay); err != nil {
		return err
	}
	if t.RepublishPerDay, err = perDay("republish-per-day", f.republishPerDay); err != nil {
		return err
	}
	for _, name := range f.notOffered {
		t.NotOffered = append(t.NotOffered, data.Dataset(name))
	}
	if f.stixDir != "" {
		t.Source, err = data.LoadDirectory(f.stixDir)
		return err
	}
	d := f.data
	switch f.quirks {
	case "realistic":
		d.Quirks = data.RealisticQuirks()
	case "none":
	default:
		return fmt.Errorf("--quirks %q is neither realistic nor none", f.quirks)
	}
	if f.start != "" {
		if d.Start, err = time.Parse(time.RFC3339, f.start); err != nil {
			return fmt.Errorf("--start: %w", err)
		}
	}
	if f.ties != "" {
		if _, err := fmt.Sscanf(f.ties, "%d:%d", &d.TieEvery, &d.TieSize); err != nil || d.TieEvery < d.TieSize || d.TieSize < 1 {
			return fmt.Errorf("--ties %q is not EVERY:SIZE", f.ties)
		}
	}
	t.Generate = d
	return nil
}

func perDay(flag string, in map[string]string) (map[data.Dataset]int, error) {
	out := map[data.Dataset]int{}
	for name, text := range in {
		n, err := strconv.Atoi(text)
		if err != nil {
			return nil, fmt.Errorf("--%s: %w", flag, err)
		}
		out[data.Dataset(name)] = n
	}
	return out, nil
}
