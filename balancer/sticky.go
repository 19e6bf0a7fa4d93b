package balancer

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// Session is how [Sticky] marks a client.
type Session struct {
	// Name is the cookie's. Pools that serve the same site need different ones. Empty
	// means "gateway-endpoint".
	Name string

	Path     string        // where the cookie is sent. Empty: everywhere, "/"
	Domain   string        // to which hosts it is sent. Empty: only to the one that has set it
	MaxAge   time.Duration // how long it is kept from when it was set, at least a second. Zero: until the browser is closed
	SameSite http.SameSite // whether other sites' requests carry it. Zero: Lax
	Insecure bool          // it is sent over plain HTTP as well. False: only over HTTPS

	Balancer Balancer // chooses for a request without a session. Nil: LeastLatency
}

// Sticky returns a balancer that keeps a client at the endpoint which has answered it
// first, for backends that hold sessions in memory. The endpoint is named by a cookie:
// by a keyed hash (HMAC-SHA256) of its address, from which the address cannot be had, and
// which a client cannot make for another. Gateways with the same key and Name agree.
//
// If the endpoint is not ready, or is no longer there, another is chosen and the session
// goes on at that one. A 5xx begins no session. The cookie is HttpOnly, and is passed on to
// the endpoint like any other.
//
// The key is a secret of at least 16 bytes, better 32; when it changes, clients are
// distributed anew. The balancer belongs to one pool. Sticky panics if the key is too
// short or s makes no cookie.
func Sticky(key []byte, s Session) Balancer {
	b, err := newSticky(key, s)
	if err != nil {
		panic(fmt.Errorf("balancer: Sticky: %w", err))
	}
	return b
}

const (
	minStickyKey   = 16
	tagSize        = 16 // of the hash's 32 bytes
	encodedTag     = 22
	defaultSession = "gateway-endpoint"
)

// Strict, so that there is one spelling.
var tagEncoding = base64.RawURLEncoding.Strict()

func newSticky(key []byte, s Session) (*sticky, error) {
	c := http.Cookie{
		Name: s.Name, Path: s.Path, Domain: s.Domain, MaxAge: int(s.MaxAge / time.Second),
		Secure: !s.Insecure, HttpOnly: true, SameSite: s.SameSite,
	}
	if c.Name == "" {
		c.Name = defaultSession
	}
	if c.Path == "" {
		c.Path = "/"
	}
	if c.SameSite == 0 {
		c.SameSite = http.SameSiteLaxMode
	}
	b := &sticky{key: slices.Clone(key), cookie: c, balancer: s.Balancer}
	if b.balancer == nil {
		b.balancer = LeastLatency()
	}
	faults := []error{c.Valid()}
	if len(key) < minStickyKey {
		faults = append(faults, fmt.Errorf("the key has %d bytes, not %d or more", len(key), minStickyKey))
	}
	if s.MaxAge != 0 && s.MaxAge < time.Second {
		faults = append(faults, fmt.Errorf("MaxAge is less than a second: %v", s.MaxAge))
	}
	if c.SameSite == http.SameSiteNoneMode && s.Insecure {
		faults = append(faults, errors.New("browsers refuse an insecure cookie without SameSite"))
	}
	return b, errors.Join(faults...)
}

type sticky struct {
	key      []byte
	cookie   http.Cookie // without its value
	balancer Balancer
	tags     atomic.Pointer[tags]
}

// tags are what the endpoints of a set are called in cookies.
type tags struct {
	set *set
	of  []tag // in the order of set.endpoints
}

// tag is a keyed hash of an endpoint's address. To compare two takes the same time whatever
// they have in common, as long as it is not all: it must not tell how much of a guess was
// right.
type tag [2]uint64

func (t tag) is(u tag) bool { return (t[0]^u[0])|(t[1]^u[1]) == 0 }

func (b *sticky) Pick(r *http.Request, ready []*Endpoint) *Endpoint {
	if sent, ok := b.sent(r); ok {
		if e := b.current(ready[0].pool.set.Load()).endpoint(sent); e != nil && slices.Contains(ready, e) {
			return e
		}
	}
	return b.balancer.Pick(r, ready)
}

// follow sets the cookie if the request had none that names e.
func (b *sticky) follow(r *http.Request, res *http.Response, e *Endpoint) {
	if res.StatusCode >= http.StatusInternalServerError {
		return
	}
	want := b.tag(e)
	if sent, ok := b.sent(r); ok && sent.is(want) {
		return
	}
	c := b.cookie
	c.Value = want.encode()
	if res.Header == nil {
		res.Header = make(http.Header)
	}
	res.Header.Add("Set-Cookie", c.String())
}

// sent returns the tag in the first cookie of our name.
func (b *sticky) sent(r *http.Request) (tag, bool) {
	for _, line := range r.Header["Cookie"] {
		for line != "" {
			var pair string
			pair, line, _ = strings.Cut(line, ";")
			if name, value, _ := strings.Cut(strings.TrimSpace(pair), "="); name == b.cookie.Name {
				return decodeTag(value)
			}
		}
	}
	return tag{}, false
}

func decodeTag(value string) (tag, bool) {
	var text [encodedTag]byte
	var raw [tagSize]byte
	if len(value) != encodedTag {
		return tag{}, false
	}
	copy(text[:], value)
	if _, err := tagEncoding.Decode(raw[:], text[:]); err != nil {
		return tag{}, false
	}
	return newTag(raw[:]), true
}

func newTag(raw []byte) tag {
	return tag{binary.BigEndian.Uint64(raw), binary.BigEndian.Uint64(raw[8:])}
}

func (t tag) encode() string {
	raw := binary.BigEndian.AppendUint64(nil, t[0])
	return tagEncoding.EncodeToString(binary.BigEndian.AppendUint64(raw, t[1]))
}

// current returns the tags of s. To make them takes a microsecond an endpoint; requests that
// do so at the same time make the same.
func (b *sticky) current(s *set) *tags {
	t := b.tags.Load()
	if t != nil && t.set == s {
		return t
	}
	t = &tags{set: s}
	for _, e := range s.endpoints {
		t.of = append(t.of, b.tagOf(e))
	}
	b.tags.Store(t)
	return t
}

// endpoint returns the one that is called sent, or nil.
func (t *tags) endpoint(sent tag) (found *Endpoint) {
	for i := range t.of {
		if t.of[i].is(sent) {
			found = t.set.endpoints[i]
		}
	}
	return found
}

// tag returns what e is called.
func (b *sticky) tag(e *Endpoint) tag {
	t := b.current(e.pool.set.Load())
	if i := slices.Index(t.set.endpoints, e); i >= 0 {
		return t.of[i]
	}
	return b.tagOf(e) // it has left the set since it was asked
}

func (b *sticky) tagOf(e *Endpoint) tag {
	mac := hmac.New(sha256.New, b.key)
	for _, part := range []string{"gatewright sticky\x00", b.cookie.Name, "\x00", e.id} {
		mac.Write([]byte(part))
	}
	return newTag(mac.Sum(nil)[:tagSize])
}
