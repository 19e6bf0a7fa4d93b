package cache

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"hash/maphash"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/gatewright/gateway/internal/field"
)

const (
	defaultMaxBody   = 1 << 20
	defaultTimeout   = 50 * time.Millisecond
	defaultHeuristic = 0.1
)

// Transport is a [http.RoundTripper] that answers from a store where it may, and
// keeps there what another returns: a shared cache (RFC 9111). With [Transport.Wrap] it is
// a middleware instead, and then needs no Base. Its fields must not be changed once it is
// in use. It may be used concurrently.
type Transport struct {
	// Base is asked for what is not stored. It is required: without it every
	// round trip fails.
	Base http.RoundTripper

	// Store keeps the responses, and may be shared with others. Nil stores nothing,
	// and everything is forwarded.
	Store Cache

	// Name sets the responses of this Transport apart from all others in Store. Two
	// that have the same Base in different processes, or one after a restart, find
	// each other's responses by having the same Name; two with different upstreams
	// must not, as a request here need not have a host. Empty is a name of its own,
	// made up at random.
	Name string

	// Key says what else tells responses apart. With Key.By, a response to a request with
	// credentials is stored for those for whom By is the same, if it is not empty, although
	// the origin does not say that it is for everybody; never if it says private or no-store.
	Key Key

	// MaxBody is how many bytes a body may have to be stored, and so to be held in
	// memory meanwhile. Larger ones pass. Zero is 1 MiB.
	MaxBody int64

	// Timeout is how long a request waits for each call of Store, after which it
	// is a miss. Zero is 50 milliseconds.
	Timeout time.Duration

	// Targeted names the response fields that speak to this cache and take the place of
	// Cache-Control and Expires (RFC 9213): the first that is there, and is a structured
	// field, counts. Nil is CDN-Cache-Control alone.
	Targeted []string

	// Heuristic is how long a response is fresh that does not say, as a share of the time
	// since it was last modified when it was made; a day at most (RFC 9111 section 4.2.2).
	// Zero is 0.1; negative guesses nothing.
	Heuristic float64

	// Negative is how long a response with status 404, 405, 410, 414 or 501 is fresh that
	// does not say. Zero guesses as for others.
	Negative time.Duration

	// StaleWhileRevalidate and StaleIfError are how long a response that has become stale
	// may still be served, while the origin is asked in the background, or when it fails,
	// if the response does not say (RFC 5861). Zero is not at all. What must be revalidated
	// is never served stale.
	StaleWhileRevalidate, StaleIfError time.Duration

	// ShareCookies stores responses with Set-Cookie, and gives the cookies to all who are
	// answered with them. False does not store such.
	ShareCookies bool

	// IgnoreClient has what clients say in Cache-Control and Pragma not count, but for
	// only-if-cached and no-store: otherwise each of their no-cache reaches Base. False
	// obeys them.
	IgnoreClient bool

	// Alone does not have requests wait for the fetch that another has begun for the same.
	// False has one fetch serve all.
	Alone bool

	// Observe is told what became of each request, when its answer begins; for metrics by
	// route, its Pattern is set behind [gateway.Gateway]. It is called concurrently, must
	// not change the request, and holds the answer up. Nil: nobody is told.
	Observe func(*http.Request, Result)

	once  sync.Once
	built *engine
}

var errNoBase = errors.New("cache: a Transport without a Base")

// engine returns what t comes to, made when it is first asked for.
func (t *Transport) engine() *engine {
	t.once.Do(func() { t.built = t.build() })
	return t.built
}

func (t *Transport) build() *engine {
	name := t.Name
	if name == "" {
		name = rand.Text()
	}
	g := &engine{
		keyer: newKeyer(name, t.Key), alone: t.Alone, ignoreClient: t.IgnoreClient, observe: t.Observe,
		seed: maphash.MakeSeed(), busy: newLately(), changed: newLately(), stored: newLately(), renewal: make(chan struct{}, maxRenewals),
		policy: policy{
			targeted: defaultTargeted, heuristic: t.Heuristic, negative: t.Negative,
			whileRevalidate: t.StaleWhileRevalidate, ifError: t.StaleIfError, cookies: t.ShareCookies, maxBody: t.MaxBody,
			by: t.Key.By,
		},
	}
	g.shelf.store, g.shelf.limit = t.Store, t.Timeout
	g.purges.shared = t.Store != nil && t.Name != ""
	g.shelf.objects, _ = t.Store.(objects)
	g.flights.byKey = make(map[string]*flight)
	if t.Targeted != nil {
		g.policy.targeted = canonicalNames(t.Targeted)
	}
	if g.policy.heuristic == 0 {
		g.policy.heuristic = defaultHeuristic
	}
	if g.policy.maxBody == 0 {
		g.policy.maxBody = defaultMaxBody
	}
	if g.shelf.limit == 0 {
		g.shelf.limit = defaultTimeout
	}
	return g
}

func canonicalNames(names []string) []string {
	names = slices.Clone(names)
	for i, n := range names {
		names[i] = http.CanonicalHeaderKey(n)
	}
	return names
}

