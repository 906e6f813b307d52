package app

import (
	"log/slog"
	"time"

	"threatmatch-connector/config"
	"threatmatch-connector/internal/admin"
	"threatmatch-connector/internal/pipeline"
	"threatmatch-connector/internal/pipeline/schedule"
	"threatmatch-connector/spool"
)

// QueueRepull adds a run of reason repull to the spool of a stopped connector, which works on it once it is started.
func QueueRepull(c *config.Config, s *spool.Spool, now func() time.Time, q admin.RepullRequest) (admin.Answer, error) {
	schedule, err := schedule.New(schedule.Deps{
		Spool: s, Wakes: pipeline.NewWakes(), Status: pipeline.NewStatus(now), Log: slog.New(slog.DiscardHandler), Now: now,
	}, schedule.Options{
		Datasets: datasetsOf(c), Once: true, ImportFrom: c.ThreatMatch.ImportFromDate.Resolve,
	})
	if err != nil {
		return admin.Answer{}, err
	}
	return repull(schedule, q)
}

func datasetsOf(c *config.Config) []spool.Dataset {
	var all []spool.Dataset
	for _, name := range c.ThreatMatch.Datasets() {
		all = append(all, spool.Dataset(name))
	}
	return all
}
