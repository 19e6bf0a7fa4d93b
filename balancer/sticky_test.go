package balancer_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway/balancer"
)

func cookieOf(t testing.TB, res *http.Response) *http.Cookie {
	t.Helper()
	cookies := res.Cookies()
	require.Len(t, cookies, 1)
	return cookies[0]
}

// browser keeps the cookies that it is given.
type browser struct {
	pool    http.RoundTripper
	cookies map[string]string
}

// get returns the host that has answered, and the cookie that was set.
func (b *browser) get(t *testing.T) (host string, set *http.Cookie) {
	t.Helper()
	r := request(t, "GET", "/", nil)
	for name, value := range b.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	res, err := b.pool.RoundTrip(r)
	require.NoError(t, err)
	defer res.Body.Close()
	for _, c := range res.Cookies() {
		if b.cookies == nil {
			b.cookies = map[string]string{}
		}
		b.cookies[c.Name], set = c.Value, c
	}
	return res.Header.Get("X-Host"), set
}

// tellHost is upstreams that say which of them has answered.
func tellHost(r *http.Request) (*http.Response, error) {
	res := respond(200, "")
	res.Header.Set("X-Host", r.URL.Host)
	return res, nil
}

// stickyPool is over a, b and c, in turn.
func stickyPool(t *testing.T, key []byte, s balancer.Session) *balancer.Pool {
	t.Helper()
	s.Balancer = balancer.RoundRobin()
	return newPool(t, balancer.Config{
		Targets: []string{"http://a", "http://b", "http://c"}, Base: tripper(tellHost), Balancer: balancer.Sticky(key, s),
	})
}

func TestStickyKeepsAClientAtItsEndpoint(t *testing.T) {
	p := stickyPool(t, secret, balancer.Session{})
	hosts := map[string]bool{}
	for range 3 {
		b := &browser{pool: p}
		first, set := b.get(t)
		require.NotNil(t, set)
		hosts[first] = true
		for range 10 {
			host, set := b.get(t)
			assert.Equal(t, first, host)
			assert.Nil(t, set, "it has it already")
		}
	}
	assert.Len(t, hosts, 3, "the first request of a client goes where the other balancer says")
}

func TestStickyMeansTheSameInEveryGateway(t *testing.T) {
	b := &browser{pool: stickyPool(t, secret, balancer.Session{})}
	first, _ := b.get(t)
	for range 5 {
		b.pool = stickyPool(t, secret, balancer.Session{})
		host, set := b.get(t)
		assert.Equal(t, first, host)
		assert.Nil(t, set)
	}
}

func TestStickyCookieIsCareful(t *testing.T) {
	_, set := (&browser{pool: stickyPool(t, secret, balancer.Session{})}).get(t)
	assert.Equal(t, "gateway-endpoint", set.Name)
	assert.Equal(t, "gateway-endpoint="+set.Value+"; Path=/; HttpOnly; Secure; SameSite=Lax", set.Raw)
	assert.Regexp(t, "^[A-Za-z0-9_-]{22}$", set.Value)

	_, set = (&browser{pool: stickyPool(t, secret, balancer.Session{
		Name: "where", Path: "/shop", Domain: "shop.test", MaxAge: time.Hour, SameSite: http.SameSiteStrictMode, Insecure: true,
	})}).get(t)
	assert.Equal(t, "where="+set.Value+"; Path=/shop; Domain=shop.test; Max-Age=3600; HttpOnly; SameSite=Strict", set.Raw)
}

// The cookie depends on the key, on its name and on the address, so that it can neither be
// guessed nor used elsewhere.
func TestStickyCookieDependsOnTheSecret(t *testing.T) {
	values := map[string]bool{}
	for _, key := range []string{"sixteen bytes ok", "sixteen bytes no"} {
		for _, name := range []string{"x", "y"} {
			p := stickyPool(t, []byte(key), balancer.Session{Name: name})
			for range 3 {
				_, set := (&browser{pool: p}).get(t)
				values[set.Value] = true
			}
		}
	}
	assert.Len(t, values, 2*2*3)
}

func TestStickyIgnoresWhatItHasNotMade(t *testing.T) {
	p := stickyPool(t, secret, balancer.Session{Name: "s"})
	good := &browser{pool: p}
	first, set := good.get(t)
	forged := stickyPool(t, []byte("another key of 16"), balancer.Session{Name: "s"})
	_, other := (&browser{pool: forged}).get(t)
	last := set.Value[len(set.Value)-1]
	for name, value := range map[string]string{
		"empty": "", "garbage": "garbage", "long": strings.Repeat("A", 5000), "a name": "http://a",
		"another key's": other.Value, "cut": set.Value[:21], "longer": set.Value + "A", "padded": set.Value + "==",
		"not base64": "!!!!!!!!!!!!!!!!!!!!!!", "one letter": strings.Replace(set.Value, set.Value[3:4], string(set.Value[3]^1), 1),
		// The last letter has four bits to spare.
		"another spelling": set.Value[:21] + string(rune(last+1)), "zeros": strings.Repeat("A", 22),
	} {
		hosts := map[string]bool{}
		for range 3 {
			b := &browser{pool: p, cookies: map[string]string{"s": value}}
			host, renewed := b.get(t)
			hosts[host] = true
			require.NotNil(t, renewed, name)
			again, _ := b.get(t)
			assert.Equal(t, host, again, name)
		}
		assert.Len(t, hosts, 3, "%s: as if there were none", name)
	}
	host, _ := good.get(t)
	assert.Equal(t, first, host)
}

