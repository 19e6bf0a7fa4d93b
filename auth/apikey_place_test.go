package auth_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway/auth"
)

func inQuery(query string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.URL.RawQuery = query
	return r
}

func inCookies(lines ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header["Cookie"] = lines
	return r
}

func TestAPIKeyInQueryOrCookieDecides(t *testing.T) {
	query, cookie := auth.APIKey{Query: "key", Keys: reports.Keys}, auth.APIKey{Cookie: "key", Keys: reports.Keys}
	tests := map[string]struct {
		a      auth.APIKey
		r      *http.Request
		status int
	}{
		"query":                     {query, inQuery("a=1&key=" + apiKey), 200},
		"query, another spelling":   {query, inQuery("%6B%65y=%6b" + apiKey[1:]), 200},
		"query, none":               {query, inQuery("a=1"), 401},
		"query, empty":              {query, inQuery("key="), 401},
		"query, name only":          {query, inQuery("key"), 401},
		"query, wrong":              {query, inQuery("key=x"), 401},
		"query, bad escape":         {query, inQuery("key=" + apiKey + "%zz"), 401},
		"query, and a semicolon":    {query, inQuery("key=" + apiKey + ";a=1"), 401},
		"query, twice":              {query, inQuery("key=" + apiKey + "&key=" + apiKey), 400},
		"query, in two spellings":   {query, inQuery("key=" + apiKey + "&k%65y=x"), 400},
		"query, twice, one empty":   {query, inQuery("key=" + apiKey + "&key"), 400},
		"query, but in a cookie":    {query, inCookies("key=" + apiKey), 401},
		"query, but in a header":    {query, withKeys(apiKey), 401},
		"cookie":                    {cookie, inCookies("a=1; key=" + apiKey), 200},
		"cookie, a line of its own": {cookie, inCookies("a=1", "key="+apiKey), 200},
		"cookie, none":              {cookie, inCookies("a=1"), 401},
		"cookie, empty":             {cookie, inCookies("key="), 401},
		"cookie, wrong":             {cookie, inCookies("key=x"), 401},
		"cookie, quoted":            {cookie, inCookies(`key="` + apiKey + `"`), 401},
		"cookie, escaped name":      {cookie, inCookies("%6bey=" + apiKey), 401},
		"cookie, twice":             {cookie, inCookies("key=" + apiKey + "; key=" + apiKey), 400},
		"cookie, twice in lines":    {cookie, inCookies("key="+apiKey, "key=x"), 400},
		"cookie, but in the query":  {cookie, inQuery("key=" + apiKey), 401},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := answer(auth.Require(test.a), test.r)
			assert.Equal(t, test.status, w.Code)
			if test.status == http.StatusOK {
				assert.Equal(t, "hello reports", w.Body.String())
				return
			}
			assert.Equal(t, test.a.Challenge(), w.Header().Get("Www-Authenticate"))
			assert.NotContains(t, w.Body.String(), apiKey)
			_, err := test.a.Authenticate(test.r)
			if err != nil {
				assert.NotContains(t, err.Error(), apiKey)
			}
		})
	}
	assert.Equal(t, `ApiKey query="key"`, query.Challenge())
	assert.Equal(t, `ApiKey cookie="key"`, cookie.Challenge())
}

// leftOf returns the request that is left behind the authenticators.
func leftOf(t *testing.T, r *http.Request, a ...auth.Authenticator) *http.Request {
	t.Helper()
	var got *http.Request
	auth.Require(a...)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r })).ServeHTTP(httptest.NewRecorder(), r)
	require.NotNil(t, got, "was not let in")
	return got
}

func TestAPIKeyIsRemovedWhereItWas(t *testing.T) {
	query, cookie := auth.APIKey{Query: "key", Keys: reports.Keys}, auth.APIKey{Cookie: "key", Keys: reports.Keys}
	r := leftOf(t, httptest.NewRequest(http.MethodGet, "/a%2Fb?q=%20+&k%65y="+apiKey+"&z=/", nil), query)
	assert.Equal(t, "q=%20+&z=/", r.URL.RawQuery)
	assert.Equal(t, "/a%2Fb?q=%20+&z=/", r.RequestURI)
	assert.Equal(t, http.Header{"Cookie": {"a=1; b=2"}}, leftOf(t, inCookies("a=1; key="+apiKey+"; b=2"), cookie).Header)

	t.Run("whoever decided", func(t *testing.T) {
		r := inQuery("key=wrong&a=1")
		r.Header = http.Header{"X-Api-Key": {apiKey}, "Cookie": {"key=wrong; a=1"}}
		r = leftOf(t, r, reports, query, cookie)
		assert.Equal(t, "a=1", r.URL.RawQuery)
		assert.Equal(t, http.Header{"Cookie": {"a=1"}}, r.Header)
	})
	t.Run("unless forwarded", func(t *testing.T) {
		query.Forward, cookie.Forward = true, true
		assert.Equal(t, "key="+apiKey, leftOf(t, inQuery("key="+apiKey), query).URL.RawQuery)
		assert.Equal(t, []string{"key=" + apiKey}, leftOf(t, inCookies("key="+apiKey), cookie).Header["Cookie"])
	})
}

func TestAPIKeyRefusesBadPlacesAtStartUp(t *testing.T) {
	for name, test := range map[string]struct {
		literal auth.APIKey
		fault   string
	}{
		"header and query":       {auth.APIKey{Header: "X-Key", Query: "key"}, "more than one of"},
		"header and cookie":      {auth.APIKey{Header: "X-Key", Cookie: "key"}, "more than one of"},
		"query and cookie":       {auth.APIKey{Query: "key", Cookie: "key"}, "more than one of"},
		"a quote in the query":   {auth.APIKey{Query: `k"y`}, "invalid Query"},
		"a line end in it":       {auth.APIKey{Query: "k\r\ny"}, "invalid Query"},
		"a semicolon in cookie":  {auth.APIKey{Cookie: "a;b"}, "invalid Cookie"},
		"a space in the cookie":  {auth.APIKey{Cookie: "a b"}, "invalid Cookie"},
		"nil store":              {auth.APIKey{Store: auth.KeyStoreFunc(nil)}, "nil Store"},
		"negative Timeout":       {auth.APIKey{Timeout: -1}, "negative Timeout"},
		"neither keys nor store": {auth.APIKey{Query: "key"}, "no Keys and no Store"},
	} {
		t.Run(name, func(t *testing.T) {
			if name != "neither keys nor store" && name != "nil store" {
				test.literal.Keys = reports.Keys
			}
			require.ErrorContains(t, panics(t, func() { auth.Require(test.literal) }), test.fault)
		})
	}
}

func TestAPIKeyTextSaysWhereTheKeyIs(t *testing.T) {
	assert.Equal(t, `auth.APIKey{Query: "key", 1 keys redacted}`, auth.APIKey{Query: "key", Keys: reports.Keys}.String())
	assert.Equal(t, `auth.APIKey{Cookie: "key", 0 keys redacted}`, auth.APIKey{Cookie: "key"}.String())
}

func TestAPIKeyDoesNotReadAFormOrAFragment(t *testing.T) {
	a := auth.APIKey{Query: "key", Keys: reports.Keys}
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	r.URL.Fragment = "key=" + apiKey
	r.PostForm = url.Values{"key": {apiKey}}
	assert.Equal(t, http.StatusUnauthorized, answer(auth.Require(a), r).Code)
}
