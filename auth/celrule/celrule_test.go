package celrule_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway/auth"
	"github.com/gatewright/gateway/auth/celrule"
	"github.com/gatewright/gateway/internal/exchange"
)

var ann = &auth.Principal{
	Subject: "ann",
	Scopes:  []string{"read", "write"},
	Claims: map[string]any{
		"tenant": "t1", "roles": []any{"admin", "clerk"}, "level": json.Number("7"), "big": json.Number("9007199254740993"),
		"huge": json.Number("18446744073709551615"), "rate": json.Number("0.5"), "beyond": json.Number("1e999"), "none": nil, "vip": true,
		"address": map[string]any{"city": "Bern", "zip": json.Number("3000")},
	},
}

// status is what r gets from a handler that the rule guards, as somebody or as nobody.
func status(rule auth.Rule, r *http.Request, p *auth.Principal) int {
	if p != nil {
		r = r.WithContext(auth.NewContext(r.Context(), p))
	}
	w := httptest.NewRecorder()
	auth.Allow(rule)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(w, r)
	return w.Code
}

func request(target string) *http.Request { return httptest.NewRequest(http.MethodGet, target, nil) }

func TestExpressionsThatCannotHoldAreRefusedAtStartUp(t *testing.T) {
	for name, expression := range map[string]string{
		"empty":                  "",
		"no CEL":                 "request.method ==",
		"of another type":        "request.method",
		"of any type":            "principal.claims.vip",
		"a misspelt field":       `request.metod == "GET"`,
		"a misspelt variable":    `req.method == "GET"`,
		"a misspelt principal":   `principal.sub == "ann"`,
		"the whole principal":    `principal == null`,
		"types that differ":      "request.method == 1",
		"a parameter as text":    `request.query.n == "1"`,
		"an unknown function":    `exec("id") == ""`,
		"a regular expression":   `request.path.matches("(")`,
		"a duration":             `duration("soon") == duration("1s")`,
		"loops in loops in them": "[1].all(a, [1].all(b, [1].all(c, true)))",
		"too long":               "true" + strings.Repeat(" || true", 4000),
		"too deep":               strings.Repeat("(", 1000) + "true" + strings.Repeat(")", 1000),
		"assignment":             `request.method = "GET"`,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := celrule.New(expression)
			require.Error(t, err)
			assert.Panics(t, func() { celrule.Must(expression) })
		})
	}
}

func TestExpressionsSeeTheRequest(t *testing.T) {
	r := httptest.NewRequest(http.MethodPost, "http://Shop.TEST:8080/a%20b/%C3%A9?n=1&n=2&empty=&q=a%26b", nil)
	r.Header.Set("X-Tenant", "t1")
	r.Header["Accept"] = []string{"text/html", "*/*"}
	r.Header["Cookie"] = []string{"a=1", "b=2"}
	r.Header["X-Odd"] = []string{"\xff\xfe", ""}
	r.RemoteAddr = "[::ffff:192.0.2.7%eth0]:1234"
	for expression, want := range map[string]bool{
		`request.method == "POST"`:                                  true,
		`request.host == "shop.test"`:                               true,
		`request.path == "/a b/é"`:                                  true,
		`request.path.startsWith("/a")`:                             true,
		`request.query["n"] == ["1", "2"]`:                          true,
		`request.query["n"] == ["1"]`:                               false,
		`"2" in request.query["n"]`:                                 true,
		`request.query.empty == [""]`:                               true,
		`"absent" in request.query`:                                 false,
		`request.query.q == ["a&b"]`:                                true,
		`request.headers["x-tenant"] == "t1"`:                       true,
		`request.headers["X-Tenant"] == "t1"`:                       false,
		`request.headers["accept"] == "text/html, */*"`:             true,
		`request.headers.cookie == "a=1; b=2"`:                      true,
		`request.headers["x-odd"].size() > 0`:                       true,
		`request.headers[?"absent"].orValue("x") == "x"`:            true,
		`request.ip == "192.0.2.7"`:                                 true,
		`cidr("192.0.2.0/24").containsIP(request.ip)`:               true,
		`cidr("10.0.0.0/8").containsIP(request.ip)`:                 false,
		`request.time > timestamp("2020-01-01T00:00:00Z")`:          true,
		`request.time.getFullYear() < 2020`:                         false,
		`request.path.matches("^/a b/.$")`:                          true,
		`request.method == "POST" && request.headers["nope"] == ""`: false,
		`request.method == "POST" || request.headers["nope"] == ""`: true,
	} {
		got := status(celrule.Must(expression), r, nil) == http.StatusOK
		assert.Equal(t, want, got, expression)
	}
}

