package cache_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// isStored reports whether what o answered to first is found by a plain request after it.
func isStored(t *testing.T, o *origin, first *http.Request) bool {
	t.Helper()
	rt := over(o)
	do(t, rt, first)
	return strings.Contains(get(t, rt, "/").status(), "hit")
}

func TestWhatMayBeSharedWithEverybody(t *testing.T) {
	for _, c := range []struct {
		name   string
		stored bool
		lines  []string
	}{
		{"max-age", true, []string{"Cache-Control: max-age=60"}},
		{"no-store, RFC 9111 5.2.2.5", false, []string{"Cache-Control: max-age=60, no-store"}},
		{"no-store in a second line", false, []string{"Cache-Control: max-age=60", "Cache-Control: NO-STORE"}},
		{"private, 5.2.2.7", false, []string{"Cache-Control: private, max-age=60"}},
		{"private with a field", true, []string{`Cache-Control: private="x-user", max-age=60`}},
		{"private and public", false, []string{"Cache-Control: public, private, max-age=60"}},
		{"a quote that hides private", false, []string{`Cache-Control: max-age=60, x="a, private`}},
		{"Set-Cookie", false, []string{"Cache-Control: public, max-age=60", "Set-Cookie: session=1"}},
		{"Vary *, 4.1", false, []string{"Cache-Control: max-age=60", "Vary: *"}},
		{"Vary * in a list", false, []string{"Cache-Control: max-age=60", "Vary: Accept, *"}},
		{"Vary * in a second line", false, []string{"Cache-Control: max-age=60", "Vary: Accept", "Vary: *"}},
		{"Vary by what is no field", false, []string{"Cache-Control: max-age=60", "Vary: Accept Language"}},
		{"Vary by very much", false, []string{"Cache-Control: max-age=60", "Vary: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q"}},
		{"Content-Range in a 200, RFC 9110 14.4", true, []string{"Cache-Control: max-age=60", "Content-Range: bytes 0-1/2"}},
		{"nothing explicit", false, []string{"Cache-Control: public"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.Equal(t, c.stored, isStored(t, says(c.lines...), request("GET", "/")))
		})
	}
}

func TestNamesThatAreNotCanonicalAreNotOverlooked(t *testing.T) {
	o := &origin{serve: func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["cache-control"] = []string{"max-age=60"}
		w.Header()["set-cookie"] = []string{"session=1"}
	}}
	require.False(t, isStored(t, o, request("GET", "/")))
}

func TestStatusesThatAreStored(t *testing.T) {
	never := map[int]bool{206: true, 304: true} // RFC 9111 section 3.3, and what is no response
	for _, status := range []int{
		200, 201, 202, 203, 204, 205, 206, 299, 300, 301, 302, 303, 304, 307, 308,
		400, 401, 403, 404, 405, 410, 414, 416, 429, 500, 501, 502, 503, 504, 599,
	} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			o := &origin{serve: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Cache-Control", "max-age=60")
				w.WriteHeader(status)
			}}
			require.Equal(t, !never[status], isStored(t, o, request("GET", "/")))
		})
	}
}

func TestARequestWithCredentialsIsForNobodyElse(t *testing.T) { // RFC 9111 section 3.5
	for _, c := range []struct {
		name          string
		control       string
		authorization bool // stored although the request had Authorization, or a principal
		cookie        bool // or a Cookie
	}{
		{"max-age", "max-age=60", false, false},
		{"public", "public, max-age=60", true, true},
		{"s-maxage", "s-maxage=60", true, true},
		{"must-revalidate", "must-revalidate, max-age=60", true, false},
		{"proxy-revalidate", "proxy-revalidate, max-age=60", false, false},
		{"private", "private, s-maxage=60", false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			says := func() *origin { return says("Cache-Control: " + c.control) }
			mutual := request("GET", "/")
			mutual.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{}}}

			require.Equal(t, c.authorization, isStored(t, says(), request("GET", "/", "Authorization: Bearer a")))
			require.Equal(t, c.authorization, isStored(t, says(), as("ann", request("GET", "/"))))
			require.Equal(t, c.cookie, isStored(t, says(), request("GET", "/", "Cookie: session=1")))
			require.Equal(t, c.cookie, isStored(t, says(), as("ann", request("GET", "/", "Cookie: session=1"))))

			rt := over(says())
			do(t, rt, mutual)
			require.Equal(t, c.authorization, strings.Contains(do(t, rt, mutual).status(), "hit"))
		})
	}
}

