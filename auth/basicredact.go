package auth

import (
	"fmt"
	"log/slog"
)

// String describes b without its hashes.
func (b Basic) String() string {
	return fmt.Sprintf("auth.Basic{Realm: %q, %d users redacted}", b.Realm, len(b.Users))
}

// GoString is String, for %#v.
func (b Basic) GoString() string { return b.String() }

// LogValue is String, for slog.
func (b Basic) LogValue() slog.Value { return slog.StringValue(b.String()) }

// MarshalText is String, for encoding/json.
func (b Basic) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// String hides the hash: guesses can be tried on it.
func (passwordHash) String() string { return "redacted" }

// GoString is String, for %#v.
func (passwordHash) GoString() string { return "redacted" }

// String hides the key.
func (basicKey) String() string { return "redacted" }

// GoString is String, for %#v.
func (basicKey) GoString() string { return "redacted" }
