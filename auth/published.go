package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	defaultRefresh = 15 * time.Minute
	unknownKeyWait = 30 * time.Second // between fetches for kids that the set does not have
	failureWait    = 5 * time.Second  // after a fetch that failed
	fetchTimeout   = 10 * time.Second
	maxUnknown     = 100 // requests that wait for a kid that a set does not have
)

// published is the keys that an issuer publishes. Whoever needs them has them fetched,
// so there is nothing to start and nothing to close: a fetch is a goroutine that ends
// with it, in fetchTimeout at most.
type published struct {
	service        // of the keys; without an url it is the issuer's metadata that says where they are
	issuer  string // empty: not needed
	allowed []string
	refresh time.Duration

	set     atomic.Pointer[publishedSet] // nil: never fetched
	unknown atomic.Int32                 // requests that wait for a kid that the set does not have

	mu      sync.Mutex
	running *fetch    // nil: none is under way
	tried   time.Time // when the last fetch ended
	fault   error     // of that one
}

// publishedSet is the keys, and when they were fetched. It is not changed.
type publishedSet struct {
	*keyring
	fetched time.Time
}

// fetch is one that is under way, or was.
type fetch struct {
	done chan struct{}
	err  error
}

func newPublished(j JWT) (*published, error) {
	p := &published{
		service: service{j.JWKS, j.Transport, fetchTimeout}, allowed: slices.Clone(j.Algorithms), refresh: j.Refresh,
	}
	if p.url == "" {
		p.issuer = j.Issuer
	}
	if p.transport == nil {
		p.transport = newServiceTransport(fetchTimeout)
	}
	if p.refresh == 0 {
		p.refresh = defaultRefresh
	}
	var faults []error
	for _, place := range []struct{ name, url string }{{"JWKS", p.url}, {"Issuer", p.issuer}} {
		if err := checkURL(place.url); place.url != "" && err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", place.name, err))
		}
	}
	if err := checkTransport(p.transport); err != nil {
		faults = append(faults, fmt.Errorf("Transport: %w", err))
	}
	if p.refresh < 0 {
		faults = append(faults, errors.New("negative Refresh"))
	}
	return p, errors.Join(append(faults, p.checkAlgorithms())...)
}

// checkAlgorithms refuses what no published key can be for: secrets are not published.
func (p *published) checkAlgorithms() error {
	if p.allowed != nil && len(p.allowed) == 0 {
		return errors.New("no algorithm allowed")
	}
	var faults []error
	for _, name := range p.allowed {
		if _, ok := algorithms[name]; !ok || strings.HasPrefix(name, "HS") {
			faults = append(faults, fmt.Errorf("algorithm %q is unknown, or not for published keys", name))
		}
	}
	return errors.Join(faults...)
}

// find is part of keySource. It waits only for what it cannot do without, and then no
// longer than ctx or the fetch last.
func (p *published) find(ctx context.Context, header claims) (*key, jwt.SigningMethod, error) {
	set := p.set.Load()
	if set == nil {
		if err := p.await(ctx, failureWait); err != nil {
			return nil, nil, err
		}
		set = p.set.Load()
	} else if time.Since(set.fetched) >= p.refresh {
		_, _ = p.fetch(failureWait) // in the background
	}
	k, method, err := set.find(ctx, header)
	if !errors.Is(err, errNoKey) || !p.awaitNew(ctx) {
		return k, method, err
	}
	return p.set.Load().find(ctx, header)
}

// awaitNew awaits a set that may have a key that this one has not, and reports whether it
// is there. Anybody can make up a kid: so few wait, if the issuer is slow.
func (p *published) awaitNew(ctx context.Context) bool {
	defer p.unknown.Add(-1)
	return p.unknown.Add(1) <= maxUnknown && p.await(ctx, unknownKeyWait) == nil
}

// close lets go of the connections of the transport, once a fetch that is under way has
// ended.
func (p *published) close() {
	t, ok := p.transport.(*http.Transport)
	if !ok {
		return
	}
	p.mu.Lock()
	f := p.running
	p.mu.Unlock()
	if f == nil {
		t.CloseIdleConnections()
		return
	}
	go func() { // which ends with the fetch
		<-f.done
		t.CloseIdleConnections()
	}()
}

