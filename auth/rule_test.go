package auth_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/auth"
	"github.com/gatewright/gateway/internal/exchange"
)

// as returns a request that speaks for p, nil for nobody.
func as(p *auth.Principal) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/orders", nil)
	return r.WithContext(auth.NewContext(r.Context(), p))
}

var (
	holds  = auth.If(func(*http.Request) bool { return true })
	denies = auth.If(func(*http.Request) bool { return false })
)

func TestRulesDecide(t *testing.T) {
	member := &auth.Principal{Subject: "ann", Scopes: []string{"read", "write"}, Roles: []string{"admin", "clerk"}, Claims: map[string]any{
		"realm_access": map[string]any{"level": "gold"}, "https://shop.test/plan": "gold",
		"roles": []any{"admin", "clerk"}, "groups": "staff night-shift", "tenant": "acme", "level": json.Number("3"),
		"verified": true, "null": nil, "labels": []string{"x"}, "object": map[string]any{"a": "b"}, "empty": "",
	}}
	office := netip.MustParsePrefix("192.0.2.0/24") // httptest's client is 192.0.2.1
	for name, test := range map[string]struct {
		rule                auth.Rule
		somebody, anonymous int
	}{
		"authenticated":               {auth.Authenticated, 200, 401},
		"a scope":                     {auth.Scope("read"), 200, 401},
		"all scopes":                  {auth.Scope("read", "write"), 200, 401},
		"a scope too many":            {auth.Scope("read", "admin"), 403, 401},
		"a scope in other case":       {auth.Scope("READ"), 403, 401},
		"part of a scope":             {auth.Scope("rea"), 403, 401},
		"role":                        {auth.Role("admin"), 200, 401},
		"one of the roles":            {auth.Role("x", "clerk"), 200, 401},
		"part of a role":              {auth.Role("adm"), 403, 401},
		"a claim is no role":          {auth.Role("night-shift"), 403, 401},
		"claim in an object":          {auth.Claim("realm_access.level", "gold"), 200, 401},
		"a name with dots":            {auth.Claim("https://shop.test/plan", "gold"), 200, 401},
		"absent in an object":         {auth.Claim("realm_access.plan"), 403, 401},
		"no such role":                {auth.Role("root"), 403, 401},
		"claim":                       {auth.Claim("tenant", "acme"), 200, 401},
		"claim of two values":         {auth.Claim("tenant", "x", "acme"), 200, 401},
		"another value":               {auth.Claim("tenant", "acm"), 403, 401},
		"number":                      {auth.Claim("level", "3"), 200, 401},
		"boolean":                     {auth.Claim("verified", "true"), 200, 401},
		"member of a list":            {auth.Claim("roles", "clerk"), 200, 401},
		"member of a list of strings": {auth.Claim("labels", "x"), 200, 401},
		"words are no members":        {auth.Claim("groups", "staff"), 403, 401},
		"subject":                     {auth.Claim("sub", "ann"), 200, 401},
		"there":                       {auth.Claim("object"), 200, 401},
		"null is not there":           {auth.Claim("null"), 403, 401},
		"empty is not there":          {auth.Claim("empty"), 403, 401},
		"an object has no value":      {auth.Claim("object", "b", "map[a:b]", ""), 403, 401},
		"absent":                      {auth.Claim("x"), 403, 401},
		"absent, and the empty value": {auth.Claim("x", ""), 403, 401},
		"address":                     {auth.If(gateway.ClientIP(office)), 200, 200},
		"another address":             {auth.If(gateway.Not(gateway.ClientIP(office))), 403, 403},
		"check":                       {auth.Check("x", func(_ *http.Request, p *auth.Principal) (bool, error) { return p.Subject == "ann", nil }), 200, 401},
		"all":                         {auth.All(holds, auth.Scope("read")), 200, 401},
		"all, the request first":      {auth.All(denies, auth.Scope("read")), 403, 403},
		"all, the principal first":    {auth.All(auth.Scope("read"), denies), 403, 401},
		"any":                         {auth.Any(denies, auth.Scope("read")), 200, 401},
		"any by the request":          {auth.Any(auth.Scope("x"), holds), 200, 200},
		"any of none":                 {auth.Any(denies, denies), 403, 403},
		"not":                         {auth.Not(auth.Scope("admin")), 200, 401},
		"not what holds":              {auth.Not(auth.Scope("read")), 403, 401},
		"not of the request":          {auth.Not(denies), 200, 200},
		"not not":                     {auth.Not(auth.Not(auth.Role("admin"))), 200, 401},
		"not any":                     {auth.Not(auth.Any(auth.Role("root"), denies)), 200, 401},
	} {
		t.Run(name, func(t *testing.T) {
			mw := auth.Allow(test.rule)
			assert.Equal(t, test.somebody, answer(mw, as(member)).Code, "somebody")
			assert.Equal(t, test.anonymous, answer(mw, as(nil)).Code, "nobody")
			if test.somebody == http.StatusOK {
				assert.Equal(t, 403, answer(auth.Allow(test.rule, denies), as(member)).Code, "all rules must hold")
			}
		})
	}
}

