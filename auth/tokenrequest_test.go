package auth_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/auth"
)

// tokenRequests returns a token endpoint on the loopback and what it has been asked.
func tokenRequests(t *testing.T, answer http.HandlerFunc) (address string, asked *[]http.Request) {
	t.Helper()
	asked = &[]http.Request{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ParseForm() == nil {
			*asked = append(*asked, *r)
		}
		answer(w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL + "/token", asked
}

func giving(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json;charset=UTF-8")
		_, _ = io.WriteString(w, text)
	}
}

const goodToken = `{"access_token":"2YotnFZFEjr1zCsicMWpAA","token_type":"bearer","expires_in":3600,"example_parameter":"x"}`

// RFC 6749 section 4.4.2, with the escaping of section 2.3.1 that most forget.
func TestClientCredentialsAskAsRFC6749Says(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	t.Run("", func(t *testing.T) {
		address, asked := tokenRequests(t, giving(goodToken))
		transport := &auth.ClientCredentials{
			Base: &bearers{}, TokenURL: address + "?tenant=1", ClientID: "gw:x", ClientSecret: "a b%", Scopes: []string{"orders:read", "b"},
			Audience: "orders", Resource: "https://orders.test/", Parameters: url.Values{"x": {"1", "2"}},
		}
		assert.Equal(t, "2YotnFZFEjr1zCsicMWpAA", shown(t, transport, asking(t.Context(), nil, "")))
		require.Len(t, *asked, 1)
		r := (*asked)[0]
		assert.Equal(t, []string{"POST", "/token?tenant=1", "application/x-www-form-urlencoded"}, []string{r.Method, r.RequestURI, r.Header.Get("Content-Type")})
		user, password, _ := r.BasicAuth()
		assert.Equal(t, []string{"gw%3Ax", "a+b%25"}, []string{user, password})
		assert.Equal(t, url.Values{
			"grant_type": {"client_credentials"}, "scope": {"orders:read b"},
			"audience": {"orders"}, "resource": {"https://orders.test/"}, "x": {"1", "2"},
		}, r.PostForm)
	})
}

func TestClientCredentialsCanBeParameters(t *testing.T) {
	address, asked := tokenRequests(t, giving(goodToken))
	transport := &auth.ClientCredentials{Base: &bearers{}, TokenURL: address, ClientID: "gw", ClientSecret: clientSecret, InParams: true}
	assert.Equal(t, "2YotnFZFEjr1zCsicMWpAA", shown(t, transport, asking(t.Context(), nil, "")))
	require.Len(t, *asked, 1)
	r := (*asked)[0]
	assert.Empty(t, r.Header.Get("Authorization"))
	assert.Equal(t, url.Values{"grant_type": {"client_credentials"}, "client_id": {"gw"}, "client_secret": {clientSecret}}, r.PostForm)
}

// It is the Transport's certificate that says who we are (RFC 8705 section 2).
func TestClientCredentialsNeedNoSecret(t *testing.T) {
	address, asked := tokenRequests(t, giving(goodToken))
	transport := &auth.ClientCredentials{Base: &bearers{}, TokenURL: address, ClientID: "gw"}
	assert.Equal(t, "2YotnFZFEjr1zCsicMWpAA", shown(t, transport, asking(t.Context(), nil, "")))
	require.Len(t, *asked, 1)
	assert.Empty(t, (*asked)[0].Header.Get("Authorization"))
	assert.Equal(t, url.Values{"grant_type": {"client_credentials"}, "client_id": {"gw"}}, (*asked)[0].PostForm)
}

func TestTokenEndpointsAnswersAreJudged(t *testing.T) {
	const echo = `"error_description":"` + clientSecret + `"`
	status := func(code int, contentType, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			w.WriteHeader(code)
			_, _ = io.WriteString(w, text)
		}
	}
	tests := map[string]struct {
		answer http.HandlerFunc
		want   string // a token, or the problem, after which nobody asks for 1 s
		log    string
	}{
		"right":            {giving(goodToken), "2YotnFZFEjr1zCsicMWpAA", ""},
		"a form":           {status(200, "application/x-www-form-urlencoded", "access_token=t&token_type=bearer&expires_in=60"), "t", ""},
		"no token_type":    {giving(`{"access_token":"t"}`), "t", ""},
		"string expiry":    {giving(`{"access_token":"t","token_type":"Bearer","expires_in":"3600"}`), "t", ""},
		"zero expiry":      {giving(`{"access_token":"t","token_type":"Bearer","expires_in":0}`), "t", ""},
		"endless":          {giving(`{"access_token":"t","token_type":"Bearer","expires_in":99999999999999}`), "t", ""},
		"negative expiry":  {giving(`{"access_token":"t","token_type":"Bearer","expires_in":-1}`), "502 upstream_body", "expired before"},
		"overflow":         {giving(`{"access_token":"t","token_type":"Bearer","expires_in":1e400}`), "502 upstream_body", "not a token's"},
		"expiry no number": {giving(`{"access_token":"t","token_type":"Bearer","expires_in":"soon"}`), "502 upstream_body", "not a token's"},
		"mac":              {giving(`{"access_token":"t","token_type":"mac"}`), "502 upstream_body", "not one for bearers"},
		"N_A":              {giving(`{"access_token":"t","token_type":"N_A"}`), "502 upstream_body", "not one for bearers"},
		"no token":         {giving(`{"token_type":"Bearer"}`), "502 upstream_body", "not a token's"},
		"empty token":      {giving(`{"access_token":"","token_type":"Bearer"}`), "502 upstream_body", "not a token's"},
		"line break":       {giving(`{"access_token":"t\r\nX-Admin: 1","token_type":"Bearer"}`), "502 upstream_body", "cannot stand"},
		"space":            {giving(`{"access_token":"t t","token_type":"Bearer"}`), "502 upstream_body", "cannot stand"},
		"not ASCII":        {giving(`{"access_token":"tä","token_type":"Bearer"}`), "502 upstream_body", "cannot stand"},
		"long":             {giving(`{"access_token":"` + strings.Repeat("t", 9<<10) + `","token_type":"Bearer"}`), "502 upstream_body", "cannot stand"},
		"a list":           {giving(`["` + clientSecret + `"]`), "502 upstream_body", "not a token's"},
		"garbage":          {giving(clientSecret), "502 upstream_body", "not a token's"},
		"nothing":          {giving(""), "502 upstream_body", "not a token's"},
		"HTML":             {status(200, "text/html", "<html>Please log in, "+clientSecret), "502 upstream_body", "of type text/html, is not a token's"},
		"a strange type":   {status(200, clientSecret+"\xff;", "x"), "502 upstream_body", "of type unknown, is not a token's"},
		"10 MB":            {giving(`{"access_token":"t","pad":"` + strings.Repeat("x", 10<<20) + `"}`), "502 upstream_body", "not a token's"},
		"10 MB of form":    {status(200, "text/plain", "access_token=t&pad="+strings.Repeat("x", 10<<20)), "502 upstream_body", "not a token's"},
		"refused":          {status(401, "application/json", `{"error":"invalid_client",`+echo+`}`), "502 upstream_status", "status 401, invalid_client"},
		"refused with 200": {status(200, "application/json", `{"error":"invalid_scope",`+echo+`}`), "502 upstream_status", "status 200, invalid_scope"},
		"own code":         {status(400, "application/json", `{"error":"`+clientSecret+`"}`), "502 upstream_status", "status 400, no known error code"},
		"down":             {status(500, "text/html", clientSecret), "503 upstream_status", "status 500"},
		"too many":         {status(429, "text/plain", clientSecret), "503 upstream_status", "status 429"},
		"cut": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "99")
			_, _ = io.WriteString(w, `{"access`)
		}, "502 upstream_body", "not a token's"},
		"hangs up": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "503 upstream_unavailable", "closed before the response"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			address, _ := tokenRequests(t, test.answer)
			transport := ownToken(nil, &bearers{})
			transport.TokenURL, transport.Transport = address, nil
			got := shown(t, transport, asking(t.Context(), nil, ""))
			if test.log == "" {
				assert.Equal(t, test.want, got)
				return
			}
			assert.Equal(t, test.want+" 1s", got)
			_, err := transport.RoundTrip(asking(t.Context(), nil, ""))
			require.ErrorContains(t, err, test.log)
			for _, leak := range []string{clientSecret, "X-Admin", address} {
				assert.NotContains(t, err.Error(), leak)
			}
			text, err := json.Marshal(gateway.ProblemOf(err))
			require.NoError(t, err)
			assert.NotContains(t, string(text), "oken", "what the client gets says nothing of it")
		})
	}
}