func TestStickyFindsItsCookieAmongOthers(t *testing.T) {
	p := stickyPool(t, secret, balancer.Session{Name: "s"})
	first, set := (&browser{pool: p}).get(t)
	for _, lines := range [][]string{
		{"a=1; s=" + set.Value + "; b=2"}, {"xs=1;s=" + set.Value}, {"a=1", "s=" + set.Value},
		{"s2; ;; =;" + " s=" + set.Value + " "}, {"s=" + set.Value, "s=other"},
	} {
		for range 3 {
			r := request(t, "GET", "/", nil)
			r.Header["Cookie"] = lines
			res, err := p.RoundTrip(r)
			require.NoError(t, err)
			assert.Equal(t, first, res.Header.Get("X-Host"), "%q", lines)
			assert.Empty(t, res.Header["Set-Cookie"], "%q", lines)
			res.Body.Close()
		}
	}
}

func TestStickySessionMovesWhenItsEndpointIsNotReady(t *testing.T) {
	p := stickyPool(t, secret, balancer.Session{})
	b := &browser{pool: p}
	first, _ := b.get(t)
	for _, e := range p.Endpoints() {
		if e.URL() == "http://"+first {
			require.NoError(t, e.Drain(t.Context()))
			defer e.Resume()
		}
	}
	second, set := b.get(t)
	assert.NotEqual(t, first, second)
	require.NotNil(t, set)
	for range 5 {
		host, set := b.get(t)
		assert.Equal(t, second, host)
		assert.Nil(t, set)
	}
}

func TestStickySessionMovesWhenItsEndpointIsGone(t *testing.T) {
	p := stickyPool(t, secret, balancer.Session{})
	b := &browser{pool: p}
	first, _ := b.get(t)
	var others balancer.Static
	for _, e := range p.Endpoints() {
		if e.URL() != "http://"+first {
			others = append(others, e.Target())
		}
	}
	require.NoError(t, balancer.Retarget(p, others))
	second, set := b.get(t)
	assert.NotEqual(t, first, second)
	assert.NotNil(t, set)
}

func TestStickyKnowsAnEndpointThatIsNew(t *testing.T) {
	p := stickyPool(t, secret, balancer.Session{})
	(&browser{pool: p}).get(t)
	require.NoError(t, balancer.Retarget(p, named(1, 2, 3)))
	for range 3 {
		b := &browser{pool: p}
		first, _ := b.get(t)
		again, set := b.get(t)
		assert.Equal(t, first, again)
		assert.Nil(t, set)
	}
}

func TestStickyMarksTheAnswerOfAnEndpointThatHasLeftMeanwhile(t *testing.T) {
	b := balancer.Sticky(secret, balancer.Session{})
	p := newPool(t, balancer.Config{Resolver: named(1, 2), Balancer: b})
	e, r := p.Endpoints()[0], request(t, "GET", "/", nil)
	before, after := respond(200, ""), respond(200, "")
	balancer.Follow(b, r, before, e)
	require.NoError(t, balancer.Retarget(p, named(2)))
	balancer.Follow(b, r, after, e)
	assert.Equal(t, cookieOf(t, before), cookieOf(t, after))
}

// A retry is answered by another endpoint: the session goes on there.
func TestStickySessionMovesWithARetry(t *testing.T) {
	var f farm
	for _, host := range []string{"a", "b"} {
		f.set(host, tellHost)
	}
	p := newPool(t, balancer.Config{
		Targets: []string{"http://a", "http://b"}, Base: &f, Balancer: balancer.Sticky(secret, balancer.Session{}),
	})
	b := &browser{pool: p}
	first, _ := b.get(t)
	f.set(first, refuses)
	second, set := b.get(t)
	assert.NotEqual(t, first, second)
	assert.NotNil(t, set)
}

func TestStickyBeginsNoSessionWithAFailure(t *testing.T) {
	for status, begins := range map[int]bool{200: true, 304: true, 404: true, 500: false, 503: false} {
		p := newPool(t, balancer.Config{
			Targets: []string{"http://a"}, Retry: balancer.Retry{Attempts: 1}, Balancer: balancer.Sticky(secret, balancer.Session{}),
			Base: tripper(func(*http.Request) (*http.Response, error) {
				res := respond(status, "")
				res.Header = nil // as some fakes and hand-written transports have it
				return res, nil
			}),
		})
		_, set := (&browser{pool: p}).get(t)
		assert.Equal(t, begins, set != nil, "%d", status)
	}
}

func TestStickyRefusesWhatCannotWork(t *testing.T) {
	for fault, c := range map[string]struct {
		key []byte
		s   balancer.Session
	}{
		"the key has 15 bytes, not 16 or more": {secret[:15], balancer.Session{}},
		"the key has 0 bytes, not 16 or more":  {nil, balancer.Session{}},
		"invalid Cookie.Name":                  {secret, balancer.Session{Name: "a b"}},
		"in Cookie.Path":                       {secret, balancer.Session{Path: "/;x"}},
		"Cookie.Domain":                        {secret, balancer.Session{Domain: "a;b"}},
		"MaxAge is less than a second: 1ms":    {secret, balancer.Session{MaxAge: time.Millisecond}},
		"MaxAge is less than a second: -1s":    {secret, balancer.Session{MaxAge: -time.Second}},
		"browsers refuse an insecure cookie":   {secret, balancer.Session{SameSite: http.SameSiteNoneMode, Insecure: true}},
	} {
		func() {
			defer func() {
				err, _ := recover().(error)
				assert.ErrorContains(t, err, fault)
				assert.NotContains(t, err.Error(), "sixteen")
			}()
			balancer.Sticky(c.key, c.s)
		}()
	}
}
