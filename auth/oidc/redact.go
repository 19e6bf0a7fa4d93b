package oidc

import (
	"fmt"
	"log/slog"
)

// String describes c without its secrets.
func (c Config) String() string {
	return fmt.Sprintf("oidc.Config{Issuer: %q, ClientID: %q, URL: %q, secrets redacted}", c.Issuer, c.ClientID, c.URL)
}

// GoString is String, for %#v.
func (c Config) GoString() string { return c.String() }

// LogValue is String, for slog.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

// MarshalText is String, for encoding/json.
func (c Config) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// String describes l without its secrets.
func (l *Login) String() string {
	return fmt.Sprintf("oidc.Login{Issuer: %q, ClientID: %q, secrets redacted}", l.provider.issuer, l.provider.id)
}

// GoString is String, for %#v.
func (l *Login) GoString() string { return l.String() }

// LogValue is String, for slog.
func (l *Login) LogValue() slog.Value { return slog.StringValue(l.String()) }

// MarshalText is String, for encoding/json.
func (l *Login) MarshalText() ([]byte, error) { return []byte(l.String()), nil }