func TestExpressionsSeeWhomTheRequestSpeaksFor(t *testing.T) {
	for expression, want := range map[string]bool{
		`principal.subject == "ann"`:                             true,
		`"write" in principal.scopes`:                            true,
		`"admin" in principal.scopes`:                            false,
		`"admin" in principal.claims.roles`:                      true,
		`principal.claims.tenant == "t1"`:                        true,
		`principal.claims.level > 5`:                             true,
		`principal.claims.level == 7.0`:                          true,
		`principal.claims.level == "7"`:                          false,
		`principal.claims.big == 9007199254740993`:               true,
		`principal.claims.big == 9007199254740992`:               false,
		`principal.claims.huge == 18446744073709551615u`:         true,
		`principal.claims.rate < 1.0`:                            true,
		`principal.claims.vip == true`:                           true,
		`principal.claims.none == null`:                          true,
		`principal.claims.address.city == "Bern"`:                true,
		`principal.claims.address.zip == 3000`:                   true,
		`has(principal.claims.absent)`:                           false,
		`!has(principal.claims.absent)`:                          true,
		`principal.claims.roles.exists(r, r.startsWith("adm"))`:  true,
		`[1].exists(principal, principal == 1)`:                  true,
		`principal.claims.absent == "x"`:                         false,
		`!(principal.claims.absent == "x")`:                      false,
		`principal.claims.beyond > 1`:                            false,
		`principal.claims.tenant > 1`:                            false,
		`principal.claims.tenant == request.headers["x-tenant"]`: false,
	} {
		got := status(celrule.Must(expression), request("/"), ann) == http.StatusOK
		assert.Equal(t, want, got, expression)
	}
}

func TestNobodyIsAskedForCredentialsOnlyWhereTheyMatter(t *testing.T) {
	for expression, want := range map[string]int{
		`principal.subject == "ann"`:                             401,
		`request.method == "GET" || "write" in principal.scopes`: 401,
		`has(principal.claims.x)`:                                401,
		`!has(principal.claims.x)`:                               401,
		`request.method == "POST"`:                               403,
		`request.query["principal"] == ["x"]`:                    403,
		`request.method == "GET"`:                                200,
	} {
		assert.Equal(t, want, status(celrule.Must(expression), request("/?principal="), nil), expression)
	}
	either := auth.Any(celrule.Must(`request.method == "GET"`), celrule.Must(`"write" in principal.scopes`))
	assert.Equal(t, 200, status(either, request("/"), nil))
	assert.Equal(t, 401, status(auth.Not(celrule.Must(`principal.subject == "eve"`)), request("/"), nil))
	assert.Equal(t, 403, status(celrule.Must(`"x" in principal.scopes`), request("/"), &auth.Principal{Subject: "no scopes, no claims"}))
	assert.Equal(t, 200, status(celrule.Must(`principal.claims.size() == 0 && principal.scopes.size() == 0`), request("/"), &auth.Principal{}))
}

func TestWhatFailsDeniesAndIsLoggedWithoutValues(t *testing.T) {
	const secret = "s3cret-value"
	r := request("/?a=%zz")
	r.Header.Set("X-Key", secret)
	r.Header.Set("X-Long", strings.Repeat("ab", 1<<20))
	loop := `["0123456789"].map(x, request.headers["x-long"]).all(x, (x+x+x+x).matches("(a|b)*c|" + request.headers["x-key"]))`
	for expression, want := range map[string]string{
		`request.headers["absent"] == ""`:                       "no such key",
		`request.headers[request.headers["x-key"]] == ""`:       "no such key",
		`int(request.headers["x-key"]) == 1`:                    "failed",
		`!(int(request.headers["x-key"]) == 1)`:                 "failed",
		`1 / (request.method.size() - 3) == 1`:                  "failed",
		`request.path.matches(request.headers["x-key"] + "(")`:  "failed",
		`request.query["a"] == ["1"]`:                           "failed",
		`!("a" in request.query)`:                               "failed",
		`timestamp(request.headers["x-key"]) == request.time`:   "failed",
		`cidr(request.headers["x-key"]).containsIP(request.ip)`: "failed",
		loop: "too costly",
	} {
		x, r := exchange.Join(httptest.NewRecorder(), r)
		auth.Allow(celrule.Must(expression))(http.NotFoundHandler()).ServeHTTP(x, r)
		assert.Equal(t, http.StatusForbidden, x.Status(), expression)
		assert.Equal(t, []slog.Attr{slog.String("auth.cel", want)}, x.Notes, expression)
		assert.NotContains(t, fmt.Sprint(x.Notes, x.Err), secret)
	}
}

