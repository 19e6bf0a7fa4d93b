package auth

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
)

// As in redact.go, for what goes to backends. Those with a lock in them have pointers for
// receivers; printed by value, it is each [Secret] in them that describes itself.

// String describes c without its secret.
func (c *ClientCredentials) String() string {
	return fmt.Sprintf("auth.ClientCredentials{ClientID: %q, Audience: %q, secret redacted}", c.ClientID, c.Audience)
}

// GoString is String, for %#v.
func (c *ClientCredentials) GoString() string { return c.String() }

// LogValue is String, for slog.
func (c *ClientCredentials) LogValue() slog.Value { return slog.StringValue(c.String()) }

// MarshalText is String, for encoding/json.
func (c *ClientCredentials) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// String describes x without its secrets.
func (x *TokenExchange) String() string {
	return fmt.Sprintf("auth.TokenExchange{ClientID: %q, Audience: %q, secrets redacted}", x.ClientID, x.Audience)
}

// GoString is String, for %#v.
func (x *TokenExchange) GoString() string { return x.String() }

// LogValue is String, for slog.
func (x *TokenExchange) LogValue() slog.Value { return slog.StringValue(x.String()) }

// MarshalText is String, for encoding/json.
func (x *TokenExchange) MarshalText() ([]byte, error) { return []byte(x.String()), nil }

// String describes s without the values.
func (s *Static) String() string {
	return fmt.Sprintf("auth.Static{Set: %q, values redacted}", slices.Sorted(maps.Keys(s.Set)))
}

// GoString is String, for %#v.
func (s *Static) GoString() string { return s.String() }

// LogValue is String, for slog.
func (s *Static) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText is String, for encoding/json.
func (s *Static) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// String describes p without the password.
func (p *Password) String() string {
	return fmt.Sprintf("auth.Password{User: %q, password redacted}", p.User)
}

// GoString is String, for %#v.
func (p *Password) GoString() string { return p.String() }

// LogValue is String, for slog.
func (p *Password) LogValue() slog.Value { return slog.StringValue(p.String()) }

// MarshalText is String, for encoding/json.
func (p *Password) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// String describes c without its keys.
func (c IssuerConfig) String() string {
	return fmt.Sprintf("auth.IssuerConfig{Issuer: %q, %d keys redacted}", c.Issuer, len(c.Keys))
}

// GoString is String, for %#v.
func (c IssuerConfig) GoString() string { return c.String() }

// LogValue is String, for slog.
func (c IssuerConfig) LogValue() slog.Value { return slog.StringValue(c.String()) }

// MarshalText is String, for encoding/json.
func (c IssuerConfig) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// String describes i without its keys.
func (i *Issuer) String() string {
	return fmt.Sprintf("auth.Issuer{Issuer: %q, keys redacted}", i.config.Issuer)
}

// GoString is String, for %#v.
func (i *Issuer) GoString() string { return i.String() }

// LogValue is String, for slog.
func (i *Issuer) LogValue() slog.Value { return slog.StringValue(i.String()) }

// MarshalText is String, for encoding/json.
func (i *Issuer) MarshalText() ([]byte, error) { return []byte(i.String()), nil }
