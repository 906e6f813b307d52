package config

import (
	"path/filepath"
	"strings"
	"time"
)

const (
	precedenceKey  = "connector.config_precedence"
	precedenceFile = "file"
	precedenceEnv  = "env"
)

// derive fills in what follows from other settings or from the system.
func (l *loader) derive(environ map[string]string) {
	cfg := l.cfg
	if cfg.Spool.Dir == "" && !l.bad["spool.dir"] {
		cfg.Spool.Dir, l.origins["spool.dir"] = "./threatmatch-spool", originDefault
		if dir, _, _ := strings.Cut(environ["STATE_DIRECTORY"], ":"); dir != "" { // systemd may list several
			cfg.Spool.Dir, l.origins["spool.dir"] = dir, "environment STATE_DIRECTORY"
		}
	}
	cfg.Spool.Dir = inDir(l.dir, cfg.Spool.Dir)
	if cfg.Admin.Socket == "" {
		cfg.Admin.Socket, l.origins["admin.socket"] = filepath.Join(cfg.Spool.Dir, "admin.sock"), originDefault
	}
	cfg.Admin.Socket = inDir(l.dir, cfg.Admin.Socket)
	cfg.Connector.SendToDirectoryPath = inDir(l.dir, cfg.Connector.SendToDirectoryPath)
	if key, suffix := "opencti.url", "/graphql"; l.isGiven(key) && l.cutsEnding(l.rowOf(key), suffix) {
		l.warn(key, l.origins[key], "ends in "+suffix+", which is left out: the base address is meant")
	}
	l.loadPEM("opencti.ssl_verify", &cfg.OpenCTI.SSLCA, "CERTIFICATE")
	l.loadPEM("mq.use_ssl_ca", &cfg.MQ.SSLCA, "CERTIFICATE")
	l.loadPEM("mq.use_ssl_cert", &cfg.MQ.SSLCert, "CERTIFICATE")
	l.loadPEM("mq.use_ssl_key", &cfg.MQ.SSLKey, "PRIVATE KEY")
	l.loadPEM("https_ca_certificates", &cfg.Network.CACertificates, "CERTIFICATE")
	l.loadPEM("requests_ca_bundle", &cfg.Network.CABundle, "CERTIFICATE")
}

func (l *loader) cutsEnding(index int, suffix string) bool {
	for _, g := range l.given {
		if g.index == index && strings.HasSuffix(strings.TrimRight(rawText(g.raw), "/"), suffix) {
			return true
		}
	}
	return false
}

func (l *loader) loadPEM(key string, p *PEM, want string) {
	err := p.load(l.dir, want)
	if err == nil || l.bad[key] {
		return
	}
	l.bad[key] = true
	s := l.settings[l.rowOf(key)]
	problem := Problem{Key: key, Source: l.origins[key], Message: err.Error(), Allowed: s.Allowed}
	if !s.Secret {
		problem.Value = p.String()
	}
	if key == "opencti.ssl_verify" {
		problem.Nearest = nearest(p.Path, []string{"true", "false"})
	}
	l.problem(problem)
}

// check reports what is missing and settings that do not go together. With broken nothing counts as missing: it may
// be in a file that could not be read.
func (l *loader) check(opt Options, broken bool) {
	l.checkTargets()
	for _, s := range l.settings {
		platform := sectionOf(s.Key) == "opencti"
		if !s.Required || l.isGiven(s.Key) || broken || platform && l.cfg.Offline() && l.targetsFine() {
			continue
		}
		l.problem(Problem{Key: s.Key, Message: "is not set; give " + s.Env + " in the environment or " + s.Key + " in config.yml"})
	}
	cfg := l.cfg
	if cfg.MQ.SSLKey.IsSet() && !cfg.MQ.SSLCert.IsSet() {
		l.problem(Problem{Key: "mq.use_ssl_key", Source: l.origins["mq.use_ssl_key"], Message: "needs mq.use_ssl_cert, too"})
	}
	l.checkChoices()
	l.advise(opt)
}

// targetsFine reports whether bundles are sent anywhere, or a setting that decides it was refused already.
func (l *loader) targetsFine() bool {
	c := l.cfg.Connector
	return c.SendToQueue || c.SendToDirectory && c.SendToDirectoryPath != "" ||
		l.bad["connector.send_to_queue"] || l.bad["connector.send_to_directory"] || l.bad["connector.send_to_directory_path"]
}

func (l *loader) checkTargets() {
	c := l.cfg.Connector
	switch {
	case !l.targetsFine():
		l.problem(Problem{Key: "connector.send_to_queue", Value: "false", Source: l.origins["connector.send_to_queue"],
			Message: "nothing would be sent anywhere: without the queue, connector.send_to_directory and connector.send_to_directory_path are needed"})
	case c.SendToDirectory && c.SendToDirectoryPath == "":
		l.warn("connector.send_to_directory", l.origins["connector.send_to_directory"], "does nothing without connector.send_to_directory_path")
	case !c.SendToDirectory && c.SendToDirectoryPath != "":
		l.warn("connector.send_to_directory_path", l.origins["connector.send_to_directory_path"], "does nothing without connector.send_to_directory")
	}
}

// startAhead is how far ahead of our clock a start may be: zones and clocks differ.
const startAhead = 24 * time.Hour

// checkStart refuses a start in the future: nothing would be imported until then, and mostly the year is wrong.
func (l *loader) checkStart(now time.Time) {
	const key = "threatmatch.import_from_date"
	if l.bad[key] || now.IsZero() {
		return
	}
	start := l.cfg.ThreatMatch.ImportFromDate
	switch ahead := start.Resolve(now).Sub(now); {
	case ahead > startAhead:
		l.problem(Problem{Key: key, Value: start.String(), Source: l.origins[key],
			Message: "lies in the future: nothing would be imported before; correct it, or this machine's clock, which says " + now.UTC().Format(time.DateOnly)})
	case ahead > 0:
		l.warn(key, l.origins[key], "lies in the future")
	}
}

// advise warns of what is allowed but probably not meant.
func (l *loader) advise(opt Options) {
	cfg := l.cfg
	if l.origins["connector.id"] == originDefault && !cfg.Offline() {
		l.warn("connector.id", "", "is not set; the Python connector's "+defaultID+" is used. Give every connector an id of its own")
	}
	if len(cfg.ThreatMatch.Datasets()) == 0 {
		l.problem(Problem{Key: "threatmatch.import_profiles", Message: "every dataset is switched off, so that nothing would be imported; switch one on"})
	}
	for _, s := range l.settings {
		// These two also limit what is pushed.
		if cfg.Pushes() && sectionOf(s.Key) == "mq" && l.isGiven(s.Key) && s.Key != "mq.confirm_window" && s.Key != "mq.max_message_size" {
			l.warn(s.Key, l.origins[s.Key], "does nothing with connector.queue_protocol api")
		}
	}
	l.checkTypes()
	l.checkBase()
	l.checkStart(opt.Now)
	if cfg.Spool.ForgetAfter == 0 && !l.bad["spool.forget_after"] {
		l.warn("spool.forget_after", l.origins["spool.forget_after"], "is zero: every object is forgotten at once and sent again with each run")
	}
	if !cfg.OpenCTI.SSLVerify && !l.bad["opencti.ssl_verify"] {
		message := "the platform's certificate is not checked"
		if cfg.Network.CACertificates.IsSet() {
			message = "the platform's certificate is checked all the same, as HTTPS_CA_CERTIFICATES is set"
		}
		l.warn("opencti.ssl_verify", l.origins["opencti.ssl_verify"], message)
	}
}
