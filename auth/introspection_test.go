package auth_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/auth"
)

const opaque = "2YotnFZFEjr1zCsicMWpAA"

// desk imitates an introspection endpoint that answers everything alike, and counts.
type desk struct {
	status int    // 0: 200
	body   string // what it says of any token
	slow   time.Duration
	asked  atomic.Int32
}

func (d *desk) RoundTrip(r *http.Request) (*http.Response, error) {
	d.asked.Add(1)
	select {
	case <-time.After(d.slow):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	return reply(max(d.status, 200), d.body), nil
}

func reply(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}
}

func at(rt http.RoundTripper) auth.Introspection {
	return auth.Introspection{URL: "https://id.test/introspect", Transport: rt, Issuer: "https://id.test", Audience: "app"}
}

const active = `{"active":true,"iss":"https://id.test","aud":"app","sub":"ann","scope":"read write","exp":4102444800}`

func TestIntrospectionSaysWhoWeAreInParametersIfTold(t *testing.T) {
	a := at(roundTripper(func(r *http.Request) (*http.Response, error) {
		assert.Empty(t, r.Header["Authorization"])
		assert.NoError(t, r.ParseForm())
		assert.Equal(t, url.Values{
			"client_id": {"g:w"}, "client_secret": {"s&x"}, "token": {opaque}, "token_type_hint": {"access_token"},
		}, r.PostForm)
		return reply(200, active), nil
	}))
	a.ClientID, a.ClientSecret, a.InParams = "g:w", "s&x", true
	assert.Equal(t, http.StatusOK, answer(auth.Require(a), withBearer(opaque)).Code)
}

// unavailable asserts that nobody was let in as nobody could tell, and that the client does
// not learn who was asked.
func unavailable(t *testing.T, w *httptest.ResponseRecorder, fault gateway.Fault) {
	t.Helper()
	assert.Equal(t, http.StatusServiceUnavailable, w.Code)
	assert.Empty(t, w.Header().Get("Www-Authenticate"))
	assert.JSONEq(t, `{"type":"urn:problem-type:gateway:`+string(fault)+`","title":"Service Unavailable","status":503,`+
		`"detail":"The credentials cannot be checked at the moment."}`, w.Body.String())
}

func TestIntrospectionRefusesWhatTheIssuerDoesNotVouchFor(t *testing.T) {
	with := func(members string) string { return `{"active":true,` + members + `}` }
	rest := `"iss":"https://id.test","aud":"app"`
	for name, body := range map[string]string{
		"inactive":                   `{"active":false}`,
		"inactive, with good claims": strings.Replace(active, "true", "false", 1),
		"expired":                    with(rest + `,"exp":946684800`),
		"from tomorrow":              with(rest + `,"nbf":4102444800`),
		"issued tomorrow":            with(rest + `,"iat":4102444800`),
		"another issuer":             with(`"iss":"https://id.test/","aud":"app"`),
		"no issuer":                  with(`"aud":"app"`),
		"another audience":           with(`"iss":"https://id.test","aud":["other","ap"]`),
		"no audience":                with(`"iss":"https://id.test"`),
		"bound to a key":             with(rest + `,"cnf":{"jkt":"x"}`),
		"bound to null":              with(rest + `,"cnf":null`),
	} {
		t.Run(name, func(t *testing.T) {
			refused(t, at(&desk{body: body}), opaque)
		})
	}
}

