package auth_test

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/auth"
	"github.com/gatewright/gateway/internal/exchange"
)

// gate imitates a service that answers every request alike, and shows the last.
type gate struct {
	status int // 0: 200
	header http.Header
	body   string
	last   *http.Request
}

func (g *gate) RoundTrip(r *http.Request) (*http.Response, error) {
	g.last = r
	res := reply(cmp.Or(g.status, 200), g.body)
	res.Header = g.header.Clone()
	return res, nil
}

func by(rt http.RoundTripper) auth.ForwardAuth {
	return auth.ForwardAuth{URL: "http://authz.test/check?tenant=1", Transport: rt}
}

func TestForwardAuthAsksWithWhatTheGatewayHasSeen(t *testing.T) {
	g := &gate{}
	r := httptest.NewRequest(http.MethodPost, "http://shop.test/a%2Fb/|?q=%20+&u=/x", strings.NewReader("content"))
	r.RemoteAddr, r.TLS = "203.0.113.7:4711", &tls.ConnectionState{}
	r.Header = http.Header{
		"Authorization": {"Bearer x"}, "Cookie": {"a=1", "b=2"}, "Accept": {"text/html"}, "Content-Type": {"text/plain"},
		"X-Forwarded-For": {"10.0.0.1"}, "X-Forwarded-Uri": {"/public"}, "X-Forwarded-Host": {"evil.test"},
		"X-Forwarded-Method": {"GET"}, "X-Forwarded-Proto": {"ftp"}, "X_forwarded_uri": {"/public"},
	}
	a := by(g)
	a.Send = []string{"accept", "X-Forwarded-Uri", "X-Forwarded-Port"}
	r.Header["X-Forwarded-Port"] = []string{"1"}
	assert.Equal(t, http.StatusOK, answer(auth.Require(a), r).Code)
	assert.Equal(t, http.MethodGet, g.last.Method)
	assert.Equal(t, "http://authz.test/check?tenant=1", g.last.URL.String())
	assert.Nil(t, g.last.Body)
	assert.Equal(t, http.Header{
		"Authorization": {"Bearer x"}, "Cookie": {"a=1", "b=2"}, "Accept": {"text/html"},
		"X-Forwarded-Method": {"POST"}, "X-Forwarded-Uri": {"/a%2Fb/|?q=%20+&u=/x"}, "X-Forwarded-Host": {"shop.test"},
		"X-Forwarded-Proto": {"https"}, "X-Forwarded-For": {"203.0.113.7"},
	}, g.last.Header)
}

func TestForwardAuthBelievesATrustedProxy(t *testing.T) {
	g := &gate{}
	x, r := exchange.Join(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "http://inner.test/", nil))
	x.Trusted, x.Client = true, netip.MustParseAddr("198.51.100.9")
	r.Header.Set("X-Forwarded-Proto", "https")
	r.Header.Set("X-Forwarded-Host", "shop.test")
	r.Header.Set("X-Forwarded-Uri", "/public")
	auth.Require(by(g))(http.NotFoundHandler()).ServeHTTP(x, r)
	for name, want := range map[string]string{"For": "198.51.100.9", "Proto": "https", "Host": "shop.test", "Uri": "/"} {
		assert.Equal(t, want, g.last.Header.Get("X-Forwarded-"+name), name)
	}
}

func TestForwardAuthCopiesWhatTheServiceSends(t *testing.T) {
	g := &gate{status: 204, header: http.Header{
		"X-Auth-User": {"ann"}, "X-Auth-Roles": {"a", "b"}, "X-Other": {"x"}, "Set-Cookie": {"s=1"}, "Authorization": {"Bearer inner"},
	}}
	a := by(g)
	a.Copy, a.Subject = []string{"x-auth-user", "X-Auth-Roles", "X-Auth-Plan", "Authorization"}, "X-Auth-User"
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header = http.Header{
		"Authorization": {"Bearer x"}, "Cookie": {"a=1"}, "X-Auth-User": {"mallory"}, "X_auth_user": {"mallory"}, "X-Auth_roles": {"admin"},
		"X-Auth-Plan": {"gold"}, "X_auth_plan": {"gold"}, "X-Other": {"mine"},
	}
	left := leftOf(t, r, a)
	assert.Equal(t, http.Header{
		"X-Auth-User": {"ann"}, "X-Auth-Roles": {"a", "b"}, "Authorization": {"Bearer inner"}, "X-Other": {"mine"},
	}, left.Header)
	p := auth.From(left.Context())
	assert.Equal(t, "ann", p.Subject)
	assert.Equal(t, map[string]any{"X-Auth-User": "ann", "X-Auth-Roles": []any{"a", "b"}}, p.Claims)
}

