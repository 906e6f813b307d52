package app

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/net/http/httpproxy"

	"threatmatch-connector/config"
	"threatmatch-connector/internal/delivery"
	"threatmatch-connector/internal/mapping"
	"threatmatch-connector/internal/opencti"
	"threatmatch-connector/internal/pipeline"
	"threatmatch-connector/internal/threatmatch"
	"threatmatch-connector/spool"
)

const day = 24 * time.Hour

// build makes the parts of the pipeline from the settings.
func (a *app) build() (pipeline.Parts, error) {
	api, err := a.platformClient()
	if err != nil {
		return pipeline.Parts{}, err
	}
	platform, err := a.platformLoop(api)
	if err != nil {
		return pipeline.Parts{}, err
	}
	a.platform = platform
	fetch, schedule, err := a.fetchStage()
	if err != nil {
		return pipeline.Parts{}, err
	}
	mapper, err := a.mapStage(api)
	if err != nil {
		return pipeline.Parts{}, err
	}
	deliver, err := a.deliverStage(api, platform, mapper)
	if err != nil {
		return pipeline.Parts{}, err
	}
	keep, err := pipeline.NewHousekeep(pipeline.HousekeepDeps{
		Spool: a.spool, Expire: a.expire, Board: a.board, Log: a.Log, Now: a.Now,
	}, a.cfg.Spool.ForgetAfter)
	if err != nil {
		return pipeline.Parts{}, err
	}
	return pipeline.Parts{
		Keep: keep, Platform: platform, Schedule: schedule, Fetch: fetch, Map: mapper, Deliver: deliver,
		Recover: mapper.Recover, Flush: platform.Flush,
	}, nil
}

// platformClient returns nil when there is no platform.
func (a *app) platformClient() (*platform, error) {
	c := a.cfg
	if c.Offline() {
		return nil, nil
	}
	headers := make(map[string]string, len(c.OpenCTI.CustomHeaders))
	for _, h := range c.OpenCTI.CustomHeaders {
		headers[h.Name] = h.Value.Reveal()
	}
	tls := opencti.TLS{Insecure: !c.VerifyOpenCTI()}
	if pem := c.OpenCTICAs(); len(pem) > 0 {
		tls.CAs = []string{string(pem)}
	}
	client, err := opencti.New(opencti.Options{
		URL: c.OpenCTI.URL, Token: c.OpenCTI.Token.Reveal(), Version: a.Version, Headers: headers, TLS: tls,
		Proxy: proxy(c.Network), Logger: a.Log.With("part", "opencti"),
	})
	if err != nil {
		return nil, err
	}
	a.closers = append(a.closers, client.Close)
	return &platform{client: client, broker: a.brokerOf, input: opencti.RegisterInput{
		ID: c.Connector.ID, Name: c.Connector.Name, Type: c.Connector.Type, Scope: c.Connector.Scope,
		Version: registeredVersion(a.Version), Slug: "threatmatch",
	}}, nil
}

// brokerOf lays our MQ_* settings over what the platform says about its broker.
func (a *app) brokerOf(b opencti.Broker) pipeline.Broker {
	mq := a.cfg.MQ
	out := pipeline.Broker{Host: b.Host, Port: b.Port, VHost: b.VHost, TLS: b.UseTLS, User: b.User, Password: b.Password}
	if mq.Host != "" {
		out.Host = mq.Host
	}
	if mq.Port != 0 {
		out.Port = mq.Port
	}
	if mq.VHost != "" {
		out.VHost = mq.VHost
	}
	if mq.UseSSL != nil {
		out.TLS = *mq.UseSSL
	}
	if mq.User != "" {
		out.User = mq.User
	}
	if mq.Pass.IsSet() {
		out.Password = mq.Pass.Reveal()
	}
	return out
}

func (a *app) platformLoop(api *platform) (*pipeline.Platform, error) {
	deps := pipeline.PlatformDeps{
		Spool: a.spool, Bells: a.bells, Board: a.board, Log: a.Log,
		Metrics: pipeline.NewPlatformMetrics(a.metrics), Now: a.Now, Rand: random,
		NextRun: func() time.Time { return a.schedule.Next() },
	}
	if api != nil {
		deps.Client, deps.Works = api, api
	}
	return pipeline.NewPlatform(deps, pipeline.PlatformOptions{
		Datasets: a.datasets(), RunAndTerminate: a.once, QueueThreshold: float64(a.cfg.Connector.QueueThresholdMB),
	})
}

func (a *app) datasets() []spool.Dataset { return datasetsOf(a.cfg) }

func (a *app) threatMatch() (*threatmatch.Client, error) {
	t := a.cfg.ThreatMatch
	var roots *x509.CertPool
	if pem := a.cfg.ThreatMatchCAs(); len(pem) > 0 {
		var err error
		if roots, err = x509.SystemCertPool(); err != nil {
			roots = x509.NewCertPool()
		}
		roots.AppendCertsFromPEM(pem)
	}
	return threatmatch.New(threatmatch.Options{
		BaseURL: t.URL, ClientID: t.ClientID, ClientSecret: t.ClientSecret.Reveal(),
		UserAgent: "threatmatch-connector/" + a.Version, RequestsPerSecond: t.RequestsPerSecond, MaxBody: t.MaxBody,
		Roots: roots, Proxy: proxy(a.cfg.Network), Now: a.Now, Rand: random, Log: a.Log.With("part", "threatmatch"),
	})
}

func proxy(n config.Network) func(*http.Request) (*url.URL, error) {
	f := (&httpproxy.Config{
		HTTPProxy: n.HTTPProxy.Reveal(), HTTPSProxy: n.HTTPSProxy.Reveal(), NoProxy: n.NoProxy,
	}).ProxyFunc()
	return func(r *http.Request) (*url.URL, error) { return f(r.URL) }
}

