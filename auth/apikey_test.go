package auth_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway/auth"
)

const apiKey = "k_7d1f0c5e9b3a48f6a2e4c8d0b6f1a3e5"

var reports = auth.APIKey{Keys: map[string]*auth.Principal{
	auth.HashKey(apiKey): {Subject: "reports", Scopes: []string{"read"}},
}}

func withKeys(keys ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	if keys != nil {
		r.Header["X-Api-Key"] = keys
	}
	return r
}

func TestAPIKeyDecides(t *testing.T) {
	tests := map[string]struct {
		keys   []string
		status int
	}{
		"right":             {[]string{apiKey}, http.StatusOK},
		"none":              {nil, http.StatusUnauthorized},
		"empty":             {[]string{""}, http.StatusUnauthorized},
		"wrong":             {[]string{"wrong"}, http.StatusUnauthorized},
		"the hash":          {[]string{auth.HashKey(apiKey)}, http.StatusUnauthorized},
		"other case":        {[]string{strings.ToUpper(apiKey)}, http.StatusUnauthorized},
		"a prefix":          {[]string{apiKey[:8]}, http.StatusUnauthorized},
		"two in one":        {[]string{apiKey + ", " + apiKey}, http.StatusUnauthorized},
		"huge":              {[]string{strings.Repeat("k", 1<<20)}, http.StatusUnauthorized},
		"twice":             {[]string{apiKey, apiKey}, http.StatusBadRequest},
		"right, then wrong": {[]string{apiKey, "wrong"}, http.StatusBadRequest},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := answer(auth.Require(reports), withKeys(test.keys...))
			assert.Equal(t, test.status, w.Code)
			if test.status == http.StatusOK {
				assert.Equal(t, "hello reports", w.Body.String())
				return
			}
			assert.Equal(t, `ApiKey header="X-Api-Key"`, w.Header().Get("Www-Authenticate"))
			assert.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
			assert.NotContains(t, w.Body.String(), apiKey)
		})
	}
}

func TestAPIKeyErrorsDoNotShowTheKey(t *testing.T) {
	for _, keys := range [][]string{{apiKey + "x"}, {apiKey, apiKey}} {
		_, err := reports.Authenticate(withKeys(keys...))
		require.Error(t, err)
		assert.NotContains(t, err.Error(), apiKey)
	}
}

func TestAPIKeyReadsTheHeaderItIsTold(t *testing.T) {
	a := auth.APIKey{Header: "x-shop-key", Keys: reports.Keys}
	r := withKeys()
	r.Header.Set("X-Shop-Key", apiKey)
	assert.Equal(t, http.StatusOK, answer(auth.Require(a), r).Code)
	w := answer(auth.Require(a), withKeys(apiKey))
	assert.Equal(t, http.StatusUnauthorized, w.Code)
	assert.Equal(t, `ApiKey header="X-Shop-Key"`, w.Header().Get("Www-Authenticate"))
}

func TestAPIKeyRefusesBadLiteralsAtStartUp(t *testing.T) {
	holder := &auth.Principal{Subject: "x"}
	tests := map[string]struct {
		literal auth.APIKey
		fault   string
	}{
		"no keys":          {auth.APIKey{}, "no Keys and no Store"},
		"a plain secret":   {auth.APIKey{Keys: map[string]*auth.Principal{apiKey: holder}}, "is not a HashKey"},
		"empty entry":      {auth.APIKey{Keys: map[string]*auth.Principal{"": holder}}, "is not a HashKey"},
		"upper case":       {auth.APIKey{Keys: map[string]*auth.Principal{strings.ToUpper(auth.HashKey(apiKey)): holder}}, "is not a HashKey"},
		"longer":           {auth.APIKey{Keys: map[string]*auth.Principal{auth.HashKey(apiKey) + "00": holder}}, "is not a HashKey"},
		"hash of nothing":  {auth.APIKey{Keys: map[string]*auth.Principal{auth.HashKey(""): holder}}, "hash of nothing"},
		"nobody":           {auth.APIKey{Keys: map[string]*auth.Principal{auth.HashKey(apiKey): nil}}, "has no Principal"},
		"header injection": {auth.APIKey{Header: "X\r\nY", Keys: reports.Keys}, "invalid Header"},
		"a space within":   {auth.APIKey{Header: "X Key", Keys: reports.Keys}, "invalid Header"},
		"all are named":    {auth.APIKey{Header: "X Key"}, "invalid Header\nno Keys and no Store"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			err := panics(t, func() { auth.Require(test.literal) })
			require.ErrorContains(t, err, test.fault)
			assert.NotContains(t, err.Error(), apiKey)
			_, err = test.literal.Authenticate(withKeys(apiKey))
			require.ErrorContains(t, err, test.fault)
		})
	}
}
