package mapping

import (
	"cmp"
	"fmt"

	"threatmatch-connector/internal/facts"
	"threatmatch-connector/internal/mapping/markup"
	"threatmatch-connector/internal/stix"
)

// Values of Settings.Labels.
const (
	LabelsKnowledge = "knowledge" // labels become entities, relationships and typed properties; no label is kept
	LabelsAll       = "all"       // as knowledge, and every label is kept
	LabelsNone      = "none"      // all labels are removed and nothing is made of them
)

// Values of Settings.Description.
const (
	DescriptionMarkdown = "markdown"
	DescriptionText     = "text"
)

// Settings are the user's choices. Empty strings mean the defaults amber, knowledge and markdown. Package config has
// checked words and ranges.
type Settings struct {
	// TLP is the level for objects without a marking: clear, white, green, amber,
	// amber+strict, red.
	TLP string
	// ThreatActorAsIntrusionSet turns threat actors into intrusion sets.
	ThreatActorAsIntrusionSet bool
	// Labels is one of the Labels… constants.
	Labels string
	// Description is one of the Description… constants.
	Description string
	// URL is the address of ThreatMatch. Relative addresses in texts are resolved
	// against it, and pictures from it are shown. Without it neither happens.
	URL string
	// CreateObservables asks OpenCTI to create observables from indicators.
	CreateObservables bool
	// Confidence is the legacy confidence_level for relationships without a
	// confidence: 1 to 4 mean 15, 50, 75, 85; 5 to 100 are taken as they are; 0 =
	// off.
	Confidence int
	// PlatformVersion returns the version that the platform reports, "" while it is
	// unknown; nil means never known. It must be safe for concurrent use.
	PlatformVersion func() string
	Choices
}

// Mapper maps records. It is safe for concurrent use.
type Mapper struct {
	settings   Settings
	tlp        stix.TLP
	author     *stix.Object
	confidence int
	choices    *choices
	places     *gazetteer
	markup     *markup.Converter
	text       func(string) string // of long texts

	relationships facts.Relationships
	shapes        map[string]shape
}

// New returns a mapper. Errors name the setting.
func New(s Settings) (*Mapper, error) {
	s.TLP = cmp.Or(s.TLP, "amber")
	s.Labels = cmp.Or(s.Labels, LabelsKnowledge)
	s.Description = cmp.Or(s.Description, DescriptionMarkdown)
	m := &Mapper{
		settings: s, author: newAuthor(), places: newGazetteer(), confidence: legacyConfidence(s.Confidence),
		shapes: readShapes(), relationships: facts.ReadRelationships(),
	}
	var ok bool
	if m.tlp, ok = stix.FindTLP(s.TLP); !ok {
		return nil, fmt.Errorf("tlp level %q: not one of clear, white, green, amber, amber+strict, red", s.TLP)
	}
	var err error
	if m.markup, err = markup.New(s.URL); err != nil {
		return nil, fmt.Errorf("address of ThreatMatch: %w", err)
	}
	if m.text = m.markup.Markdown; s.Description == DescriptionText {
		m.text = m.markup.Text
	}
	m.choices, err = newChoices(s, m.tlp)
	return m, err
}

// legacyConfidence is the scale that connectors of 2021 to 2025 used.
func legacyConfidence(level int) int {
	if level >= 1 && level <= 4 {
		return [...]int{15, 50, 75, 85}[level-1]
	}
	return level
}