func TestRolesAreWhereTheIssuerHasThem(t *testing.T) {
	claims := `"roles":["buyer"],"groups":"staff night","cognito:groups":["pool"],"realm_access":{"roles":["realm"]}`
	issuer := roundTripper(func(*http.Request) (*http.Response, error) { return reply(200, `{"active":true,`+claims+`}`), nil })
	for path, want := range map[string][]string{
		"": {"buyer", "staff", "night"}, "cognito:groups": {"pool"}, "realm_access.roles": {"realm"}, "x": nil,
	} {
		t.Run(path, func(t *testing.T) {
			token := signRSA(rs256, `{"exp":4102444800,`+claims+`}`)
			for range 2 {
				p, err := auth.JWT{Key: &rsaKey().PublicKey, Roles: path}.Authenticate(withBearer(token))
				require.NoError(t, err)
				assert.Equal(t, want, p.Roles)
			}
			p, err := auth.Introspection{URL: "https://id.test", Transport: issuer, Roles: path}.Authenticate(withBearer(opaque))
			require.NoError(t, err)
			assert.Equal(t, want, p.Roles)
			for _, role := range want {
				assert.True(t, auth.Role("x", role).Holds(as(p)))
			}
			assert.False(t, auth.Role("admin").Holds(as(p)))
		})
	}
}

// What cannot be told lets nobody in, and its opposite nobody either.
func TestARuleThatIsUndecidedDeniesAlsoTurnedRound(t *testing.T) {
	broken := errors.New("dial tcp 10.0.0.1: refused")
	check := auth.Check("x", func(*http.Request, *auth.Principal) (bool, error) { return true, broken })
	request := auth.CheckRequest("x", func(*http.Request) (bool, error) { return false, broken })
	banned := auth.Role("banned")
	roles := func(v any) *auth.Principal {
		claims := must(json.Marshal(map[string]any{"exp": 4102444800, "roles": v}))
		return must(auth.JWT{Key: &rsaKey().PublicKey}.Authenticate(withBearer(signRSA(rs256, string(claims)))))
	}
	for name, test := range map[string]struct {
		rule auth.Rule
		p    *auth.Principal
		want int
	}{
		"check":                       {check, roles(nil), 403},
		"not":                         {auth.Not(check), roles(nil), 403},
		"not not":                     {auth.Not(auth.Not(check)), roles(nil), 403},
		"of the request":              {request, nil, 403},
		"not of the request":          {auth.Not(request), nil, 403},
		"all":                         {auth.All(holds, check), roles(nil), 403},
		"not all":                     {auth.Not(auth.All(check, denies)), roles(nil), 403},
		"any, and another holds":      {auth.Any(check, holds), roles(nil), 200},
		"any":                         {auth.Any(check, denies), roles(nil), 403},
		"not any":                     {auth.Not(auth.Any(check, denies)), roles(nil), 403},
		"not any, the other way":      {auth.Not(auth.Any(denies, check)), roles(nil), 403},
		"nobody":                      {auth.Not(check), nil, 401},
		"no roles":                    {auth.Not(banned), roles(nil), 200},
		"other roles":                 {auth.Not(banned), roles([]any{"x", json.Number("1")}), 200},
		"the role":                    {auth.Not(banned), roles([]any{"banned"}), 403},
		"a list in a list":            {auth.Not(banned), roles([]any{[]any{"banned"}}), 403},
		"an object":                   {auth.Not(banned), roles(map[string]any{"banned": true}), 403},
		"an object in a list":         {auth.Not(banned), roles([]any{"x", map[string]any{"name": "banned"}}), 403},
		"found though some cannot be": {auth.Role("x"), roles([]any{"x", []any{}}), 200},
		"a claim":                     {auth.Not(auth.Claim("roles", "banned")), roles([]any{[]any{"banned"}}), 403},
	} {
		t.Run(name, func(t *testing.T) {
			x, r := exchange.Join(httptest.NewRecorder(), as(test.p))
			auth.Allow(test.rule)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(x, r)
			assert.Equal(t, test.want, max(x.Status(), 200))
		})
	}
	x, r := exchange.Join(httptest.NewRecorder(), as(roles(nil)))
	auth.Allow(auth.Not(check))(http.NotFoundHandler()).ServeHTTP(x, r)
	require.ErrorIs(t, x.Err, broken, "for the log")
	assert.Equal(t, http.StatusForbidden, x.Status())
}

