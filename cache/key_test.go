package cache_test

import (
	"crypto/tls"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway/cache"
)

func TestWhatIsAnotherResource(t *testing.T) {
	at := func(change func(*http.Request)) *http.Request {
		r := request("GET", "/a%2Fb?q=1")
		change(r)
		return r
	}
	requests := map[string]*http.Request{
		"plain":                                  at(func(*http.Request) {}),
		"path":                                   request("GET", "/a/b?q=1"),
		"query":                                  request("GET", "/a%2Fb?q=%31"),
		"order":                                  request("GET", "/a%2Fb?q=1&p=2"),
		"other order":                            request("GET", "/a%2Fb?p=2&q=1"),
		"no query":                               request("GET", "/a%2Fb"),
		"empty query":                            request("GET", "/a%2Fb?"),
		"case":                                   request("GET", "/A%2Fb?q=1"),
		"host":                                   at(func(r *http.Request) { r.Host = "a.test" }),
		"upstream":                               at(func(r *http.Request) { r.URL.Host = "b.test" }),
		"upstream and host":                      at(func(r *http.Request) { r.URL.Host, r.Host = "b.test", "a.test" }),
		"scheme":                                 at(func(r *http.Request) { r.URL.Scheme = "http" }),
		"TLS":                                    at(func(r *http.Request) { r.TLS = &tls.ConnectionState{} }),
		"client's host":                          at(func(r *http.Request) { r.Header.Set("X-Forwarded-Host", "evil.test") }),
		"client's scheme":                        at(func(r *http.Request) { r.Header.Set("X-Forwarded-Proto", "https") }),
		"a host that would be a host and a path": at(func(r *http.Request) { r.Host = "a.test   /a%2Fb?q=1" }),
	}
	o := says("Cache-Control: max-age=60")
	rt := over(o)
	for name, r := range requests {
		require.Equal(t, "gateway; fwd=uri-miss", do(t, rt, r).status(), name)
	}
	for name, r := range requests {
		require.Contains(t, do(t, rt, r).status(), "hit", name)
	}
}

func TestHostsAreTheSameInAnyCase(t *testing.T) {
	rt := over(says("Cache-Control: max-age=60"))
	get(t, rt, "/", "X-Forwarded-Host: a.test")
	require.Contains(t, get(t, rt, "/", "X-Forwarded-Host: A.test").status(), "hit")
}

func TestTwoUpstreamsOverOneStoreDoNotMix(t *testing.T) {
	store := cache.Memory(1 << 20)
	users := &cache.Transport{Base: says("Cache-Control: max-age=60"), Store: store}
	orders := &cache.Transport{Base: says("Cache-Control: max-age=60"), Store: store}
	get(t, users, "/1")
	require.Equal(t, "gateway; fwd=uri-miss", get(t, orders, "/1").status())
	require.Contains(t, get(t, users, "/1").status(), "hit")
}

func TestTransportsWithOneNameShare(t *testing.T) {
	store := cache.Memory(1 << 20)
	before := &cache.Transport{Base: says("Cache-Control: max-age=60"), Store: store, Name: "users"}
	after := &cache.Transport{Base: says("Cache-Control: max-age=60"), Store: store, Name: "users"}
	get(t, before, "/1")
	require.Contains(t, get(t, after, "/1").status(), "hit")
}
