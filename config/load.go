package config

import (
	"cmp"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"
)

// Options is all that Load looks at besides the files that it names.
type Options struct {
	Path    string    // of config.yml; "" means config.yml in Dir, if it exists
	Environ []string  // NAME=value, as os.Environ gives it
	Dir     string    // base of relative paths; "" means the working directory
	Now     time.Time // to detect a start in the future; zero means not to
}

const (
	fileName   = "config.yml"
	dotenvFile = ".env"
	maxFile    = 4 << 20
)

// Load reads and checks all settings. Its error is Problems: everything that is wrong, in a fixed order. The Report
// is filled in either case; the Config is nil if there is an error. Load starts nothing and keeps no file open.
func Load(opt Options) (*Config, Report, error) {
	cfg, report, problems := read(opt)
	if len(problems) > 0 {
		return nil, report, problems
	}
	return cfg, report, nil
}

// LoadSpool reads where the spool and its socket are, for commands that only read the spool. Unrelated settings may
// be missing or wrong.
func LoadSpool(opt Options) (Spool, Admin, error) {
	cfg, _, problems := read(opt)
	problems = slices.DeleteFunc(problems, func(p Problem) bool {
		return p.Key != "" && !strings.HasPrefix(p.Key, "spool.") && !strings.HasPrefix(p.Key, "admin.")
	})
	if len(problems) > 0 {
		return Spool{}, Admin{}, problems
	}
	return cfg.Spool, cfg.Admin, nil
}

// read collects, converts and checks; cfg is complete only if there are no problems.
func read(opt Options) (*Config, Report, Problems) {
	environ, err := variables(opt.Environ)
	if err != nil {
		return nil, Report{}, Problems{{Source: "environment", Message: err.Error()}}
	}
	c := &collector{names: newNames(), dir: opt.Dir, told: map[string]bool{}}
	report := Report{Origins: map[string]string{}}
	report.File = c.readFile(opt)
	if report.File == "" && opt.Path == "" {
		c.readDotenv(environ)
	}
	c.readEnv(environ, layerEnv, func(name string) string { return "environment " + name })
	if dir := environ["CREDENTIALS_DIRECTORY"]; dir != "" {
		c.readCredentials(dir)
	}
	l := &loader{collector: c, cfg: &Config{}, origins: report.Origins, bad: map[string]bool{}}
	broken := false // a file that could not be read completely may hold anything
	for _, p := range c.problems {
		broken = broken || p.Key == ""
		l.bad[p.Key] = true
	}
	l.merge()
	l.derive(environ)
	l.check(opt, broken)
	l.sort()
	report.Warnings = l.warnings
	return l.cfg, report, l.problems
}

// readFile reads config.yml and returns its path, "" if there is none.
func (c *collector) readFile(opt Options) string {
	path := cmp.Or(opt.Path, fileName)
	full := inDir(c.dir, path)
	info, err := os.Stat(full)
	switch {
	case err != nil && opt.Path == "" && os.IsNotExist(err):
		c.lookAround()
		return ""
	case err != nil:
		c.problem(Problem{Source: path, Message: "cannot be read: " + cause(err)})
		return path
	case info.IsDir():
		c.problem(Problem{Source: path, Message: "is a directory; Docker makes one when the file to mount does not exist"})
		return path
	case info.Size() > maxFile:
		c.problem(Problem{Source: path, Message: "is too large for a file of settings"})
		return path
	}
	doc := &document{c: c, path: path, seen: map[string]int{}}
	if err := koanf.New(".").Load(file.Provider(full), doc); err != nil {
		c.problem(Problem{Source: path, Message: "cannot be read: " + cause(err)})
	}
	return path
}

// lookAround warns of a file whose name is nearly that of the one that is read.
func (c *collector) lookAround() {
	for _, name := range []string{"config.yaml", "config.yml.sample"} {
		if _, err := os.Stat(inDir(c.dir, name)); err == nil {
			c.warn(name, "", "is not read; the file of settings is named "+fileName)
		}
	}
}

// readDotenv reads .env if there is no config.yml, as the Python connectors do.
func (c *collector) readDotenv(environ map[string]string) {
	path := inDir(c.dir, dotenvFile)
	if info, err := os.Stat(path); err != nil || info.IsDir() {
		return
	}
	text, err := readLimited(path, maxFile)
	if err != nil {
		c.problem(Problem{Source: dotenvFile, Message: err.Error()})
		return
	}
	vars, lines, bad := dotenv(string(text), environ)
	for _, line := range bad {
		c.warn(dotenvFile, dotenvFile+":"+strconv.Itoa(line), "is not an assignment; it is ignored")
	}
	c.readEnv(vars, layerDotenv, func(name string) string { return dotenvFile + ":" + strconv.Itoa(lines[name]) })
}

// sort puts problems and warnings into the order of the table; those of no setting come first, in the order in which
// they were found.
func (c *collector) sort() {
	slices.SortStableFunc(c.problems, func(a, b Problem) int { return cmp.Compare(c.rowOf(a.Key), c.rowOf(b.Key)) })
	slices.SortStableFunc(c.warnings, func(a, b Warning) int { return cmp.Compare(c.rowOf(a.Key), c.rowOf(b.Key)) })
	c.problems = slices.Compact(c.problems)
}

func (c *collector) rowOf(key string) int {
	return slices.IndexFunc(c.settings, func(s Setting) bool { return s.Key == key })
}

// loader turns what was collected into a Config.
type loader struct {
	*collector
	cfg     *Config
	origins map[string]string
	bad     map[string]bool // settings that were given and refused
}

// isGiven reports whether a setting was given anywhere, valid or not.
func (l *loader) isGiven(key string) bool {
	return l.origins[key] != "" && l.origins[key] != originDefault || l.bad[key]
}

// set converts one value and reports what is wrong with it.
func (l *loader) set(g given) {
	if l.unexpanded(g) {
		return
	}
	s := l.settings[g.index]
	err := s.set(l.cfg, g.raw)
	l.origins[s.Key] = g.source
	if err == nil {
		l.quotes(s, g)
		return
	}
	l.bad[s.Key] = true
	p := Problem{Key: s.Key, Source: g.source, Message: err.Error(), Allowed: s.Allowed}
	if r, ok := err.(*refusal); ok && !s.Secret {
		p.Nearest = r.nearest
	}
	if text, ok := g.raw.(string); ok && !s.Secret {
		if bare := unquoted(text); bare != text && s.set(&Config{}, bare) == nil {
			p.Message, p.Nearest = "the quotes are part of the value", bare
		}
		p.Value = hideSecrets(text)
	}
	if p.Message == changeMe {
		p.Allowed, p.Nearest = "", ""
	}
	l.problem(p)
}

// quotes warns of a text that begins and ends with a quote: if a list of variables in a compose file has
// NAME="value", the quotes are part of the value.
func (l *loader) quotes(s Setting, g given) {
	text, ok := g.raw.(string)
	if !ok || g.layer == layerFile || g.rank >= rankFile {
		return
	}
	if unquoted(text) != text {
		l.warn(s.Key, g.source, "begins and ends with a quote, which is taken as part of the value")
	}
}

func unquoted(text string) string {
	if n := len(text); n >= 2 && (text[0] == '"' || text[0] == '\'') && text[n-1] == text[0] {
		return trim(text[1 : n-1])
	}
	return text
}
