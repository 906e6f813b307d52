package config

import (
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// layer is a place that values come from. merge decides which layer wins.
type layer int

const (
	layerDefault layer = iota
	layerDotenv
	layerEnv
	layerFile
)

// Order within one layer: a setting's own name wins over an older one, the value over a file that holds it.
const (
	rankName = iota
	rankAlias
	rankFile
	rankCredential
)

// given is one value as it was found somewhere.
type given struct {
	named
	layer  layer
	rank   int
	raw    any    // string or []string
	source string // "config.yml:12", "environment THREATMATCH_URL"
	name   string // the name that it was given by
}

// collector collects every value, and what is wrong with how it was given.
type collector struct {
	*names
	dir      string
	given    []given
	problems Problems
	warnings []Warning
	told     map[string]bool // warnings that were added already
}

func (c *collector) problem(p Problem) { c.problems = append(c.problems, p) }

func (c *collector) warn(key, source, message string) {
	w := Warning{Key: key, Source: source, Message: message}
	if id := w.String(); !c.told[id] {
		c.told[id] = true
		c.warnings = append(c.warnings, w)
	}
}

// add takes a value, unless it is empty: that is the same as not set.
func (c *collector) add(g given) {
	if trim(rawText(g.raw)) == "" {
		return
	}
	if text, ok := g.raw.(string); ok {
		g.raw = trim(text)
	}
	if g.rank == rankName && g.alias.name != "" {
		g.rank = rankAlias
	}
	c.given = append(c.given, g)
}

const fileSuffix = "_FILE"

// maxValue bounds, in bytes, what is read of a file with one value.
const maxValue = 1 << 20

// addFile takes the value in the file at path. Messages name the path only once the file is read: it may be a secret
// in the wrong place.
func (c *collector) addFile(g given, path string) {
	path = trim(path)
	if path == "" {
		return
	}
	s := c.settings[g.index]
	text, err := readLimited(inDir(c.dir, path), maxValue)
	if err != nil {
		p := Problem{Key: s.Key, Source: g.source, Message: err.Error(), Allowed: "the path of a file that holds the value"}
		if !s.Secret {
			p.Value = path
		}
		c.problem(p)
		return
	}
	g.raw = strings.TrimPrefix(string(text), "\uFEFF")
	g.source += " (file " + path + ")"
	g.rank = max(g.rank, rankFile)
	c.add(g)
}

// readEnv takes the variables of one layer; source says where a variable comes from.
func (c *collector) readEnv(vars map[string]string, l layer, source func(name string) string) {
	for _, name := range slices.SortedFunc(maps.Keys(vars), upperFirst) {
		value := vars[name]
		g := given{layer: l, source: source(name), name: name}
		if what, ok := c.env(name); ok {
			if serviceLink(name, value) {
				c.warn(c.settings[what.index].Key, g.source, "looks like an address that Kubernetes sets for a service of that name; it is ignored")
				continue
			}
			g.named, g.raw = what, value
			c.add(g)
			continue
		}
		if base, ok := strings.CutSuffix(strings.ToUpper(name), fileSuffix); ok {
			if what, ok := c.env(base); ok {
				g.named = what
				c.addFile(g, value)
				continue
			}
		}
		c.unknownEnv(name, value, g.source)
	}
}

func (c *collector) unknownEnv(name, value, source string) {
	if reason, ok := c.meaningless(name); ok {
		if reason != "" && trim(value) != "" {
			c.warn(strings.ToUpper(name), source, "has no meaning here: "+reason)
		}
		return
	}
	if !ours(name) || serviceLink(name, value) {
		return
	}
	message := "is not a known setting; it is ignored"
	if near := c.nearEnv(name); near != "" {
		message += "; did you mean " + near + "?"
	}
	c.warn(name, source, message)
}

var (
	serviceName  = regexp.MustCompile(`(?i)_(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT_[0-9]+_(?:TCP|UDP|SCTP)(?:_(?:ADDR|PORT|PROTO))?)$`)
	serviceValue = regexp.MustCompile(`^(?:tcp|udp|sctp)://[0-9A-Fa-f.:\[\]]+$`)
)

// serviceLink reports whether a variable is one of those that Kubernetes and Docker set for services beside a
// container.
func serviceLink(name, value string) bool {
	return serviceName.MatchString(name) ||
		strings.HasSuffix(strings.ToUpper(name), "_PORT") && serviceValue.MatchString(value)
}

// readCredentials takes systemd's credentials: files named like the variables or like the paths in config.yml, in
// either case.
func (c *collector) readCredentials(dir string) {
	entries, err := readNames(inDir(c.dir, dir))
	if err != nil {
		c.warn("CREDENTIALS_DIRECTORY", "environment CREDENTIALS_DIRECTORY", err.Error())
		return
	}
	for _, name := range entries {
		what, ok := c.env(strings.NewReplacer(".", "_", "-", "_").Replace(name))
		g := given{named: what, layer: layerEnv, rank: rankCredential, source: "credential " + name, name: name}
		switch {
		case ok:
			c.addFile(g, filepath.Join(dir, name))
		case ours(strings.ReplaceAll(name, ".", "_")):
			c.unknownEnv(name, "", g.source)
		}
	}
}
