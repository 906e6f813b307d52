package config

import (
	"bytes"
	"encoding/json"
	"io"
)

const title = "ThreatMatch"

// manifest is how OpenCTI's catalogue describes a connector.
type manifest struct {
	Title             string   `json:"title"`
	Slug              string   `json:"slug"`
	Description       string   `json:"description"`
	ShortDescription  string   `json:"short_description"`
	Logo              *string  `json:"logo"`
	UseCases          []string `json:"use_cases"`
	Categories        []string `json:"solution_categories"`
	LicenseType       string   `json:"license_type"`
	Contact           *string  `json:"contact"`
	Verified          bool     `json:"verified"`
	LastVerified      *string  `json:"last_verified_date"`
	PlaybookSupported bool     `json:"playbook_supported"`
	MaxConfidence     int      `json:"max_confidence_level"`
	SupportVersion    string   `json:"support_version"`
	SubscriptionLink  *string  `json:"subscription_link"`
	SourceCode        *string  `json:"source_code"`
	ManagerSupported  bool     `json:"manager_supported"`
	ContainerVersion  string   `json:"container_version"`
	ContainerImage    string   `json:"container_image"`
	ContainerType     string   `json:"container_type"`
}

func theManifest() manifest {
	return manifest{
		Title: title, Slug: slug,
		Description: "Imports ThreatMatch intelligence (profiles, alerts, reports and IOCs) into OpenCTI as STIX 2.1. " +
			"Everything fetched is kept in a spool on disk until the platform's queue has confirmed it, so that crashes and outages lose nothing.",
		ShortDescription: "Imports profiles, alerts, reports and IOCs from ThreatMatch into OpenCTI, without loss.",
		UseCases:         []string{"Adversary & Campaign Insights"},
		Categories:       []string{"Threat Intelligence Feed"},
		LicenseType:      "Commercial",
		MaxConfidence:    75,
		SupportVersion:   ">=6.7.5", // the oldest version that the tests stand in for
		ManagerSupported: true,
		ContainerVersion: "rolling",
		ContainerImage:   "opencti/connector-threatmatch",
		ContainerType:    "EXTERNAL_IMPORT",
	}
}

// WriteManifest writes the connector's description for OpenCTI's catalogue.
func WriteManifest(w io.Writer) error {
	return indented(w).Encode(theManifest())
}

// WriteCatalog writes a catalogue of only this connector, manifest and schema together, for a platform to offer
// beside its own: APP__CUSTOM_CATALOGS names such files.
func WriteCatalog(w io.Writer) error {
	var schema bytes.Buffer
	if err := WriteSchema(&schema); err != nil {
		return err
	}
	type contract struct {
		manifest
		ConfigSchema json.RawMessage `json:"config_schema"`
	}
	return indented(w).Encode(struct {
		ID          string     `json:"id"`
		Name        string     `json:"name"`
		Description string     `json:"description"`
		Contracts   []contract `json:"contracts"`
	}{
		ID: "threatmatch-connector", Name: title, Description: "threatmatch-connector, managed by the platform",
		Contracts: []contract{{theManifest(), schema.Bytes()}},
	})
}
