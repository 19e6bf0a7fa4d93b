package auth

import (
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// What holds secrets describes itself without them: to package fmt by Format, whatever the
// verb (by String alone %d would show them), and by String and GoString, to slog by
// LogValue, and by MarshalText to encoders of a configuration that has it as a part. Those
// with a lock in them have pointers for receivers; printed by value, it is each [Secret] in
// them that describes itself.

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

// String describes i without its secret, and without the query of the URL.
func (i Introspection) String() string {
	where, _, _ := strings.Cut(i.URL, "?")
	if u, err := url.Parse(where); err != nil || u.User != nil {
		where = "redacted"
	}
	return fmt.Sprintf("auth.Introspection{URL: %q, ClientID: %q, secret redacted}", where, i.ClientID)
}

// GoString is String, for %#v.
func (i Introspection) GoString() string { return i.String() }

// LogValue is String, for slog.
func (i Introspection) LogValue() slog.Value { return slog.StringValue(i.String()) }

// MarshalText is String, for encoding/json.
func (i Introspection) MarshalText() ([]byte, error) { return []byte(i.String()), nil }

// String describes s without its keys.
func (s Signature) String() string {
	return fmt.Sprintf("auth.Signature{Label: %q, Tag: %q, %d keys redacted}", s.Label, s.Tag, len(s.Keys))
}

// GoString is String, for %#v.
func (s Signature) GoString() string { return s.String() }

// LogValue is String, for slog.
func (s Signature) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText is String, for encoding/json.
func (s Signature) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// String shows nothing of the key.
func (k SignatureKey) String() string { return "auth.SignatureKey{redacted}" }

// GoString is String, for %#v.
func (k SignatureKey) GoString() string { return k.String() }

// LogValue is String, for slog.
func (k SignatureKey) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalText is String, for encoding/json.
func (k SignatureKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

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

// String says nothing of the key.
func (signerText) String() string { return "auth.Signer{key redacted}" }

// GoString is String, for %#v.
func (t signerText) GoString() string { return t.String() }

// LogValue is String, for slog.
func (t signerText) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalText is String, for encoding/json.
func (t signerText) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

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
func (t signerText) Format(f fmt.State, _ rune) { describeTo(f, t) }

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
