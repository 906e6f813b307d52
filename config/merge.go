package config

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/v2"
)

const originDefault = "default"

// merge lets the highest layer win, setting by setting, converts the winners and warns if others have another value.
func (l *loader) merge() {
	l.dropSamples()
	order := l.order()
	slices.SortStableFunc(l.given, func(a, b given) int {
		return cmp.Or(cmp.Compare(order[b.layer], order[a.layer]), cmp.Compare(a.rank, b.rank))
	})
	winners := map[int]given{}
	layers := [len(order)]map[string]any{}
	for i := range layers {
		layers[i] = map[string]any{}
	}
	for i, s := range l.settings {
		if s.Default != "" {
			layers[order[layerDefault]][s.Key] = s.Default
			winners[i] = given{named: named{index: i}, source: originDefault}
		}
	}
	for _, g := range slices.Backward(l.given) {
		layers[order[g.layer]][l.settings[g.index].Key] = g.raw
		winners[g.index] = g
	}
	merged := koanf.New(".")
	for _, values := range layers {
		// Neither maps nor merging maps of texts can fail.
		_ = merged.Load(confmap.Provider(values, "."), nil)
	}
	for i, s := range l.settings {
		if g, ok := winners[i]; ok {
			g.raw = merged.Get(s.Key)
			l.set(g)
		}
	}
	for _, g := range l.given {
		l.differs(g, winners[g.index])
		l.oldName(g)
	}
	l.oldInterval(winners)
}

// order returns the rank of each layer: config.yml above the environment, or the other way round if
// connector.config_precedence says so. That setting itself is taken from the environment first, whatever it says.
func (l *loader) order() [layerFile + 1]int {
	order := [...]int{layerDefault: 0, layerDotenv: 1, layerEnv: 2, layerFile: 3}
	asked := func(g given) bool { return l.settings[g.index].Key == precedenceKey }
	inFile := func(g given) bool { return asked(g) && g.layer == layerFile }
	if slices.ContainsFunc(l.given, func(g given) bool { return asked(g) && !inFile(g) }) {
		l.given = slices.DeleteFunc(l.given, inFile)
	}
	i := slices.IndexFunc(l.given, asked)
	if i >= 0 && strings.EqualFold(rawText(l.given[i].raw), precedenceEnv) {
		order[layerEnv], order[layerFile] = order[layerFile], order[layerEnv]
	}
	return order
}

// differs warns if g lost against a value that is not the same.
func (l *loader) differs(g, winner given) {
	s := l.settings[g.index]
	if s.normal(g.raw) == s.normal(winner.raw) {
		return
	}
	here, there := "the value", "the other one"
	if !s.Secret {
		here, there = strconv.Quote(hideSecrets(rawText(winner.raw))), strconv.Quote(hideSecrets(rawText(g.raw)))
	}
	l.warn(s.Key, winner.source, "is set in two places: "+here+" here is used, not "+there+" of "+g.source)
}

// oldName warns of a name that will be dropped.
func (l *loader) oldName(g given) {
	if g.alias.removal == "" {
		return
	}
	s := l.settings[g.index]
	now := s.Env
	if g.layer == layerFile {
		now = s.Key
	}
	l.warn(s.Key, g.source, g.name+" is an old name of "+now+"; it is read until "+g.alias.removal)
}

// oldInterval uses threatmatch.interval, in minutes, if connector.duration_period is not given.
func (l *loader) oldInterval(winners map[int]given) {
	old, ok := winners[l.rowOf("threatmatch.interval")]
	if !ok || l.bad["threatmatch.interval"] {
		return
	}
	const period = "connector.duration_period"
	if l.isGiven(period) {
		l.warn("threatmatch.interval", old.source, "is an old setting; it is ignored, as "+period+" is set by "+l.origins[period])
		return
	}
	n := strconv.Itoa(l.cfg.interval)
	text := "PT" + n + "M"
	l.warn("threatmatch.interval", old.source, "is an old setting; it is read as minutes, until "+intervalRemoval+
		"; write "+period+" = "+text+" (CONNECTOR_DURATION_PERIOD), or P"+n+"D if your Python connector was of July 2026 or later: those counted days")
	l.set(given{named: named{index: l.rowOf(period)}, raw: text, source: old.source})
}
