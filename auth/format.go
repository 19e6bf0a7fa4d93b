package auth

import (
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"
)

// describeTo writes what v says of itself, by whatever verb it is printed.
func describeTo(f fmt.State, v fmt.Stringer) { _, _ = io.WriteString(f, v.String()) }

// Format is String, for every verb of package fmt.
func (j JWT) Format(f fmt.State, _ rune) { describeTo(f, j) }

// Format is String, for every verb of package fmt.
func (k KeySet) Format(f fmt.State, _ rune) { describeTo(f, k) }

// Format is String, for every verb of package fmt.
func (a APIKey) Format(f fmt.State, _ rune) { describeTo(f, a) }

// Format is String, for every verb of package fmt.
func (b Basic) Format(f fmt.State, _ rune) { describeTo(f, b) }

// Format is String, for every verb of package fmt.
func (i Introspection) Format(f fmt.State, _ rune) { describeTo(f, i) }

// Format is String, for every verb of package fmt.
func (s Signature) Format(f fmt.State, _ rune) { describeTo(f, s) }

// Format is String, for every verb of package fmt.
func (k SignatureKey) Format(f fmt.State, _ rune) { describeTo(f, k) }

// Format is String, for every verb of package fmt.
func (f ForwardAuth) Format(to fmt.State, _ rune) { describeTo(to, f) }

// Format is String, for every verb of package fmt.
func (c *ClientCredentials) Format(f fmt.State, _ rune) { describeTo(f, c) }

// Format is String, for every verb of package fmt.
func (x *TokenExchange) Format(f fmt.State, _ rune) { describeTo(f, x) }

// Format is String, for every verb of package fmt.
func (s *Static) Format(f fmt.State, _ rune) { describeTo(f, s) }

// Format is String, for every verb of package fmt.
func (p *Password) Format(f fmt.State, _ rune) { describeTo(f, p) }

// Format is String, for every verb of package fmt.
func (s Signer) Format(f fmt.State, _ rune) { describeTo(f, s) }

// Format is String, for every verb of package fmt.
func (c IssuerConfig) Format(f fmt.State, _ rune) { describeTo(f, c) }

// Format is String, for every verb of package fmt.
func (i *Issuer) Format(f fmt.State, _ rune) { describeTo(f, i) }

// Format hides it from every verb.
func (v passwordHash) Format(f fmt.State, _ rune) { describeTo(f, v) }

// Format hides it from every verb.
func (v basicKey) Format(f fmt.State, _ rune) { describeTo(f, v) }

// String describes f without what its URL may hold besides the place.
func (f ForwardAuth) String() string { return fmt.Sprintf("auth.ForwardAuth{URL: %q}", placeOf(f.URL)) }

// GoString is String, for %#v.
func (f ForwardAuth) GoString() string { return f.String() }

// LogValue is String, for slog.
func (f ForwardAuth) LogValue() slog.Value { return slog.StringValue(f.String()) }

// MarshalText is String, for encoding/json.
func (f ForwardAuth) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// placeOf returns an URL without its query, and nothing of one with a password.
func placeOf(address string) string {
	where, _, _ := strings.Cut(address, "?")
	if u, err := url.Parse(where); err != nil || u.User != nil {
		return "redacted"
	}
	return where
}