// A path that a backend could read in another way is neither permitted nor let off.
func TestNoSpellingOfAPathGetsRoundARule(t *testing.T) {
	path := auth.If(gateway.Path("/projects/{id}"))
	strict := auth.CheckRequest("x", func(r *http.Request) (bool, error) { return r.URL.Path == "/projects/1", nil })
	check := auth.Check("x", func(r *http.Request, _ *auth.Principal) (bool, error) { return r.URL.Path == "/projects/1", nil })
	for target, want := range map[string]struct{ permitted, denied int }{
		"/projects/1":       {200, 403},
		"/projects/a%20b":   {200, 403},
		"/projects/1;v=2":   {200, 403},
		"/projects/a%2Fb":   {403, 403},
		"/projects/a%252Fb": {403, 403},
		"/projects/a/b":     {403, 200},
		"/other/a%2Fb":      {403, 200},
	} {
		r := as(&auth.Principal{Subject: "ann"})
		u := must(url.Parse(target))
		r.URL.Path, r.URL.RawPath = u.Path, u.RawPath
		assert.Equal(t, want.permitted, answer(auth.Allow(path), r).Code, target)
		assert.Equal(t, want.denied, answer(auth.Allow(auth.Not(path)), r).Code, target)
	}
	r := as(&auth.Principal{Subject: "ann"})
	r.URL.Path, r.URL.RawPath = "/projects/1;x", "/projects/1;x"
	for _, rule := range []auth.Rule{strict, check} {
		assert.Equal(t, 403, answer(auth.Allow(rule), r).Code)
		assert.Equal(t, 403, answer(auth.Allow(auth.Not(rule)), r).Code)
	}
}

func TestAllowAnswersAsRFC6750Says(t *testing.T) {
	orders := auth.Allow(auth.Scope("orders:read", "orders:write"))
	insufficient := `Bearer error="insufficient_scope", error_description="The access token is good for less", scope="orders:read orders:write"`
	key := auth.APIKey{Keys: map[string]*auth.Principal{auth.HashKey(apiKey): {Subject: "reports"}}}
	chain := func(a ...auth.Authenticator) gateway.Middleware {
		return func(next http.Handler) http.Handler { return auth.Require(a...)(orders(next)) }
	}
	for name, test := range map[string]struct {
		mw        gateway.Middleware
		r         *http.Request
		status    int
		challenge []string
	}{
		"token":                     {chain(annJWT), withBearer(signRSA(rs256, ann)), 403, []string{insufficient}},
		"a principal of the user's": {orders, as(&auth.Principal{}), 403, []string{insufficient}},
		"key":                       {chain(key), withKeys(apiKey), 403, nil},
		"optional, nobody":          {chain(annJWT, key, auth.Anonymous), withKeys(), 401, []string{`Bearer realm="gateway"`, `ApiKey header="X-Api-Key"`}},
		"without Require":           {orders, withKeys(), 401, []string{`Bearer realm="gateway"`}},
		"a role":                    {auth.Allow(auth.Role("x")), as(&auth.Principal{}), 403, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := answer(test.mw, test.r)
			assert.Equal(t, test.status, w.Code)
			assert.Equal(t, test.challenge, w.Header()["Www-Authenticate"])
			assert.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
		})
	}
}