// await returns when a fetch that is under way has ended, or one that it has begun. It
// begins none, and returns what came of the last, within pause of that.
func (p *published) await(ctx context.Context, pause time.Duration) error {
	f, fault := p.fetch(pause)
	if f == nil {
		return fault
	}
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// fetch returns the fetch that is under way, having begun it if there was none; or nil,
// and what came of the last, within pause of that.
func (p *published) fetch(pause time.Duration) (*fetch, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running == nil {
		if !p.tried.IsZero() && time.Since(p.tried) < pause {
			return nil, p.fault
		}
		p.running = &fetch{done: make(chan struct{})}
		go p.run(p.running)
	}
	return p.running, nil
}

// run does one fetch. It is nobody's request, and so goes on when who asked first leaves.
func (p *published) run(f *fetch) {
	ctx, cancel := context.WithTimeout(context.Background(), p.timeout)
	defer cancel()
	ring, err := p.loadSafely(ctx)
	if err != nil {
		problem := unavailable("jwt: keys", err)
		problem.RetryAfter = failureWait
		err = problem
	} else {
		p.replace(ring)
	}
	p.mu.Lock()
	p.running, p.tried, p.fault = nil, time.Now(), err
	p.mu.Unlock()
	f.err = err
	close(f.done)
}

// replace publishes ring. Keys that are in the old set too stay the same, with the tokens
// that are remembered of them; the others are gone, and their tokens with them.
func (p *published) replace(ring *keyring) {
	old := p.set.Load()
	kept := make(map[*key]bool)
	if old != nil {
		for id, keys := range ring.byID {
			for i, k := range keys {
				if j := slices.IndexFunc(old.byID[id], k.same); j >= 0 {
					keys[i] = old.byID[id][j]
					kept[keys[i]] = true
				}
			}
			if ring.only != nil {
				ring.only = keys[0]
			}
		}
	}
	p.set.Store(&publishedSet{ring, time.Now()})
	if old == nil {
		return
	}
	for _, keys := range old.byID {
		for _, k := range keys {
			if !kept[k] {
				k.gone.Store(true)
			}
		}
	}
}

// loadSafely is load on a goroutine of its own, where a panic would end the process.
func (p *published) loadSafely(ctx context.Context) (ring *keyring, err error) {
	defer func() {
		if thrown := recover(); thrown != nil {
			ring, err = nil, panicked(thrown)
		}
	}()
	return p.load(ctx)
}

// load fetches the keys.
func (p *published) load(ctx context.Context) (*keyring, error) {
	from := p.url
	if from == "" {
		var err error
		if from, err = p.discover(ctx); err != nil {
			return nil, fmt.Errorf("metadata: %w", err)
		}
	}
	data, err := p.fetchDocument(ctx, from)
	if err != nil {
		return nil, err
	}
	return parseKeys(data, p.allowed)
}

// discover returns where the issuer's metadata says that its keys are: metadata that
// names the issuer as it was configured, so that none speaks for another (OpenID Connect
// Discovery 1.0 section 4.3, RFC 8414 section 3.3).
func (p *published) discover(ctx context.Context) (string, error) {
	data, err := p.fetchDocument(ctx, strings.TrimSuffix(p.issuer, "/")+"/.well-known/openid-configuration")
	if err != nil {
		u, _ := url.Parse(p.issuer) // which newPublished has checked
		u.Path, u.RawPath = "/.well-known/oauth-authorization-server"+strings.TrimSuffix(u.Path, "/"), ""
		var other error
		if data, other = p.fetchDocument(ctx, u.String()); other != nil {
			return "", err
		}
	}
	var metadata struct {
		Issuer string `json:"issuer"`
		JWKS   string `json:"jwks_uri"`
	}
	switch {
	case json.Unmarshal(data, &metadata) != nil:
		return "", errNoObject
	case metadata.Issuer != p.issuer:
		return "", errors.New("of another issuer")
	case checkURL(metadata.JWKS) != nil:
		return "", errors.New("no jwks_uri")
	case strings.HasPrefix(p.issuer, "https:") && !strings.HasPrefix(metadata.JWKS, "https:"):
		return "", errors.New("jwks_uri is not https")
	}
	return metadata.JWKS, nil
}
