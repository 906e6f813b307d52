package delivery

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "rewrite golden files")

// TestEnvelopeGolden fixes the bytes of the message: a repeat must equal them.
func TestEnvelopeGolden(t *testing.T) {
	object := `{"type":"malware","id":"malware--7c2b5a0e-6f5c-4a0e-8f0f-0a1b2c3d4e5f","name":"größer \"x\"","is_family":true}`
	for name, e := range map[string]Envelope{
		"with-work": {ApplicantID: "88ec0c6a-13ce-5e39-b486-354fe4a7084f", WorkID: "work_c_2026-11-01T10:00:00.123Z", Sequence: 7,
			BundleID: "bundle--1f0e9d3c-11aa-4b6e-9e57-5f0d7a6a1c11", Deps: 3},
		"without-work": {Update: true, Sequence: 1, BundleID: "bundle--x"},
	} {
		e.Object = []byte(object)
		got, err := AppendEnvelope([]byte("kept"), e)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(got, []byte("kept")) {
			t.Fatalf("%s: what was there is gone", name)
		}
		path := filepath.Join("testdata", "envelope", name+".json")
		if *update {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, got[4:], 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got[4:], want) {
			t.Errorf("%s:\n%s\nwant\n%s", name, got[4:], want)
		}
	}
}

// TestEnvelope decodes the message as OpenCTI's worker does.
func TestEnvelope(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String()
		e := Envelope{
			ApplicantID: text.Draw(t, "applicant"), WorkID: text.Draw(t, "work"), Update: rapid.Bool().Draw(t, "update"),
			Sequence: rapid.IntRange(1, 1e6).Draw(t, "sequence"), BundleID: text.Draw(t, "bundle"), Deps: rapid.Uint32().Draw(t, "deps"),
		}
		size := rapid.IntRange(0, 10_000).Draw(t, "size")
		object, _ := json.Marshal(map[string]any{"type": "note", "content": strings.Repeat("x", size), "t": text.Draw(t, "t")})
		e.Object = object
		message, err := AppendEnvelope(nil, e)
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			BundleType  string  `json:"bundle_type"`
			Applicant   string  `json:"applicant_id"`
			Sequence    int     `json:"action_sequence"`
			Types       []any   `json:"entities_types"`
			Content     string  `json:"content"`
			Update      bool    `json:"update"`
			Draft       *string `json:"draft_id"`
			NoSplit     *bool   `json:"no_split"`
			WorkID      *string `json:"work_id"`
			Synchronzed any     `json:"synchronized"`
		}
		d := json.NewDecoder(bytes.NewReader(message))
		d.DisallowUnknownFields()
		if err := d.Decode(&got); err != nil {
			t.Fatal(err)
		}
		clean := func(s string) string { return strings.ToValidUTF8(s, "\ufffd") }
		if got.BundleType != "QUEUE_BUNDLE" || got.Applicant != clean(e.ApplicantID) || got.Sequence != e.Sequence || got.Types == nil ||
			len(got.Types) != 0 || got.Update != e.Update || got.Draft != nil || got.NoSplit == nil || *got.NoSplit ||
			(got.WorkID == nil) != (e.WorkID == "") || (got.WorkID != nil && *got.WorkID != clean(e.WorkID)) {
			t.Fatalf("message %s", message)
		}
		content, err := base64.StdEncoding.DecodeString(got.Content)
		if err != nil {
			t.Fatal(err)
		}
		var bundle struct {
			Type    string            `json:"type"`
			ID      string            `json:"id"`
			Version string            `json:"spec_version"`
			Seq     uint32            `json:"x_opencti_seq"`
			Objects []json.RawMessage `json:"objects"`
		}
		if err := json.Unmarshal(content, &bundle); err != nil {
			t.Fatal(err)
		}
		if bundle.Type != "bundle" || bundle.ID != clean(e.BundleID) || bundle.Version != "2.1" || bundle.Seq != e.Deps ||
			len(bundle.Objects) != 1 || string(bundle.Objects[0]) != fmt.Sprintf(`%s,"nb_deps":%d}`, object[:len(object)-1], e.Deps) {
			t.Fatalf("bundle %s", content)
		}
		// In a buffer with room it is the same, and needs no other buffer.
		room := make([]byte, 0, len(message))
		if again, err := AppendEnvelope(room, e); err != nil || !bytes.Equal(again, message) {
			t.Fatal("another message in a buffer with room")
		}
	})
}

// TestEnvelopeOfNoObject: there is no message of what is not a JSON object.
func TestEnvelopeOfNoObject(t *testing.T) {
	for _, object := range []string{"", "[]", `"text"`, "{"} {
		if got, err := AppendEnvelope(nil, Envelope{Sequence: 7, BundleID: "b", Object: []byte(object)}); err == nil {
			t.Errorf("object %q: got %s, want an error", object, got)
		}
	}
}

func TestEnvelopeAllocations(t *testing.T) {
	e := Envelope{ApplicantID: "a", WorkID: "w", Sequence: 1, BundleID: "b", Object: append(bytes.Repeat([]byte("x"), 1<<20), '}')}
	buf, err := AppendEnvelope(nil, e)
	if err != nil {
		t.Fatal(err)
	}
	per := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			buf, _ = AppendEnvelope(buf[:0], e)
		}
	}).AllocedBytesPerOp()
	if per > 4096 {
		t.Errorf("%d bytes a message of a megabyte", per)
	}
}

// TestStringsAreThoseOfEncodingJSON compares the fast path for plain text with encoding/json.
func TestStringsAreThoseOfEncodingJSON(t *testing.T) {
	for c := range rune(0x3000) {
		s := "a" + string(c) + "z"
		want, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if got := appendString(nil, s); string(got) != string(want) {
			t.Fatalf("%q: %s, want %s", s, got, want)
		}
	}
}