func (a *app) mapStage(api *platform) (*pipeline.Map, error) {
	c := a.cfg
	m, err := mapping.New(mapping.Settings{
		TLP: c.ThreatMatch.TLPLevel, ThreatActorAsIntrusionSet: c.ThreatMatch.ThreatActorAsIntrusionSet,
		Labels: c.ThreatMatch.ImportLabels, Description: c.ThreatMatch.DescriptionFormat,
		CreateObservables: c.ThreatMatch.CreateObservables, Confidence: c.Connector.ConfidenceLevel,
	})
	if err != nil {
		return nil, err
	}
	deps := pipeline.MapDeps{
		Spool: a.spool, Mapper: m, Bells: a.bells, Board: a.board, Log: a.Log,
		Metrics: pipeline.NewMapMetrics(a.metrics), Now: a.Now,
	}
	if api != nil {
		deps.Resolver = api
	}
	return pipeline.NewMap(deps, pipeline.MapOptions{
		MaxObjects: c.Bundle.MaxObjects, MaxBytes: int(c.Bundle.MaxBytes), MaxWait: c.Bundle.MaxWait,
		ResendAfter: c.ThreatMatch.ResendAfter, HoldUnresolved: c.ThreatMatch.HoldUnresolved,
		MaxMessageSize: c.MQ.MaxMessageSize,
	})
}

func (a *app) deliverStage(api *platform, loop *pipeline.Platform, m *pipeline.Map) (stage *pipeline.Deliver, err error) {
	c := a.cfg
	deps := pipeline.DeliverDeps{
		Spool: a.spool, Platform: loop, Envelope: newEnvelope(), OnMaxMessageSize: m.SetMaxMessageSize,
		Bells: a.bells, Board: a.board, Log: a.Log, Metrics: pipeline.NewDeliverMetrics(a.metrics), Now: a.Now, Rand: random,
	}
	if c.Connector.SendToQueue {
		if a.publisher, err = a.newPublisher(); err != nil {
			return nil, err
		}
		deps.Publisher, deps.Works = a.publisher, api
	}
	if c.Connector.SendToDirectory {
		dir, err := delivery.NewDirectory(delivery.DirectoryOptions{
			Path: c.Connector.SendToDirectoryPath, Retention: time.Duration(c.Connector.SendToDirectoryRetentionDays) * day,
			Connector: delivery.ConnectorInfo{
				ID: c.Connector.ID, Name: c.Connector.Name, Type: c.Connector.Type, Scope: scopeText(c.Connector.Scope),
			},
		})
		if err != nil {
			return nil, fmt.Errorf("directory for bundles: %w", err)
		}
		deps.Archive = archive{dir}
		a.expire = dir.Expire
	}
	return pipeline.NewDeliver(deps, pipeline.DeliverOptions{
		ConnectorID: c.Connector.ID, ConnectorName: c.Connector.Name, Update: c.Connector.UpdateExistingData,
		Window: c.MQ.ConfirmWindow, MaxMessageSize: c.MQ.MaxMessageSize,
		QueueThreshold: float64(c.Connector.QueueThresholdMB), Once: a.once,
	})
}

func (a *app) newPublisher() (*publisher, error) {
	mq := a.cfg.MQ
	p := &publisher{}
	pub, err := delivery.New(delivery.Options{
		Name: a.cfg.Connector.Name + " " + a.cfg.Connector.ID, OnState: p.onState,
		TLS: delivery.TLS{
			CA: string(mq.SSLCA.Bytes()), Cert: string(mq.SSLCert.Bytes()), Key: string(mq.SSLKey.Bytes()),
			Passphrase: mq.SSLPassphrase.Reveal(), Insecure: !mq.SSLRejectUnauthorized,
		},
		SettleTimeout: a.cfg.Connector.DrainTimeout,
	})
	if err != nil {
		return nil, err
	}
	p.pub = pub
	a.closers = append(a.closers, func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if err := pub.Close(ctx); err != nil {
			a.Log.Debug("close the broker connection", "error", err)
		}
	})
	return p, nil
}

func (a *app) fetchStage() (*pipeline.Fetch, *pipeline.Schedule, error) {
	c := a.cfg
	client, err := a.threatMatch()
	if err != nil {
		return nil, nil, err
	}
	a.closers = append(a.closers, client.Close)
	opt := pipeline.FetchOptions{
		Datasets: a.datasets(), MaxConcurrency: c.ThreatMatch.MaxConcurrency, MaxAttempts: c.ThreatMatch.MaxAttempts,
		Groups: []string{c.ThreatMatch.TAXIIGroup}, Types: c.ThreatMatch.TAXIITypes,
		MaxWait: c.Connector.DurationPeriod.Approx(),
	}
	if a.once {
		opt.GiveUp = 2 * time.Minute
	}
	fetch, err := pipeline.NewFetch(pipeline.FetchDeps{
		Spool: a.spool, Source: source{client}, Bells: a.bells, Board: a.board,
		Log: a.Log, Metrics: pipeline.NewFetchMetrics(a.metrics), Now: a.Now, Rand: random,
	}, opt)
	if err != nil {
		return nil, nil, err
	}
	a.schedule, err = pipeline.NewSchedule(pipeline.ScheduleDeps{
		Spool: a.spool, Bells: a.bells, Board: a.board, Log: a.Log, Now: a.Now,
	}, pipeline.ScheduleOptions{
		Datasets: a.datasets(), Period: c.Connector.DurationPeriod.Approx(), Overlap: c.ThreatMatch.WindowOverlap,
		Once: a.once, ImportFrom: c.ThreatMatch.ImportFromDate.Resolve,
	})
	return fetch, a.schedule, err
}