func TestTwoUsersOfOneURLNeverGetOneBody(t *testing.T) {
	o := &origin{}
	o.serve = func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		_, _ = io.WriteString(w, "for "+r.Header.Get("X-User"))
	}
	for _, field := range []string{"Authorization: ", "Cookie: session=", "X-None: "} {
		rt := over(o)
		for _, user := range []string{"ann", "bob", "ann"} {
			r := request("GET", "/account", field+user, "X-User: "+user)
			if strings.HasPrefix(field, "X-None") {
				r = as(user, r)
			}
			require.Equal(t, "for "+user, do(t, rt, r).body)
		}
	}
}

func TestVaryByCredentialsThatTheGatewayTookAway(t *testing.T) {
	// The origin names the field it knows users by; between the gateway's
	// authentication and its outbound credentials, nobody has it.
	for _, name := range []string{"Authorization", "Cookie"} {
		o := says("Cache-Control: public, max-age=60", "Vary: "+name)
		rt := over(o)
		require.Equal(t, "answer 1", do(t, rt, as("ann", request("GET", "/"))).body)
		require.Equal(t, "answer 2", do(t, rt, as("bob", request("GET", "/"))).body)
		require.Equal(t, "answer 3", get(t, rt, "/").body, "a stranger's response is stored")
		require.Equal(t, "answer 3", get(t, rt, "/").body)
		require.Equal(t, "answer 4", do(t, rt, as("ann", request("GET", "/"))).body, "but not a user's")
	}
}

func TestRequestsThatTheCacheHasNoPartIn(t *testing.T) {
	for _, line := range []string{
		`If-Match: "x"`,
		"If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT",
		"Upgrade: websocket",
		"Cache-Control: no-store",
		"Cache-Control: \"", // unreadable
		"X-Http-Method-Override: DELETE",
		"X-Original-Url: /admin",
	} {
		t.Run(line, func(t *testing.T) {
			o := says("Cache-Control: public, max-age=60")
			require.False(t, isStored(t, o, request("GET", "/", line)))
			rt := over(o)
			get(t, rt, "/")
			require.Equal(t, "gateway; fwd=bypass", get(t, rt, "/", line).status(), "nor answered from the store")
		})
	}
}

func TestAGetWithABodyIsNotStored(t *testing.T) {
	for name, length := range map[string]int64{"declared": 1, "chunked": -1, "unknown to the client": 0} {
		t.Run(name, func(t *testing.T) {
			r := request("GET", "/")
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader("q")), length
			o := says("Cache-Control: max-age=60")
			require.False(t, isStored(t, o, r))
		})
	}
}

func TestRangesAndWholesDoNotMix(t *testing.T) {
	o := &origin{serve: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		http.ServeContent(w, r, "x.txt", testTime, strings.NewReader("0123456789"))
	}}
	rt := over(o)
	require.Equal(t, "23", get(t, rt, "/", "Range: bytes=2-3").body)
	require.Equal(t, "0123456789", get(t, rt, "/").body)
	require.Equal(t, "23", get(t, rt, "/", "Range: bytes=2-3").body)
	require.Equal(t, "0123456789", get(t, rt, "/").body)
	require.Equal(t, 2, o.calls(), "parts of what is stored whole are served from that")
}

func TestHeadIsAnsweredByAStoredGetButNotStored(t *testing.T) {
	o := says("Cache-Control: max-age=60")
	rt := over(o)
	do(t, rt, request("HEAD", "/"))
	require.Equal(t, "answer 2", get(t, rt, "/").body, "a HEAD is no empty GET")
	head := do(t, rt, request("HEAD", "/"))
	require.Empty(t, head.body)
	require.Equal(t, "8", head.Header.Get("Content-Length"))
	require.EqualValues(t, 8, head.ContentLength)
	require.Equal(t, 2, o.calls())
}