// A redirect leads the secret elsewhere: 307 and 308 keep the method and the body.
func TestTokenRequestFollowsNoRedirect(t *testing.T) {
	elsewhere, asked := tokenRequests(t, giving(goodToken))
	for _, code := range []int{301, 302, 303, 307, 308} {
		address, _ := tokenRequests(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere, code) })
		transport := ownToken(nil, &bearers{})
		transport.TokenURL, transport.Transport = address, nil
		assert.Contains(t, shown(t, transport, asking(t.Context(), nil, "")), "502 upstream_status")
	}
	assert.Empty(t, *asked)
}

func TestTokenEndpointThatIsNotThere(t *testing.T) {
	s := httptest.NewServer(nil)
	s.Close()
	transport := ownToken(nil, &bearers{})
	transport.TokenURL, transport.Transport = s.URL, nil
	_, err := transport.RoundTrip(asking(t.Context(), nil, ""))
	require.ErrorContains(t, err, "refused")
	p := gateway.ProblemOf(err)
	assert.Equal(t, []any{503, gateway.UpstreamUnavailable}, []any{p.Status, p.Fault})
	assert.Empty(t, p.Detail)
}

func TestTokenRequestKnowsNothingOfTheRequestThatNeedsIt(t *testing.T) {
	transport := ownToken(nil, &bearers{})
	transport.Transport = sending(func(r *http.Request) (*http.Response, error) {
		assert.Nil(t, auth.From(r.Context()))
		_, limited := r.Context().Deadline()
		assert.True(t, limited)
		return replying(200, "application/json", goodToken), nil
	})
	shown(t, transport, asking(t.Context(), &auth.Principal{Subject: "ann"}, "callers"))
}

