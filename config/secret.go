package config

import (
	"fmt"
	"log/slog"
)

// hidden is what a secret is printed as.
const hidden = "***"

// Secret is a value that must not be printed. Every way of printing it (fmt, slog, encoding/json, text encoders)
// gives asterisks, or nothing if it is not set. The zero value is not set.
type Secret struct {
	// A pointer, so that fmt prints an address instead of the text if it finds a Secret in an unexported field and
	// cannot call its methods.
	value *string
}

// NewSecret returns a Secret with this value; an empty value is not set.
func NewSecret(value string) Secret {
	if value == "" {
		return Secret{}
	}
	return Secret{value: &value}
}

// Reveal returns the value itself, "" if not set.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// IsSet reports whether there is a value.
func (s Secret) IsSet() bool { return s.value != nil }

// String implements fmt.Stringer.
func (s Secret) String() string {
	if s.value == nil {
		return ""
	}
	return hidden
}

// Format implements fmt.Formatter, so that no verb shows the value.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText implements encoding.TextMarshaler.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
