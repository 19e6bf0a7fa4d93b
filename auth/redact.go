package auth

import (
	"fmt"
	"log/slog"
)

// What holds secrets describes itself without them: to package fmt by Format, whatever the
// verb (by String alone %d would show them), and by String and GoString, to slog by LogValue, and by MarshalText to encoders of a configuration
// that has it as a part.

// String describes j without its keys.
func (j JWT) String() string {
	return fmt.Sprintf("auth.JWT{Issuer: %q, Audience: %q, keys redacted}", j.Issuer, j.Audience)
}

// GoString is String, for %#v.
func (j JWT) GoString() string { return j.String() }

// LogValue is String, for slog.
func (j JWT) LogValue() slog.Value { return slog.StringValue(j.String()) }

// MarshalText is String, for encoding/json.
func (j JWT) MarshalText() ([]byte, error) { return []byte(j.String()), nil }

// String describes k without the keys.
func (k KeySet) String() string { return fmt.Sprintf("auth.KeySet{%d redacted}", len(k)) }

// GoString is String, for %#v.
func (k KeySet) GoString() string { return k.String() }

// LogValue is String, for slog.
func (k KeySet) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalText is String, for encoding/json.
func (k KeySet) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// String describes a without its keys.
func (a APIKey) String() string {
	where := fmt.Sprintf("Header: %q", a.header())
	switch {
	case a.Query != "":
		where = fmt.Sprintf("Query: %q", a.Query)
	case a.Cookie != "":
		where = fmt.Sprintf("Cookie: %q", a.Cookie)
	}
	return fmt.Sprintf("auth.APIKey{%s, %d keys redacted}", where, len(a.Keys))
}

// GoString is String, for %#v.
func (a APIKey) GoString() string { return a.String() }

// LogValue is String, for slog.
func (a APIKey) LogValue() slog.Value { return slog.StringValue(a.String()) }

// MarshalText is String, for encoding/json.
func (a APIKey) MarshalText() ([]byte, error) { return []byte(a.String()), nil }