func TestForwardAuthKeepsOthersFromSpeakingForTheService(t *testing.T) {
	a := by(&gate{})
	a.Copy = []string{"X-Auth-User"}
	r := withKeys(apiKey)
	r.Header["X-Auth-User"], r.Header["X_auth_user"], r.Header["X-Auth-Users"] = []string{"root"}, []string{"root"}, []string{"x"}
	assert.Equal(t, http.Header{"X-Auth-Users": {"x"}}, seen(t, auth.Require(reports, a), r))
}

func TestForwardAuthForwardsCredentialsIfAsked(t *testing.T) {
	a := by(&gate{})
	request := func() *http.Request {
		r := withBearer("x")
		r.Header.Set("Cookie", "a=1")
		r.Header.Set("X-Key", "k")
		return r
	}
	assert.Equal(t, http.Header{"X-Key": {"k"}}, seen(t, auth.Require(a), request()))
	a.Credentials = []string{"Cookie", "x-key"}
	assert.Equal(t, http.Header{"Authorization": {"Bearer x"}}, seen(t, auth.Require(a), request()))
	a.Forward = true
	assert.Equal(t, request().Header, seen(t, auth.Require(a), request()))
	a.Credentials = []string{}
	seen(t, auth.Require(a), request())
}

// What an authenticator has read as a credential is not the backend's, in any spelling.
func TestForwardAuthRemovesCredentialsOnly(t *testing.T) {
	g := &gate{}
	a := by(g)
	a.Credentials, a.Send = []string{"X-Api-Token"}, []string{"Accept-Language"}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header = http.Header{"X-Api-Token": {"s3cret"}, "X_api_token": {"s3cret"}, "Accept-Language": {"fi"}, "Cookie": {"a=1"}}
	assert.Equal(t, http.Header{"Accept-Language": {"fi"}, "Cookie": {"a=1"}}, seen(t, auth.Require(a), r))
	assert.Equal(t, "s3cret", g.last.Header.Get("X-Api-Token"))
	assert.Equal(t, "fi", g.last.Header.Get("Accept-Language"))
	assert.Empty(t, g.last.Header["Cookie"])
}

// A backend that reads the field of the Subject must not read the client's.
func TestForwardAuthRemovesWhatItReadsOfTheAnswerThoughItIsNotCopied(t *testing.T) {
	a := by(&gate{header: http.Header{"X-Auth-User": {"ann"}, "X-Auth-Roles": {"buyer"}}})
	a.Subject, a.Roles = "x-auth-user", "x-auth-roles"
	r := withKeys()
	r.Header = http.Header{"X-Auth-User": {"root"}, "X_auth_user": {"root"}, "X-Auth_Roles": {"admin"}}
	assert.Empty(t, seen(t, auth.Require(a), r))
	r.Header = http.Header{"X-Auth-User": {"root"}, "X-Api-Key": {apiKey}}
	assert.Empty(t, seen(t, auth.Require(reports, a), r), "whoever lets it in")
}

func TestForwardAuthFindsRolesInListsWithCommas(t *testing.T) {
	for name, test := range map[string]struct {
		lines []string
		want  []string
	}{
		"one":      {[]string{"admin"}, []string{"admin"}},
		"a list":   {[]string{"admin, clerk,,\tnight shift "}, []string{"admin", "clerk", "night shift"}},
		"lines":    {[]string{"a,b", "c"}, []string{"a", "b", "c"}},
		"an empty": {[]string{""}, nil},
		"none":     {nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			a := by(&gate{header: http.Header{"X-Auth-Roles": test.lines}})
			a.Roles = "X-Auth-Roles"
			p, err := a.Authenticate(withBearer("x"))
			require.NoError(t, err)
			assert.Equal(t, test.want, p.Roles)
			assert.Nil(t, p.Claims)
		})
	}
	a := by(&gate{header: http.Header{"X-Auth-Roles": {"a\r\nb"}}})
	a.Roles = "X-Auth-Roles"
	_, err := a.Authenticate(withBearer("x"))
	assert.Equal(t, gateway.UpstreamBody, gateway.ProblemOf(err).Fault)
}