func TestTokenTransportsErrorIsInTheLogWithoutTheURL(t *testing.T) {
	transport := ownToken(nil, &bearers{})
	transport.TokenURL += "?key=" + clientSecret
	transport.Transport = sending(func(*http.Request) (*http.Response, error) {
		return nil, fmt.Errorf("dial: %w", errors.New("no route"))
	})
	_, err := transport.RoundTrip(asking(t.Context(), nil, ""))
	require.ErrorContains(t, err, "dial: no route")
	assert.NotContains(t, err.Error(), clientSecret)
}

func FuzzTokenResponse(f *testing.F) {
	f.Add("application/json", goodToken)
	f.Add("text/plain", "access_token=t&expires_in=-5")
	f.Add("application/json", `{"access_token":"a\nb","expires_in":"1"}`)
	f.Fuzz(func(t *testing.T, contentType, text string) {
		transport := ownToken(nil, sending(func(r *http.Request) (*http.Response, error) {
			v := r.Header["Authorization"]
			require.Len(t, v, 1)
			require.Regexp(t, `^Bearer [!-~]+$`, v[0])
			return replying(200, "text/plain", ""), nil
		}))
		transport.Timeout = time.Second
		transport.Transport = sending(func(*http.Request) (*http.Response, error) { return replying(200, contentType, text), nil })
		_, err := transport.RoundTrip(asking(t.Context(), nil, ""))
		if err != nil {
			require.NotContains(t, err.Error(), clientSecret)
			require.GreaterOrEqual(t, gateway.ProblemOf(err).Status, 502)
		}
	})
}
