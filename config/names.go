package config

import (
	"cmp"
	"slices"
	"strings"
)

// names finds a setting by any name that it can be given by.
type names struct {
	settings []Setting
	byEnv    map[string]named // by variable, in upper case
	byPath   map[string]named // by path in config.yml, in lower case
	ignored  map[string]string
}

// named is what a name stands for.
type named struct {
	index int // in settings
	alias alias
}

func newNames() *names {
	n := &names{settings: Settings(), byEnv: map[string]named{}, byPath: map[string]named{}, ignored: known()}
	for i, s := range n.settings {
		n.byEnv[s.Env] = named{index: i}
		n.byPath[s.Key] = named{index: i}
	}
	for i, s := range n.settings {
		for _, a := range s.aliases {
			if a.top {
				n.byPath[a.name] = named{i, a}
				continue
			}
			n.byEnv[a.name] = named{i, a}
			if path, ok := pathOf(a.name); ok {
				n.byPath[path] = named{i, a}
			}
		}
	}
	// A variable's name at the top of config.yml: the table in the first documentation has it in its column of
	// parameters.
	for env, what := range n.byEnv {
		if path := strings.ToLower(env); n.byPath[path] == (named{}) {
			n.byPath[path] = what
		}
	}
	return n
}

// pathOf returns the path in config.yml that corresponds to a variable of a section.
func pathOf(env string) (string, bool) {
	prefix, rest, found := strings.Cut(strings.ToLower(env), "_")
	return prefix + "." + rest, found && isSection(prefix)
}

// isSection reports whether name is a section of config.yml, ours or one that holds only settings without a meaning
// here.
func isSection(name string) bool {
	return name == "s3" || name != "" && slices.ContainsFunc(sections(), func(s section) bool { return s.name == name })
}

func (n *names) env(name string) (named, bool) {
	what, ok := n.byEnv[strings.ToUpper(name)]
	return what, ok
}

func (n *names) path(path string) (named, bool) {
	what, ok := n.byPath[strings.ToLower(path)]
	return what, ok
}

// meaningless returns why a known name has no meaning here; "" for one that needs no warning.
func (n *names) meaningless(env string) (reason string, ok bool) {
	env = strings.ToUpper(env)
	if reason, ok = n.ignored[env]; ok {
		return reason, true
	}
	for _, family := range []string{"CONNECTOR_LISTEN_PROTOCOL", "CONNECTOR_LIVE_STREAM_", "CONNECTOR_SEND_TO_S3"} {
		if strings.HasPrefix(env, family) {
			return n.ignored[family], true
		}
	}
	return "", false
}

// ours reports whether a variable's name begins like those of our sections.
func ours(env string) bool {
	prefix, _, found := strings.Cut(strings.ToLower(env), "_")
	return found && prefix != "s3" && isSection(prefix)
}

// nearEnv returns the variable that name is probably a misspelling of.
func (n *names) nearEnv(name string) string {
	name = strings.ToUpper(name)
	base, isFile := strings.CutSuffix(name, fileSuffix)
	if _, rest, ok := strings.Cut(base, "_"); ok && ours(base) {
		if moved := n.inOtherSection(strings.ToLower(rest)); moved >= 0 {
			base = n.settings[moved].Env
		}
	}
	all := n.list(func(s Setting) string { return s.Env })
	near := cmp.Or(beginning(base, all), nearest(base, all))
	if near != "" && isFile {
		near += fileSuffix
	}
	return near
}

// nearPath returns the path in config.yml that path is probably a misspelling of.
func (n *names) nearPath(path string) string {
	_, rest, found := strings.Cut(path, ".")
	if !found {
		rest = path
	}
	if moved := n.inOtherSection(strings.ToLower(rest)); moved >= 0 {
		return n.settings[moved].Key
	}
	near := nearest(path, n.list(func(s Setting) string { return s.Key }))
	if near == "" && !found {
		var all []string
		for _, s := range sections() {
			all = append(all, s.name)
		}
		near = nearest(path, all)
	}
	return near
}

// inOtherSection returns the setting that has this name in some section, -1 if none does.
func (n *names) inOtherSection(rest string) int {
	return slices.IndexFunc(n.settings, func(s Setting) bool {
		_, name, found := strings.Cut(s.Key, ".")
		return found && name == rest
	})
}

func (n *names) list(of func(Setting) string) []string {
	var all []string
	for _, s := range n.settings {
		if s.Legacy == "" {
			all = append(all, of(s))
		}
	}
	return all
}
