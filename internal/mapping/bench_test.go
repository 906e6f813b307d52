package mapping

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// indicatorPage is a page of n plain indicators, as PHP writes JSON.
func indicatorPage(n int) []byte {
	var b strings.Builder
	b.WriteString(`{"more":false,"objects":[`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"type":"indicator","spec_version":"2.1","id":"indicator--%08x-4f9c-4265-b1cf-f997a1bf7827",`+
			`"created":"2024-05-15T09:12:16.%03dZ","modified":"2024-05-15T09:12:16.%03dZ","name":"198.51.%d.%d",`+
			`"description":"Seen in connection with the distribution of a remote access trojan","indicator_types":["malicious-activity"],`+
			`"pattern":"[ipv4-addr:value = '198.51.%d.%d']","pattern_type":"stix","valid_from":"2024-05-15T09:12:16.432Z",`+
			`"labels":["Malware","Technology "],"confidence":80,`+
			`"external_references":[{"source_name":"ThreatMatch","url":"https:\/\/eu.threatmatch.com\/app\/reports\/view\/%d"}],`+
			`"object_marking_refs":["marking-definition--f88d31f6-486f-44da-b317-01333bde0b82"]}`,
			i, i%1000, i%1000, i/256%256, i%256, i/256%256, i%256, i)
	}
	b.WriteString(`]}`)
	return []byte(b.String())
}

func BenchmarkMapIndicators(b *testing.B) {
	for _, labels := range []string{LabelsNone, LabelsKnowledge} {
		b.Run(labels, func(b *testing.B) {
			m, err := New(Settings{ThreatActorAsIntrusionSet: true, Labels: labels})
			if err != nil {
				b.Fatal(err)
			}
			const n = 1000
			page := indicatorPage(n)
			b.SetBytes(int64(len(page)))
			b.ReportAllocs()
			for b.Loop() {
				if r := m.Map(Source{}, page); len(r.Objects) < n {
					b.Fatal(len(r.Objects))
				}
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "objects/s")
		})
	}
}

func BenchmarkMapProfile(b *testing.B) {
	m, err := New(Settings{ThreatActorAsIntrusionSet: true})
	if err != nil {
		b.Fatal(err)
	}
	body, err := os.ReadFile("testdata/profile.json")
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	objects := 0
	for b.Loop() {
		objects = len(m.Map(Source{}, body).Objects)
	}
	b.ReportMetric(float64(objects)*float64(b.N)/b.Elapsed().Seconds(), "objects/s")
}