func TestForwardAuthAnswersAsTheServiceDoes(t *testing.T) {
	for name, test := range map[string]struct {
		gate   gate
		method string
		want   http.Header
	}{
		"401": {gate{status: 401, header: http.Header{"Www-Authenticate": {`Basic realm="a"`, "Negotiate"}, "Content-Type": {"text/plain"}}, body: "who?"},
			"GET", http.Header{"Www-Authenticate": {`Basic realm="a"`, "Negotiate"}, "Content-Type": {"text/plain"}}},
		"401 without a challenge": {gate{status: 401}, "GET", http.Header{"Www-Authenticate": {`Bearer realm="gateway"`}}},
		"403":                     {gate{status: 403, body: "no"}, "GET", http.Header{}},
		"403 to HEAD":             {gate{status: 403, body: "no"}, "HEAD", http.Header{}},
		"302": {gate{status: 302, header: http.Header{"Location": {"https://id.test/?rd=%2F"}, "Set-Cookie": {"a=1", "b=2"}}},
			"GET", http.Header{"Location": {"https://id.test/?rd=%2F"}, "Set-Cookie": {"a=1", "b=2"}}},
		"303":               {gate{status: 303, header: http.Header{"Location": {"/login"}}}, "POST", http.Header{"Location": {"/login"}}},
		"308":               {gate{status: 308, header: http.Header{"Location": {"/login"}}}, "POST", http.Header{"Location": {"/login"}}},
		"no more than that": {gate{status: 403, header: http.Header{"Server": {"authz-1"}, "X-Auth-User": {"ann"}, "Content-Length": {"9"}}}, "GET", http.Header{}},
	} {
		t.Run(name, func(t *testing.T) {
			a := by(&test.gate)
			a.Copy = []string{"X-Auth-User"}
			x, r := exchange.Join(httptest.NewRecorder(), httptest.NewRequest(test.method, "/", nil))
			auth.Require(a)(http.NotFoundHandler()).ServeHTTP(x, r)
			w := x.Unwrap().(*httptest.ResponseRecorder)
			assert.Equal(t, test.gate.status, w.Code)
			test.want["Cache-Control"], test.want["X-Content-Type-Options"] = []string{"no-store"}, []string{"nosniff"}
			assert.Equal(t, test.want, w.Header())
			if test.method == http.MethodHead {
				test.gate.body = ""
			}
			assert.Equal(t, test.gate.body, w.Body.String())
			require.Error(t, x.Err)
			assert.Equal(t, gateway.ClientRequest, gateway.ProblemOf(x.Err).Fault)
		})
	}
}

func TestForwardAuthKeepsTheCookiesOfOuterMiddlewares(t *testing.T) {
	w := httptest.NewRecorder()
	w.Header().Set("Set-Cookie", "outer=1")
	a := by(&gate{status: 403, header: http.Header{"Set-Cookie": {"a=1"}}})
	auth.Require(a)(http.NotFoundHandler()).ServeHTTP(w, withBearer("x"))
	assert.Equal(t, []string{"outer=1", "a=1"}, w.Header()["Set-Cookie"])
}