func TestWhatFailsDeniesTurnedRoundToo(t *testing.T) {
	for expression, target := range map[string]string{
		`"debug" in request.query`:                             "/?debug=1&x=%zz",
		`principal.claims.banned == true`:                      "/",
		`request.path.startsWith("/open")`:                     "/open%2Fx;y",
		`request.path == "/a/b"`:                               "/a%2Fb",
		`request.path == "/a/b" && principal.subject == "ann"`: "/a%252Fb",
	} {
		rule := celrule.Must(expression)
		if !strings.Contains(expression, "/open") {
			assert.Equal(t, 403, status(auth.Not(rule), request(target), ann), expression)
		} else {
			assert.Equal(t, 200, status(rule, request(target), ann), "all readings agree")
		}
	}
	assert.Equal(t, 200, status(auth.Not(celrule.Must(`"debug" in request.query`)), request("/?x=1"), nil))
}

// A backend may go by the spelling that the rule has not looked at.
func TestAHeaderWithANameInTwoSpellingsDecidesNothing(t *testing.T) {
	for _, other := range []string{"X_Tenant", "x-tenant", "X.Tenant"} {
		r := request("/")
		r.Header["X-Tenant"], r.Header[other] = []string{"t1"}, []string{"t2"}
		rule := celrule.Must(`request.headers["x-tenant"] == "t1"`)
		assert.Equal(t, 403, status(rule, r, nil), other)
		assert.Equal(t, 403, status(auth.Not(rule), r, nil), other)
		assert.Equal(t, 200, status(celrule.Must(`request.method == "GET"`), r, nil), "nor is it asked")
	}
}

func TestALongInputCannotMakeAnExpressionRunLong(t *testing.T) {
	var query bytes.Buffer
	for i := range 5000 {
		fmt.Fprintf(&query, "p%d=%d&", i, i)
	}
	r := request("/?" + strings.TrimSuffix(query.String(), "&"))
	rule := celrule.Must(`request.query.all(a, request.query.all(b, a + b != "x"))`) // 25 million steps
	start := time.Now()
	assert.Equal(t, http.StatusForbidden, status(rule, r, nil))
	assert.Less(t, time.Since(start), 10*time.Second)
}

func TestARequestThatHasEndedIsDenied(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := request("/?" + strings.Repeat("a=1&", 1000)).WithContext(ctx)
	assert.Equal(t, http.StatusForbidden, status(celrule.Must(`request.query["a"].all(x, x == "1")`), r, nil))
}

func TestTheTimeIsThatOfTheRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rule := celrule.Must(`request.time.getHours("UTC") >= 9`)
		assert.Equal(t, 403, status(rule, request("/"), nil)) // a bubble begins at midnight
		time.Sleep(9 * time.Hour)
		assert.Equal(t, 200, status(rule, request("/"), nil))
	})
}

func TestARuleIsAskedConcurrently(t *testing.T) {
	rule := celrule.Must(`request.headers["n"] == principal.subject && principal.claims.n == int(principal.subject)`)
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			text := fmt.Sprint(i)
			p := &auth.Principal{Subject: text, Claims: map[string]any{"n": json.Number(text)}}
			r := request("/")
			r.Header.Set("N", text)
			assert.Equal(t, 200, status(rule, r, p))
			assert.Equal(t, map[string]any{"n": json.Number(text)}, p.Claims)
		})
	}
	wg.Wait()
}

// Whatever a client sends, a rule answers, and what it does not hold of it denies.
func FuzzRequest(f *testing.F) {
	rule := celrule.Must(`request.path != "/x" && request.query.all(k, request.query[k].size() > 0) && request.host != "evil" && request.headers["h"] == "v" && request.ip == ""`)
	f.Add("/a", "n=1&n=2", "shop.test", "v", "1.2.3.4:5")
	f.Add("", "%zz;", "[::1]:80", "\xff", "")
	f.Fuzz(func(t *testing.T, path, query, host, header, address string) {
		r := request("/")
		r.URL.Path, r.URL.RawQuery, r.Host, r.RemoteAddr = path, query, host, address
		r.Header["H"] = []string{header}
		got := status(rule, r, nil)
		if header != "v" {
			assert.Equal(t, http.StatusForbidden, got)
		}
		assert.Contains(t, []int{http.StatusOK, http.StatusForbidden}, got)
	})
}
