package app

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"strings"
	"time"

	"threatmatch-connector/config"
	"threatmatch-connector/internal/clients"
	"threatmatch-connector/internal/delivery"
	"threatmatch-connector/internal/inspect"
	"threatmatch-connector/internal/mapping"
	"threatmatch-connector/internal/opencti"
	"threatmatch-connector/internal/pipeline"
	"threatmatch-connector/internal/pipeline/deliver"
	"threatmatch-connector/internal/pipeline/fetch"
	"threatmatch-connector/internal/pipeline/mapstage"
	"threatmatch-connector/internal/pipeline/platform"
	"threatmatch-connector/internal/pipeline/schedule"
	"threatmatch-connector/internal/pipeline/verdicts"
	"threatmatch-connector/internal/threatmatch"
	"threatmatch-connector/spool"
)

const day = 24 * time.Hour

// build makes the stages and loops from the settings.
func (a *app) build() (_ pipeline.Parts, err error) {
	if a.opencti, err = a.platformClient(); err != nil {
		return pipeline.Parts{}, err
	}
	if a.platform, err = a.platformLoop(); err != nil {
		return pipeline.Parts{}, err
	}
	fetch, schedule, err := a.fetchStage()
	if err != nil {
		return pipeline.Parts{}, err
	}
	mapper, err := a.mapStage()
	if err != nil {
		return pipeline.Parts{}, err
	}
	deliver, err := a.deliverStage()
	if err != nil {
		return pipeline.Parts{}, err
	}
	keep := pipeline.NewHousekeep(pipeline.HousekeepDeps{
		Spool: a.spool, Expire: a.expire, Rest: debug.FreeOSMemory, Status: a.status, Log: a.Log, Now: a.Now,
	}, a.Config.Spool.ForgetAfter)
	parts := pipeline.Parts{
		Keep: keep, Platform: a.platform, Schedule: schedule, Fetch: fetch, Map: mapper, Deliver: deliver,
		Recover: mapper.Recover, Flush: a.platform.Flush,
	}
	if a.opencti != nil {
		parts.Verdicts = verdicts.New(verdicts.Deps{
			Spool: a.spool, Works: a.opencti, Status: a.status, Log: a.Log, Metrics: a.metrics.Verdicts, Now: a.Now,
		})
	}
	return parts, nil
}

// platformClient returns nil if the connector works offline.
func (a *app) platformClient() (*opencti.Client, error) {
	c := a.Config
	if c.Offline() {
		return nil, nil
	}
	opt := clients.OpenCTIOptions(c, a.Version)
	opt.Logger, opt.Observer, opt.Waiting = a.Log.With("part", "opencti"), a.metrics.OpenCTI.Observe, pipeline.Waiting
	client, err := opencti.New(opt)
	if err != nil {
		return nil, err
	}
	a.closers = append(a.closers, client.Close)
	return client, nil
}

func (a *app) platformLoop() (*platform.Platform, error) {
	deps := platform.Deps{
		Spool: a.spool, Wakes: a.wakes, Status: a.status, Log: a.Log,
		Metrics: a.metrics.Platform, Now: a.Now, Rand: rand.Float64,
		NextRun: func() time.Time { return a.schedule.Next() },
	}
	if a.opencti != nil {
		deps.Client, deps.Works = a.opencti, a.opencti
	}
	return platform.New(deps, platform.Options{
		Datasets: datasetsOf(a.Config), RunAndTerminate: a.Once, QueueThreshold: float64(a.Config.Connector.QueueThresholdMB),
	})
}

func (a *app) threatMatch() (*threatmatch.Client, error) {
	opt := clients.ThreatMatchOptions(a.Config, a.Version)
	opt.Now, opt.Rand, opt.Log = a.Now, rand.Float64, a.Log.With("part", "threatmatch")
	opt.Observer, opt.Dir = a.metrics.Source, a.Config.Spool.Dir
	if err := threatmatch.RemoveBodies(opt.Dir); err != nil {
		a.Log.Warn("leftover files of large responses cannot be removed", "error", err)
	}
	return threatmatch.New(opt)
}

func choices(c config.Choices) mapping.Choices {
	return mapping.Choices{
		ProfileLink: c.ProfileLink, AlertLink: c.AlertLink,
		Score: c.IndicatorScore, ScoreByType: c.ScoreByType, DaysByType: c.DaysByType, Detection: c.IndicatorDetection,
		DefaultMarking: c.DefaultMarking, TLPLevels: c.TLPLevels, TLPMax: c.TLPMax,
		Types: c.OnlyTypes, Kinds: c.OnlyKinds, Tags: c.OnlyTags, Ratings: c.OnlyRatings,
		PatternTypes: c.OnlyPatternTypes, ObservableTypes: c.OnlyObservableTypes, ModifiedSince: c.ModifiedSince,
	}
}