// Check reports what is wrong with the fields, all at once.
func (t *Transport) Check() error {
	var faults []error
	for _, n := range slices.Concat(t.Targeted, t.Key.Headers) {
		if !field.IsToken(n) {
			faults = append(faults, errors.New("cache: a name in Targeted or Key.Headers is none"))
		}
	}
	if min(t.MaxBody, int64(t.Timeout), int64(t.Negative), int64(t.StaleWhileRevalidate), int64(t.StaleIfError)) < 0 {
		faults = append(faults, errors.New("cache: a negative MaxBody or time"))
	}
	return errors.Join(faults...)
}

// RoundTrip answers from the store or by Base. It fails only if Base does; a
// failure of the store is a miss. A response from the store has Age and the
// Cache-Status "gateway; hit".
//
// A request with a method that is not safe always reaches Base, and if it succeeds
// (2xx, 3xx) what is stored for its URL, and for those in Location and Content-Location of
// the same origin, is invalidated before RoundTrip returns (RFC 9111 section 4.4), as are
// the groups in Cache-Group-Invalidation (RFC 9875 section 3).
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	switch {
	case t.Base == nil:
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, errNoBase
	case t.Store == nil:
		return t.Base.RoundTrip(req)
	}
	g := t.engine()
	if !isSafe(req.Method) {
		return g.change(t.Base, req)
	}
	asked := requestControl(req.Header)
	why := aside(req, asked)
	if why == "" {
		q := query{r: req, base: t.Base, asked: asked}
		a, ok := g.ready(&q)
		if !ok {
			var err error
			if a, err = g.ask(&q); err != nil {
				return nil, err
			}
		}
		g.tell(req, a.Result)
		return a.response(req, time.Now()), nil
	}
	return g.pass(t.Base, req, why)
}

func (g *engine) tell(r *http.Request, result Result) {
	if g.observe != nil {
		g.observe(r, result)
	}
}

// pass forwards a request that the cache has no part in.
func (g *engine) pass(base http.RoundTripper, req *http.Request, why string) (*http.Response, error) {
	g.tell(req, Result{Outcome: Bypass, Reason: why})
	res, err := base.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	fwd := fwdBypass
	if why == fwdMethod {
		fwd = fwdMethod
	}
	return forwarded(res, "fwd="+fwd), nil
}

// change forwards a request that may change what is stored.
func (g *engine) change(base http.RoundTripper, req *http.Request) (*http.Response, error) {
	g.tell(req, Result{Outcome: Bypass, Reason: fwdMethod})
	// Base may do as it likes with the request's URL once it has returned.
	c := g.changeBy(req)
	res, err := base.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	c.done(res.StatusCode, res.Header)
	return forwarded(res, "fwd="+fwdMethod), nil
}

// change is a request that may change what is stored.
type change struct {
	engine *engine
	ctx    context.Context
	shape  *http.Request // what of it makes the key
	key    string
	base   *url.URL
}

func (g *engine) changeBy(r *http.Request) *change {
	shape := *r
	u := *r.URL
	shape.URL, shape.Header = &u, r.Header.Clone()
	key, _ := g.keyer.of(&shape)
	return &change{g, r.Context(), &shape, key, &u}
}

// done invalidates what the response says has changed (RFC 9111 section 4.4).
func (c *change) done(status int, h http.Header) {
	if status < 200 || status >= 400 {
		return
	}
	g, h := c.engine, canonical(h, time.Time{})
	g.invalidate(c.ctx, c.key)
	for _, name := range []string{"Location", "Content-Location"} {
		if key, ok := c.keyIn(h.Get(name)); ok {
			g.invalidate(c.ctx, key)
		}
	}
	if groups := within(c.shape, groupsOf(h, "Cache-Group-Invalidation")); groups != nil {
		now := time.Now()
		_ = g.purge(c.ctx, func(m *marks) { // a store that fails has forgotten, or will
			for _, group := range groups {
				m.groups[group] = now
			}
		})
	}
}

// keyIn returns the key of a URL that a response names, if it is of the same origin: an
// origin must not be able to empty another's cache.
func (c *change) keyIn(reference string) (string, bool) {
	u, err := url.Parse(reference)
	if err != nil || reference == "" {
		return "", false
	}
	to := c.base.ResolveReference(u)
	host := cmp.Or(c.base.Host, c.shape.Host, c.shape.Header.Get("X-Forwarded-Host")) // as gateway.Proxy has it
	if u.Host != "" && lower(u.Host) != lower(host) || u.Scheme != "" && u.Scheme != "http" && u.Scheme != "https" {
		return "", false
	}
	if ours := schemeOf(c.shape); u.Scheme != "" && ours != "" && u.Scheme != ours {
		return "", false
	}
	shape := *c.shape
	to.Scheme, to.Host = c.base.Scheme, c.base.Host
	shape.URL = to
	key, _ := c.engine.keyer.of(&shape)
	return key, true
}
