package metrics

import (
	"log/slog"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"threatmatch-connector/spool"
)

// Readiness says which parts are not ready, and why.
type Readiness interface{ NotReady() map[string]string }

// SpoolCollector reads the spool's own counters when it is scraped.
type SpoolCollector struct {
	spool  *spool.Spool
	health Readiness
	now    func() time.Time
	log    *slog.Logger
	period time.Duration
	build  string // version of the program

	descs  map[string]*prometheus.Desc // by name, without "threatmatch_"
	gauges []spoolGauge
}

// spoolGauge is one number of the spool's statistics.
type spoolGauge struct {
	name  string
	value func(spool.Stats) int64
}

// NewSpoolCollector returns a collector that is not registered yet. period is the time between two runs, zero for a
// single run; version is the program's.
func NewSpoolCollector(s *spool.Spool, h Readiness, now func() time.Time, log *slog.Logger, period time.Duration, version string) *SpoolCollector {
	c := &SpoolCollector{
		spool: s, health: h, now: now, log: log, period: period, build: version, descs: map[string]*prometheus.Desc{},
	}
	desc := func(name, help string, labels ...string) {
		c.descs[name] = prometheus.NewDesc("threatmatch_"+name, help, labels, nil)
	}
	desc("spool_oldest_age_seconds", "Age of the oldest entry of a kind: records, waiting, held, bundles, dead, parked. Absent while there is none.", "kind")
	desc("spool_bucket_bytes", "Bytes of keys and values as stored, by bucket.", "bucket")
	desc("watermark_age_seconds", "Age of the last run that is fully confirmed, by dataset.", "dataset")
	desc("watermark_held_back", "1 while a parked item holds the dataset's last_run back.", "dataset")
	desc("dataset_failed", "1 if the dataset failed in the latest run that is fetched, else 0.", "dataset")
	desc("ready", "1 while /readyz answers yes.")
	desc("not_ready", "1 for each part that is not ready; absent otherwise.", "part")
	desc("period_seconds", "Time between two runs by the settings, 0 for a single one.")
	desc("build_info", "Always 1.", "version", "go_version")
	gauge := func(name, help string, value func(spool.Stats) int64) {
		desc("spool_"+name, help)
		c.gauges = append(c.gauges, spoolGauge{"spool_" + name, value})
	}
	gauge("live_bytes", "Bytes in use in the spool's file.", func(s spool.Stats) int64 { return s.Room.Live })
	gauge("file_bytes", "Size of the spool's file, free pages included.", func(s spool.Stats) int64 { return s.Room.File })
	gauge("max_bytes", "Bytes in use above which fetching pauses (spool.max_size).", func(s spool.Stats) int64 { return s.Room.Max })
	gauge("cap_bytes", "Largest size of the file.", func(s spool.Stats) int64 { return s.Room.Cap })
	gauge("disk_full", "1 after the disk was full until it has room again.", func(s spool.Stats) int64 { return oneIf(s.Room.Short) })
	gauge("set_aside", "1 while the note of a damaged file that was set aside is kept.", func(s spool.Stats) int64 { return oneIf(s.Meta.SetAside != "") })
	gauge("tasks", "Requests still to be made in open runs.", func(s spool.Stats) int64 { return s.Tasks })
	gauge("parked_items", "Items that failed and wait for a later run.", func(s spool.Stats) int64 { return s.Parked })
	gauge("records", "Answers that are not mapped yet.", func(s spool.Stats) int64 { return s.Records })
	gauge("waiting_objects", "Objects whose references may still come in their run.", func(s spool.Stats) int64 { return s.Waiting })
	gauge("held_objects", "Objects held until one that they need comes, with those that are published already.", func(s spool.Stats) int64 { return s.Held })
	gauge("held_published_objects", "Of the held ones: whole copies of objects that are published without a reference; nothing of them is missing.", func(s spool.Stats) int64 { return s.HeldPublished })
	gauge("bundles", "Bundles that are not delivered.", func(s spool.Stats) int64 { return s.Bundles })
	gauge("messages", "Messages of bundles that are not confirmed.", func(s spool.Stats) int64 { return s.Messages })
	gauge("ids", "Objects handed over or known on the platform.", func(s spool.Stats) int64 { return s.IDs })
	gauge("dead_letters", "Dead letters that are not healed.", func(s spool.Stats) int64 { return s.Dead })
	gauge("rejected_objects", "Of the dead letters that are not healed: what OpenCTI's workers refused.", func(s spool.Stats) int64 { return s.Rejected })
	gauge("dead_letters_healed", "Dead letters that were retried with success.", func(s spool.Stats) int64 { return s.Healed })
	gauge("kept_records", "Mapped responses that are kept (spool.keep_records).", func(s spool.Stats) int64 { return s.Kept })
	return c
}

func oneIf(on bool) int64 {
	if on {
		return 1
	}
	return 0
}

// Describe implements prometheus.Collector.
func (c *SpoolCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *SpoolCollector) Collect(ch chan<- prometheus.Metric) {
	put := func(name string, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(c.descs[name], prometheus.GaugeValue, v, labels...)
	}
	put("build_info", 1, c.build, runtime.Version())
	put("period_seconds", c.period.Seconds())
	reasons := c.health.NotReady()
	put("ready", float64(oneIf(len(reasons) == 0)))
	for part := range reasons {
		put("not_ready", 1, part)
	}
	if err := c.collectSpool(put); err != nil {
		c.log.Debug("the spool's numbers cannot be read", "error", err)
	}
}

func (c *SpoolCollector) collectSpool(put func(string, float64, ...string)) error {
	now := c.now()
	stats, err := c.spool.Stats()
	if err != nil {
		return err
	}
	for _, g := range c.gauges {
		put(g.name, float64(g.value(stats)))
	}
	for kind, at := range stats.Oldest {
		put("spool_oldest_age_seconds", max(now.Sub(at), 0).Seconds(), kind)
	}
	for bucket, n := range stats.Bytes {
		put("spool_bucket_bytes", float64(n), bucket)
	}
	marks, err := c.spool.Watermarks()
	if err != nil {
		return err
	}
	for d, m := range marks {
		if !m.Confirmed.IsZero() {
			put("watermark_age_seconds", max(now.Sub(m.Confirmed), 0).Seconds(), string(d))
		}
		put("watermark_held_back", float64(oneIf(!m.Held.IsZero())), string(d))
	}
	return c.collectFailed(put)
}

// collectFailed reports which datasets failed in the latest run whose fetch has ended.
func (c *SpoolCollector) collectFailed(put func(string, float64, ...string)) error {
	const recent = 20
	runs, err := c.spool.Runs(0, recent)
	if err != nil {
		return err
	}
	for _, r := range runs {
		if r.FetchedAt.IsZero() || !r.Reason.MovesWatermarks() || r.Dropped {
			continue
		}
		for d, dr := range r.Datasets {
			put("dataset_failed", float64(oneIf(dr.Status == spool.DatasetFailed)), string(d))
		}
		return nil
	}
	return nil
}