func TestForwardAuthLetsNobodyInOnAnythingElse(t *testing.T) {
	long := strings.Repeat("x", 64<<10+1)
	user := func(values ...string) http.Header { return http.Header{"X-Auth-User": values} }
	for name, test := range map[string]struct {
		rt     http.RoundTripper
		status int
		fault  gateway.Fault
	}{
		"100":                  {&gate{status: 100}, 502, gateway.UpstreamStatus},
		"300":                  {&gate{status: 300}, 502, gateway.UpstreamStatus},
		"304":                  {&gate{status: 304}, 502, gateway.UpstreamStatus},
		"302 to nowhere":       {&gate{status: 302}, 502, gateway.UpstreamBody},
		"302 to two places":    {&gate{status: 302, header: http.Header{"Location": {"/a", "/b"}}}, 502, gateway.UpstreamBody},
		"400":                  {&gate{status: 400}, 502, gateway.UpstreamStatus},
		"404":                  {&gate{status: 404}, 502, gateway.UpstreamStatus},
		"429":                  {&gate{status: 429}, 502, gateway.UpstreamStatus},
		"500":                  {&gate{status: 500, body: "authz-1"}, 502, gateway.UpstreamStatus},
		"a long refusal":       {&gate{status: 403, body: long}, 502, gateway.UpstreamBody},
		"an injected Location": {&gate{status: 302, header: http.Header{"Location": {"/\r\nSet-Cookie: a=1"}}}, 502, gateway.UpstreamBody},
		"an injected user":     {&gate{header: user("ann\r\nX-Role: admin")}, 502, gateway.UpstreamBody},
		"no user":              {&gate{}, 502, gateway.UpstreamBody},
		"an empty user":        {&gate{header: user("")}, 502, gateway.UpstreamBody},
		"two users":            {&gate{header: user("ann", "bob")}, 502, gateway.UpstreamBody},
		"refused connection": {roundTripper(func(*http.Request) (*http.Response, error) {
			return nil, &net.OpError{Op: "dial", Err: errors.New("authz-1")}
		}), 502, gateway.UpstreamDial},
		"hangs up":               {roundTripper(func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF }), 502, gateway.UpstreamHeader},
		"nothing and no failure": {roundTripper(func(*http.Request) (*http.Response, error) { return nil, nil }), 502, gateway.UpstreamHeader},
		"no endpoint": {roundTripper(func(*http.Request) (*http.Response, error) {
			return nil, &gateway.Problem{Status: 503, Fault: gateway.UpstreamUnavailable, Detail: "authz-1"}
		}), 503, gateway.UpstreamUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			a := by(test.rt)
			a.Copy, a.Subject = []string{"X-Auth-User"}, "X-Auth-User"
			w := answer(auth.Require(a), withBearer("secret"))
			assert.Equal(t, test.status, w.Code)
			assert.JSONEq(t, fmt.Sprintf(`{"type":"urn:problem-type:gateway:%s","title":%q,"status":%d}`,
				test.fault, http.StatusText(test.status), test.status), w.Body.String())
			_, err := a.Authenticate(withBearer("secret"))
			require.Error(t, err)
			assert.NotContains(t, err.Error(), "secret")
		})
	}
}

func TestForwardAuthGivesUpOnASlowService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, start := by(&desk{slow: time.Hour}), time.Now()
		assert.Equal(t, http.StatusGatewayTimeout, answer(auth.Require(a), withBearer("x")).Code)
		assert.Equal(t, 5*time.Second, time.Since(start))

		ctx, leave := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, leave)
		assert.Equal(t, 499, answer(auth.Require(a), withBearer("x").WithContext(ctx)).Code)
		assert.Equal(t, 6*time.Second, time.Since(start))
	})
}

// endless imitates content that never ends, and is never there.
type endless struct{ closed bool }

func (*endless) Read([]byte) (int, error) { select {} }
func (e *endless) Close() error           { e.closed = true; return nil }

func TestForwardAuthDoesNotWaitForContentItDoesNotNeed(t *testing.T) {
	body := &endless{}
	a := by(roundTripper(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Body: body, ContentLength: -1}, nil
	}))
	assert.Equal(t, http.StatusOK, answer(auth.Require(a), withBearer("x")).Code)
	assert.True(t, body.closed)
}

func TestForwardAuthPassesNoInterimResponseOn(t *testing.T) {
	a := by(roundTripper(func(r *http.Request) (*http.Response, error) {
		assert.Nil(t, exchange.From(r.Context()).Interim)
		return reply(200, ""), nil
	}))
	x, r := exchange.Join(httptest.NewRecorder(), withBearer("x"))
	x.Interim = func(int, http.Header) {}
	auth.Require(a)(http.NotFoundHandler()).ServeHTTP(x, r)
	assert.Equal(t, http.StatusNotFound, x.Status())
}