func TestAllowTellsTheLogWhichRuleDenied(t *testing.T) {
	rule := auth.All(holds, auth.Any(auth.Not(auth.Role("guest")), auth.Claim("tenant", "acme")))
	x, r := exchange.Join(httptest.NewRecorder(), as(&auth.Principal{Roles: []string{"guest"}}))
	auth.Allow(rule)(http.NotFoundHandler()).ServeHTTP(x, r)
	require.Error(t, x.Err)
	assert.Contains(t, x.Err.Error(), `denied by all(a predicate, any(not role ["guest"], claim "tenant" ["acme"]))`)
}

func TestRulesHoldOrNotWhereTheyChoose(t *testing.T) {
	gold := auth.Claim("plan", "gold")
	assert.True(t, gold.Holds(as(&auth.Principal{Claims: map[string]any{"plan": "gold"}})))
	assert.False(t, gold.Holds(as(&auth.Principal{Claims: map[string]any{"plan": "free"}})))
	assert.False(t, gold.Holds(as(nil)))
	assert.False(t, auth.Not(gold).Holds(as(nil)), "neither it nor its opposite holds for nobody")
	assert.False(t, gold.Holds(httptest.NewRequest(http.MethodGet, "/", nil)))
	assert.True(t, holds.Holds(as(nil)))
	assert.Panics(t, func() { auth.Rule{}.Holds(as(nil)) })
}

func TestRulesRefuseBadLiteralsAtStartUp(t *testing.T) {
	for name, f := range map[string]func(){
		"no rule":           func() { auth.Allow() },
		"no scope":          func() { auth.Scope() },
		"an empty scope":    func() { auth.Scope("") },
		"two scopes in one": func() { auth.Scope("read write") },
		"a quote":           func() { auth.Scope(`a"b`) },
		"a line break":      func() { auth.Scope("a\r\nb") },
		"no role":           func() { auth.Role() },
		"nil predicate":     func() { auth.If(nil) },
		"nil check":         func() { auth.Check("x", nil) },
		"nil function":      func() { auth.CheckRequest("x", nil) },
		"all of nothing":    func() { auth.All() },
		"any of nothing":    func() { auth.Any() },
	} {
		t.Run(name, func(t *testing.T) { assert.Error(t, panics(t, f)) })
	}
}

func TestAnonymousMakesCredentialsOptionalButNotWrongOnesRight(t *testing.T) {
	mw := auth.Require(annJWT, auth.Anonymous)
	assert.Equal(t, "hello ann", answer(mw, withBearer(signRSA(rs256, ann))).Body.String())
	assert.Equal(t, 401, answer(mw, withBearer("a.b.c")).Code)
	w := httptest.NewRecorder()
	mw(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		assert.Nil(t, auth.From(r.Context()))
		assert.Nil(t, exchange.From(r.Context()).Principal, "a nil pointer in an interface is somebody")
	})).ServeHTTP(w, withKeys())
	assert.Equal(t, 200, w.Code)
}

// An inner Require decides anew: whom the outer one knew must not be left over.
func TestAnonymousIsNotWhoAnOuterRequireKnew(t *testing.T) {
	inner := auth.Require(auth.Anonymous)
	mw := func(next http.Handler) http.Handler { return auth.Require(annJWT)(inner(next)) }
	assert.Equal(t, "hello ", answer(mw, withBearer(signRSA(rs256, ann))).Body.String())
}

