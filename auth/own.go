package auth

import (
	"crypto/sha256"
	"net/http"
	"net/url"
	"reflect"
	"strings"
)

// isOwn reports whether a is of a type of this package. A type of the user's that embeds
// one has its unexported methods as well, but means its own Authenticate to be called.
func isOwn(a Authenticator) bool {
	t := reflect.TypeOf(a)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.PkgPath() == reflect.TypeFor[guard]().PkgPath()
}

// verifiesBearer reports whether a lets in only by the bearer token of the very request
// that it is given, and none that has expired. What a [Map] makes of it may.
func verifiesBearer(a Authenticator) bool {
	switch a := a.(type) {
	case *verifier, *introspector:
		return true
	case mapping:
		return verifiesBearer(a.Authenticator)
	case bearerMapping:
		return verifiesBearer(a.Authenticator)
	}
	return false
}

// tokenSum is the SHA-256 of a bearer token.
type tokenSum [sha256.Size]byte

func sumOf(token string) *tokenSum {
	sum := tokenSum(sha256.Sum256([]byte(token)))
	return &sum
}

// token returns the bearer token of r if it is the one that p has come by: an authenticator
// of the user's may have found p by another request, or remembered it.
func (c *check) token(r *http.Request, p *Principal) Secret {
	if p.kind != bearerToken {
		return ""
	}
	if c.verifies { // so there is one Authorization, of the scheme Bearer
		return Secret(strings.TrimLeft(r.Header[authorization][0][len("Bearer "):], " "))
	}
	token, _, _ := bearer(r)
	if p.token == nil || *sumOf(token) != *p.token {
		return ""
	}
	return Secret(token)
}

// anonymous is the type of Anonymous.
type anonymous struct{}

// Authenticate is part of [Authenticator].
func (anonymous) Authenticate(*http.Request) (*Principal, error) { return nobody, nil }

// complete returns r with a header and an URL. A server's request has both, one that was
// made by hand may have neither.
func complete(r *http.Request) *http.Request {
	if r.Header != nil && r.URL != nil {
		return r
	}
	r = r.WithContext(r.Context())
	if r.Header == nil {
		r.Header = make(http.Header)
	}
	if r.URL == nil {
		r.URL = &url.URL{Path: "/"}
	}
	return r
}

// removeSent removes what a backend could take for the field of that name, in the header
// of r and, if it is announced, behind the body.
func removeSent(r *http.Request, name string) {
	removeField(r.Header, name)
	removeField(r.Trailer, name)
}
