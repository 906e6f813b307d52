package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

const canary = "canary9f31c2xyzw" // also base64

func TestSecretHidesFromEveryWayOfPrinting(t *testing.T) {
	type nested struct {
		Shown  Secret
		inside Secret
		list   []Secret
		pem    PEM
	}
	s := NewSecret(canary)
	holder := nested{s, s, []Secret{s}, PEM{data: s}}
	header := Header{Name: "X-Key", Value: s}
	var out bytes.Buffer
	for _, v := range []any{s, &s, holder, &holder, []Secret{s}, map[string]Secret{"k": s}, header, PEM{data: s}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%10.3s", "%t"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		fmt.Fprintln(&out, v)
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatalf("%T: %v", v, err)
		}
		out.Write(text)
		for _, h := range []slog.Handler{slog.NewJSONHandler(&out, nil), slog.NewTextHandler(&out, nil)} {
			slog.New(h).Info("m", "v", v)
		}
	}
	fmt.Fprintln(&out, fmt.Errorf("wrapped %v", s))
	if strings.Contains(out.String(), canary) || strings.Contains(out.String(), fmt.Sprintf("%x", canary)) {
		t.Errorf("a secret shows in:\n%s", out.String())
	}
	if s.Reveal() != canary || !s.IsSet() {
		t.Error("the secret is lost")
	}
	if none := (Secret{}); none.IsSet() || none.Reveal() != "" || none.String() != "" {
		t.Error("the zero Secret is set")
	}
}