func TestRequireAsksOfSeveralThatTakeBearerTokensTheRightOne(t *testing.T) {
	at := func(iss string) auth.JWT { return auth.JWT{Issuer: iss, Key: &rsaKey().PublicKey} }
	token := func(iss string) string {
		return signRSA(rs256, `{"iss":"`+iss+`","sub":"`+iss+`","exp":4102444800}`)
	}
	mw := auth.Require(at("a"), at("b"), reports, at("c"))
	for iss, want := range map[string]int{"a": 200, "b": 200, "c": 200, "d": 401} {
		for range 2 { // the second time it is remembered
			w := answer(mw, withBearer(token(iss)))
			assert.Equal(t, want, w.Code, iss)
			if want == 401 {
				assert.Equal(t, []string{`Bearer error="invalid_token", error_description="The access token is not valid"`}, w.Header()["Www-Authenticate"])
			}
		}
	}
	forged := strings.Replace(token("b"), ".", ".x", 1)
	for _, bad := range []string{"", ".", "opaque", "a.b.c", forged, token("a") + "x", strings.Repeat(token("a"), 50)} {
		assert.Equal(t, 401, answer(mw, withBearer(bad)).Code, bad)
	}
	r := withBearer(token("b"))
	r.Header.Add("Authorization", "Bearer "+token("a"))
	assert.Equal(t, 400, answer(mw, r).Code)
}

// What is known to have been right, but is no longer, is refused as what was never right.
func TestExpiredCredentialsAreRefusedInTheSameWords(t *testing.T) {
	past := must(http.ParseTime("Sun, 06 Nov 1994 08:49:37 GMT"))
	keys := map[string]*auth.Principal{auth.HashKey(apiKey): {Subject: "reports", Expires: past}}
	store := auth.KeyStoreFunc(func(_ context.Context, hash string) (*auth.Principal, error) { return keys[hash], nil })
	for name, test := range map[string]struct {
		a           auth.Authenticator
		r           *http.Request
		detail, log string
	}{
		"token":      {auth.JWT{Key: &rsaKey().PublicKey}, withBearer(signRSA(rs256, `{"exp":1}`)), "The access token is not valid.", "token is expired"},
		"key":        {auth.APIKey{Keys: keys}, withKeys(apiKey), "The API key is not valid.", "key is expired"},
		"stored key": {auth.APIKey{Store: store}, withKeys(apiKey), "The API key is not valid.", "key is expired"},
		"your own":   {auth.AuthenticatorFunc(func(*http.Request) (*auth.Principal, error) { return &auth.Principal{Expires: past}, nil }), withKeys(), "The credentials are not valid.", "they are expired"},
	} {
		t.Run(name, func(t *testing.T) {
			x, r := exchange.Join(httptest.NewRecorder(), test.r)
			auth.Require(test.a)(http.NotFoundHandler()).ServeHTTP(x, r)
			p := gateway.ProblemOf(x.Err)
			assert.Equal(t, []any{401, test.detail}, []any{p.Status, p.Detail})
			assert.ErrorContains(t, x.Err, test.log)
		})
	}
}

func TestRequireChecksWhenAPrincipalExpires(t *testing.T) {
	expired := auth.AuthenticatorFunc(func(*http.Request) (*auth.Principal, error) {
		return &auth.Principal{Subject: "ann", Expires: must(http.ParseTime("Sun, 06 Nov 1994 08:49:37 GMT"))}, nil
	})
	w := answer(auth.Require(expired), withKeys())
	assert.Equal(t, 401, w.Code)
	assert.Equal(t, `Bearer realm="gateway"`, w.Header().Get("Www-Authenticate"))
}

// The token is kept for who relays it, and shown to nobody.
func TestRequireKeepsTheTokenSecret(t *testing.T) {
	token := signRSA(rs256, ann)
	x, r := exchange.Join(httptest.NewRecorder(), withBearer(token))
	auth.Require(annJWT)(http.NotFoundHandler()).ServeHTTP(x, r)
	assert.Equal(t, token, string(x.Token))
	var out strings.Builder
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "token", x.Token, "all", *x.State)
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "token", x.Token, "all", *x.State)
	assert.NotContains(t, out.String(), token[:20])

	r.Header.Set("X-Api-Key", apiKey)
	auth.Require(reports)(http.NotFoundHandler()).ServeHTTP(x, r)
	assert.Empty(t, x.Token, "a key is no token")
}