func (a *app) mapStage() (*mapstage.Stage, error) {
	c := a.Config
	settings := mapping.Settings{
		TLP: c.ThreatMatch.TLPLevel, ThreatActorAsIntrusionSet: c.ThreatMatch.ThreatActorAsIntrusionSet,
		Labels: c.ThreatMatch.ImportLabels, Description: c.ThreatMatch.DescriptionFormat,
		URL: c.ThreatMatch.URL, CreateObservables: c.ThreatMatch.CreateObservables, Confidence: c.Connector.ConfidenceLevel,
		Choices: choices(c.Choices),
	}
	if a.opencti != nil {
		settings.PlatformVersion = a.opencti.PlatformVersion
	}
	m, err := mapping.New(settings)
	if err != nil {
		return nil, err
	}
	deps := mapstage.Deps{
		Spool: a.spool, Mapper: m, Wakes: a.wakes, Status: a.status, Log: a.Log,
		Metrics: a.metrics.Map, Now: a.Now, Paused: a.paused(spool.StageMap),
	}
	if a.opencti != nil {
		deps.Resolver = a.opencti
	}
	return mapstage.New(deps, mapstage.Options{
		MaxObjects: c.Bundle.MaxObjects, MaxBytes: int(c.Bundle.MaxBytes), MaxWait: c.Bundle.MaxWait,
		ResendAfter: c.ThreatMatch.ResendAfter, HoldUnresolved: c.ThreatMatch.HoldUnresolved,
		MaxMessageSize: c.MQ.MaxMessageSize,
	})
}

func (a *app) deliverStage() (stage *deliver.Stage, err error) {
	c := a.Config
	deps := deliver.Deps{
		Spool: a.spool, Platform: a.platform,
		Wakes: a.wakes, Status: a.status, Log: a.Log, Metrics: a.metrics.Deliver, Now: a.Now, Rand: rand.Float64, Paused: a.paused(spool.StageDeliver),
	}
	way := deliver.ToArchive
	switch {
	case c.Pushes():
		way, deps.Works = deliver.ToAPI, a.opencti
	case c.Connector.SendToQueue:
		if a.publisher, err = a.newPublisher(); err != nil {
			return nil, err
		}
		way, deps.Publisher, deps.Works = deliver.ToBroker, a.publisher, a.opencti
	}
	if c.Connector.SendToDirectory {
		dir, err := delivery.NewDirectory(delivery.DirectoryOptions{
			Path: c.Connector.SendToDirectoryPath, Retention: time.Duration(c.Connector.SendToDirectoryRetentionDays) * day,
			Connector: delivery.ConnectorInfo{
				ID: c.Connector.ID, Name: c.Connector.Name, Type: c.Connector.Type, Scope: strings.Join(c.Connector.Scope, ","),
			},
		})
		if err != nil {
			return nil, fmt.Errorf("directory for bundles: %w", err)
		}
		deps.Archive = dir
		a.expire = dir.Expire
	}
	return deliver.New(deps, deliver.Options{
		Way: way, Drain: c.Connector.DrainTimeout,
		ConnectorID: c.Connector.ID, ConnectorName: c.Connector.Name, Update: c.Connector.UpdateExistingData,
		Window: c.MQ.ConfirmWindow, MaxMessageSize: c.MQ.MaxMessageSize,
		QueueThreshold: float64(c.Connector.QueueThresholdMB), Once: a.Once,
	})
}

// brokerCloseTimeout is how long the broker may take to close an idle connection. It comes on top of the drain
// timeout.
const brokerCloseTimeout = 500 * time.Millisecond

func (a *app) newPublisher() (*clients.Publisher, error) {
	p, err := clients.NewPublisher(a.Config, a.Log, a.Now, a.metrics.Broker)
	if err != nil {
		return nil, err
	}
	a.closers = append(a.closers, func() {
		ctx, cancel := context.WithTimeout(context.Background(), brokerCloseTimeout)
		defer cancel()
		p.Close(ctx)
	})
	return p, nil
}

func (a *app) fetchStage() (*fetch.Stage, *schedule.Schedule, error) {
	c := a.Config
	client, err := a.threatMatch()
	if err != nil {
		return nil, nil, err
	}
	a.closers = append(a.closers, client.Close)
	opt := fetch.Options{
		Datasets: datasetsOf(c), MaxConcurrency: c.ThreatMatch.MaxConcurrency, MaxAttempts: c.ThreatMatch.MaxAttempts,
		Groups: []string{c.ThreatMatch.TAXIIGroup}, Types: c.ThreatMatch.TAXIITypes, Details: c.Choices.Details,
		MaxWait: c.Connector.DurationPeriod.Approx(),
	}
	if groups := c.Choices.TAXIIGroups; len(groups) > 0 {
		opt.Groups, opt.OnlyGroups = groups, true
	}
	if a.Once {
		opt.GiveUp = 2 * time.Minute
	}
	fetch, err := fetch.New(fetch.Deps{
		Spool: a.spool, Source: client, Wakes: a.wakes, Status: a.status,
		Log: a.Log, Metrics: a.metrics.Fetch, Now: a.Now, Rand: rand.Float64, Paused: a.paused(spool.StageFetch),
	}, opt)
	if err != nil {
		return nil, nil, err
	}
	a.schedule, err = schedule.New(schedule.Deps{
		Spool: a.spool, Wakes: a.wakes, Status: a.status, Log: a.Log, Now: a.Now,
	}, schedule.Options{
		Datasets: datasetsOf(c), Period: c.Connector.DurationPeriod.Approx(), Overlap: c.ThreatMatch.WindowOverlap,
		Once: a.Once, Types: c.ThreatMatch.TAXIITypes, ImportFrom: c.ThreatMatch.ImportFromDate.Resolve,
	})
	return fetch, a.schedule, err
}

// paused returns a function that says that and since when an operator has paused the stage; "" if it is not paused. A
// spool that cannot be read pauses nothing: the stage itself reports what is wrong.
func (a *app) paused(st spool.Stage) func() string {
	return func() string {
		meta, err := a.spool.Meta()
		if since, ok := meta.Paused[st]; err == nil && ok {
			return inspect.Paused{Stage: string(st), Since: since}.Why()
		}
		return ""
	}
}