func TestForwardAuthRefusesBadLiteralsAtStartUp(t *testing.T) {
	with := func(send, copied []string, subject string) auth.ForwardAuth {
		return auth.ForwardAuth{URL: "http://authz.test", Send: send, Copy: copied, Subject: subject}
	}
	secret := func(credentials, send []string) auth.ForwardAuth {
		return auth.ForwardAuth{URL: "http://authz.test", Credentials: credentials, Send: send}
	}
	for name, test := range map[string]struct {
		literal auth.ForwardAuth
		fault   string
	}{
		"no URL":             {auth.ForwardAuth{}, "URL"},
		"a password":         {auth.ForwardAuth{URL: "http://a:s3cret@authz.test"}, "URL"},
		"negative Timeout":   {auth.ForwardAuth{URL: "http://authz.test", Timeout: -1}, "negative Timeout"},
		"Send a space":       {with([]string{"X Y"}, nil, ""), "Send"},
		"Send Connection":    {with([]string{"connection"}, nil, ""), "Send"},
		"Send Host":          {with([]string{"Host"}, nil, ""), "Send"},
		"a bad Credential":   {secret([]string{"X Y"}, nil), "Credentials"},
		"both":               {secret([]string{"X-Key"}, []string{"x-key"}), "both Credentials and Send"},
		"both, by default":   {secret(nil, []string{"cookie"}), "both Credentials and Send"},
		"Roles no name":      {auth.ForwardAuth{URL: "http://authz.test", Roles: "a b"}, "Roles"},
		"Copy nothing":       {with(nil, []string{""}, ""), "Copy"},
		"Copy framing":       {with(nil, []string{"Transfer-Encoding"}, ""), "Copy"},
		"Copy a length":      {with(nil, []string{"content-length"}, ""), "Copy"},
		"Copy where from":    {with(nil, []string{"x-forwarded-user"}, ""), "gateway.Proxy writes itself"},
		"Copy a certificate": {with(nil, []string{"Client-Cert"}, ""), "gateway.Proxy writes itself"},
		"Subject no name":    {with(nil, nil, "X\r\n"), "Subject"},
		"all":                {with([]string{"a b"}, []string{"c d"}, ""), "\nCopy: "},
	} {
		t.Run(name, func(t *testing.T) {
			err := panics(t, func() { auth.Require(test.literal) })
			require.ErrorContains(t, err, test.fault)
			assert.NotContains(t, err.Error(), "s3cret")
		})
	}
}

// By the transport that is made for it: no redirect is followed, no answer is inflated, and
// nothing stays behind when a literal is asked directly.
func TestServicesAreAskedOverSockets(t *testing.T) {
	defer goleak.VerifyNone(t)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/introspect":
			assert.Equal(t, opaque, r.PostFormValue("token"))
			assert.Empty(t, r.Header.Get("Accept-Encoding"))
			_, _ = io.WriteString(w, `{"active":true,"sub":"ann"}`)
		case "/check":
			w.Header().Set("X-Auth-User", r.Header.Get("X-Forwarded-Uri"))
		default:
			http.Redirect(w, r, "/introspect", http.StatusTemporaryRedirect)
		}
	}))
	defer s.Close()
	p, err := auth.Introspection{URL: s.URL + "/introspect"}.Authenticate(withBearer(opaque))
	require.NoError(t, err)
	assert.Equal(t, "ann", p.Subject)
	_, err = auth.Introspection{URL: s.URL + "/moved"}.Authenticate(withBearer(opaque))
	assert.Equal(t, gateway.UpstreamStatus, gateway.ProblemOf(err).Fault)
	p, err = auth.ForwardAuth{URL: s.URL + "/check", Subject: "X-Auth-User"}.Authenticate(withBearer(opaque))
	require.NoError(t, err)
	assert.Equal(t, "/", p.Subject)
	s.CloseClientConnections()
}