func TestIntrospectionLetsNobodyInOnAGarbledAnswer(t *testing.T) {
	for name, body := range map[string]string{
		"nothing":             ``,
		"html":                `<html>ok</html>`,
		"no object":           `true`,
		"null":                `null`,
		"an array":            `[` + active + `]`,
		"two objects":         active + active,
		"cut":                 active[:len(active)-1],
		"no active":           `{"sub":"ann"}`,
		"active in text":      `{"active":"true"}`,
		"active in number":    `{"active":1}`,
		"active in null":      `{"active":null}`,
		"active in caps":      `{"Active":true}`,
		"active twice":        `{"active":false,"active":true}`,
		"active twice, coded": `{"active":false,"\u0061ctive":true}`,
		"sub twice":           `{"active":true,"sub":"ann","sub":"bob"}`,
		"not UTF-8":           "{\"active\":true,\"sub\":\"\xff\"}",
		"exp in text":         `{"active":true,"exp":"4102444800"}`,
		"exp huge":            `{"active":true,"exp":1e400}`,
		"nbf negative":        `{"active":true,"nbf":-1}`,
		"iat null":            `{"active":true,"iat":null}`,
		"sub a number":        `{"active":true,"sub":1}`,
		"iss a list":          `{"active":true,"iss":["https://id.test"]}`,
		"client_id a number":  `{"active":true,"client_id":7}`,
		"aud an object":       `{"active":true,"aud":{"app":1}}`,
		"aud of numbers":      `{"active":true,"aud":["app",1]}`,
		"scope a number":      `{"active":true,"scope":1}`,
		"64 KiB and more":     `{"active":true,"x":"` + strings.Repeat("x", 64<<10) + `"}`,
		"too deep":            `{"active":true,"x":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `}`,
	} {
		t.Run(name, func(t *testing.T) {
			a := auth.Introspection{URL: "https://id.test/introspect", Transport: &desk{body: body}}
			unavailable(t, answer(auth.Require(a), withBearer(opaque)), gateway.UpstreamBody)
		})
	}
}

// broken is content that breaks off.
type broken struct{ io.Reader }

func (b broken) Read(p []byte) (int, error) {
	if n, _ := b.Reader.Read(p); n > 0 {
		return n, nil
	}
	return 0, io.ErrUnexpectedEOF
}

func TestIntrospectionLetsNobodyInWithoutAnAnswer(t *testing.T) {
	secret := `{"active":true,"client_secret":"s3cret"}`
	for name, test := range map[string]struct {
		rt    roundTripper
		fault gateway.Fault
	}{
		"redirected": {func(*http.Request) (*http.Response, error) {
			res := reply(http.StatusTemporaryRedirect, active)
			res.Header.Set("Location", "https://evil.test/")
			return res, nil
		}, gateway.UpstreamStatus},
		"our client is wrong": {func(*http.Request) (*http.Response, error) { return reply(401, active), nil }, gateway.UpstreamStatus},
		"created":             {func(*http.Request) (*http.Response, error) { return reply(201, active), nil }, gateway.UpstreamStatus},
		"failed":              {func(*http.Request) (*http.Response, error) { return reply(500, active), nil }, gateway.UpstreamStatus},
		"refuses connections": {func(*http.Request) (*http.Response, error) {
			return nil, &net.OpError{Op: "dial", Err: errors.New("10.0.0.7: connection refused")}
		}, gateway.UpstreamDial},
		"hangs up": {func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF }, gateway.UpstreamHeader},
		"no endpoint": {func(*http.Request) (*http.Response, error) {
			return nil, gateway.ProblemOf(&gateway.Problem{Status: 503, Fault: gateway.UpstreamUnavailable, Detail: "idp-1"})
		}, gateway.UpstreamUnavailable},
		"nothing at all":   {func(*http.Request) (*http.Response, error) { return nil, nil }, gateway.UpstreamHeader},
		"panics":           {func(*http.Request) (*http.Response, error) { panic(secret) }, gateway.UpstreamUnavailable},
		"aborts":           {func(*http.Request) (*http.Response, error) { panic(http.ErrAbortHandler) }, gateway.UpstreamUnavailable},
		"says it canceled": {func(*http.Request) (*http.Response, error) { return nil, context.Canceled }, gateway.UpstreamUnavailable},
		"breaks off": {func(*http.Request) (*http.Response, error) {
			res := reply(200, active)
			res.Body = io.NopCloser(broken{strings.NewReader(active)})
			return res, nil
		}, gateway.UpstreamBody},
		"compressed": {func(*http.Request) (*http.Response, error) {
			res := reply(200, active)
			res.Header.Set("Content-Encoding", "gzip")
			return res, nil
		}, gateway.UpstreamBody},
	} {
		t.Run(name, func(t *testing.T) {
			unavailable(t, answer(auth.Require(at(test.rt)), withBearer(opaque)), test.fault)
			_, err := at(test.rt).Authenticate(withBearer(opaque))
			require.Error(t, err)
			for _, leak := range []string{opaque, "s3cret"} {
				assert.NotContains(t, err.Error(), leak)
			}
		})
	}
}

func TestIntrospectionGivesUpOnASlowIssuer(t *testing.T) {
	for name, rt := range map[string]http.RoundTripper{
		"slow": &desk{slow: time.Hour, body: active},
		"deaf to its context": roundTripper(func(*http.Request) (*http.Response, error) {
			<-time.After(time.Minute)
			return reply(200, active), nil
		}),
		"trickling": roundTripper(func(r *http.Request) (*http.Response, error) {
			res := reply(200, "")
			body, w := io.Pipe()
			context.AfterFunc(r.Context(), func() { _ = w.CloseWithError(r.Context().Err()) })
			res.Body = body
			return res, nil
		}),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				unavailable(t, answer(auth.Require(at(rt)), withBearer(opaque)), gateway.UpstreamTimeout)
				assert.Equal(t, 5*time.Second, time.Since(start))
				time.Sleep(time.Hour)
			})
		})
	}
}

func TestIntrospectionRefusesWhatIsNoTokenWithoutAsking(t *testing.T) {
	for name, token := range map[string]string{
		"nothing": "", "huge": strings.Repeat("x", 8<<10+1), "spaces": "a b", "two": "a, Bearer b",
		"control": "a\x01", "quote": `"a"`, "not ASCII": "tök", "padding alone": "==", "padding within": "a=b", "NUL": "a\x00",
	} {
		t.Run(name, func(t *testing.T) {
			d := &desk{body: active}
			refused(t, at(d), token)
			assert.Zero(t, d.asked.Load())
		})
	}
}

func TestIntrospectionAsksAsTheRFCSays(t *testing.T) {
	var got *http.Request
	var body string
	a := at(roundTripper(func(r *http.Request) (*http.Response, error) {
		b, err := io.ReadAll(r.Body)
		got, body = r, string(b)
		return reply(200, active), err
	}))
	a.URL, a.ClientID, a.ClientSecret = "http://id.test/introspect?tenant=1", "gate:way", "p@ss w:rd%"
	token := "a+b/c=="
	w := answer(auth.Require(a), withBearer(token))
	assert.Equal(t, "hello ann", w.Body.String())
	assert.Equal(t, http.MethodPost, got.Method)
	assert.Equal(t, "http://id.test/introspect?tenant=1", got.URL.String())
	assert.Equal(t, "token=a%2Bb%2Fc%3D%3D&token_type_hint=access_token", body)
	id, secret, _ := got.BasicAuth()
	assert.Equal(t, "gate%3Away p%40ss+w%3Ard%25", id+" "+secret)
	assert.Equal(t, "application/x-www-form-urlencoded", got.Header.Get("Content-Type"))
	assert.Equal(t, "application/json", got.Header.Get("Accept"))

	a.ClientID, a.ClientSecret = "", ""
	answer(auth.Require(a), withBearer(token))
	assert.NotContains(t, got.Header, "Authorization", "the transport's to set")
}

func TestIntrospectionSaysWhoItIs(t *testing.T) {
	p, err := at(&desk{body: active[:len(active)-1] + `,"iat":946684801,"nbf":946684800}`}).Authenticate(withBearer(opaque))
	require.NoError(t, err)
	assert.Equal(t, "ann", p.Subject)
	assert.Equal(t, []string{"read", "write"}, p.Scopes)
	assert.Equal(t, time.Unix(4102444800, 0), p.Expires)
	iss, _ := p.Claim("iss")
	assert.Equal(t, "https://id.test", iss)

	p, err = auth.Introspection{URL: "https://id.test", Transport: &desk{body: `{"active":true}`}}.Authenticate(withBearer(opaque))
	require.NoError(t, err)
	assert.Empty(t, p.Subject)
	assert.Zero(t, p.Expires)
}

func TestIntrospectionKeepsTheTokenFromBackends(t *testing.T) {
	a := at(&desk{body: active})
	assert.Empty(t, seen(t, auth.Require(a), withBearer(opaque)))
	a.Forward = true
	assert.Equal(t, "Bearer "+opaque, seen(t, auth.Require(a), withBearer(opaque)).Get("Authorization"))
}

func TestJWTAndIntrospectionShareTheBearerTokens(t *testing.T) {
	d := &desk{body: `{"active":true,"sub":"opaque"}`}
	byJWT, byIssuer := annJWT, auth.Introspection{URL: "https://id.test", Transport: d}
	byJWT.Issuer = "https://id.test"
	own, foreign := signRSA(rs256, ann), signRSA(rs256, `{"iss":"https://other.test","exp":4102444800}`)
	for name, test := range map[string]struct {
		mw    gateway.Middleware
		token string
		body  string // empty: 401
	}{
		"JWT first, a JWT":               {auth.Require(byJWT, byIssuer), own, "hello ann"},
		"JWT first, an opaque token":     {auth.Require(byJWT, byIssuer), opaque, "hello opaque"},
		"JWT first, another's JWT":       {auth.Require(byJWT, byIssuer), foreign, "hello opaque"},
		"JWT last, a JWT":                {auth.Require(byIssuer, byJWT), own, "hello ann"},
		"JWT last, an opaque token":      {auth.Require(byIssuer, byJWT), opaque, "hello opaque"},
		"JWT last, another's JWT":        {auth.Require(byIssuer, byJWT), foreign, ""},
		"JWT first, a forged one":        {auth.Require(byJWT, byIssuer), own[:len(own)-4] + "AAAA", ""},
		"introspection alone, and a JWT": {auth.Require(byIssuer), own, "hello opaque"},
	} {
		t.Run(name, func(t *testing.T) {
			w := answer(test.mw, withBearer(test.token))
			if test.body == "" {
				assert.Equal(t, http.StatusUnauthorized, w.Code)
				return
			}
			assert.Equal(t, test.body, w.Body.String())
		})
	}
}

func TestIntrospectionRefusesBadLiteralsAtStartUp(t *testing.T) {
	for name, test := range map[string]struct {
		literal auth.Introspection
		fault   string
	}{
		"no URL":            {auth.Introspection{}, "URL"},
		"a path":            {auth.Introspection{URL: "/introspect"}, "URL"},
		"another scheme":    {auth.Introspection{URL: "ftp://id.test"}, "URL"},
		"a password in it":  {auth.Introspection{URL: "https://me:s3cret@id.test"}, "URL"},
		"a secret alone":    {auth.Introspection{URL: "https://id.test", ClientSecret: "s3cret"}, "without ClientID"},
		"negative Timeout":  {auth.Introspection{URL: "https://id.test", Timeout: -1}, "negative Timeout"},
		"negative Leeway":   {auth.Introspection{URL: "https://id.test", Leeway: -1}, "negative Leeway"},
		"who, to nobody":    {auth.Introspection{URL: "https://id.test", InParams: true}, "InParams without ClientID"},
		"all are mentioned": {auth.Introspection{Timeout: -1, Leeway: -1}, "negative Timeout\nnegative Leeway"},
	} {
		t.Run(name, func(t *testing.T) {
			err := panics(t, func() { auth.Require(test.literal) })
			require.ErrorContains(t, err, test.fault)
			assert.NotContains(t, err.Error(), "s3cret")
			_, err = test.literal.Authenticate(withBearer(opaque))
			require.ErrorContains(t, err, test.fault)
		})
	}
}

func TestIntrospectionIsPrintedWithoutItsSecret(t *testing.T) {
	a := auth.Introspection{URL: "https://id.test/introspect?key=s3cret", ClientID: "gateway", ClientSecret: "s3cret"}
	text := fmt.Sprintf("%v %+v %#v %s %q", a, a, a, &a, []any{a})
	var out strings.Builder
	slog.New(slog.NewJSONHandler(&out, nil)).Info("config", "auth", a, "all", []any{a})
	assert.NotContains(t, text+out.String(), "s3cret")
	assert.Equal(t, `auth.Introspection{URL: "https://id.test/introspect", ClientID: "gateway", secret redacted}`, fmt.Sprint(a))
	assert.NotContains(t, fmt.Sprint(auth.Introspection{URL: "https://me:s3cret@id.test"}), "s3cret")
}

func TestIntrospectionRefusesRefreshTokens(t *testing.T) {
	for _, says := range []string{`"token_type":"refresh_token"`, `"token_type":"Refresh"`, `"token_use":"refresh"`, `"token_use":"refresh_token"`, `"typ":"Refresh"`} {
		d := &desk{body: strings.Replace(active, "{", "{"+says+",", 1)}
		w := answer(auth.Require(at(d)), withBearer(opaque))
		assert.Equal(t, http.StatusUnauthorized, w.Code, says)
	}
	d := &desk{body: strings.Replace(active, "{", `{"token_type":"Bearer","token_use":"access",`, 1)}
	assert.Equal(t, http.StatusOK, answer(auth.Require(at(d)), withBearer(opaque)).Code)
}
