package auth_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/alexedwards/argon2id"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"

	"github.com/gatewright/gateway/auth"
)

const password = "correct horse: pärt"

// cheap hashes are for tests: they keep no secret.
func cheapArgon(password string) string {
	return must(argon2id.CreateHash(password, &argon2id.Params{Memory: 64, Iterations: 1, Parallelism: 1, SaltLength: 16, KeyLength: 32}))
}

func cheapBcrypt(password string) string {
	return string(must(bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)))
}

var staff = auth.Basic{Users: map[string]string{
	"ann": cheapArgon(password), "bob": cheapBcrypt(password), "zoë": cheapBcrypt("x"), "": cheapBcrypt("nameless"),
}}

func withBasic(user, password string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.SetBasicAuth(user, password)
	return r
}

func withAuthorization(fields ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header["Authorization"] = fields
	return r
}

func TestBasicDecides(t *testing.T) {
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	right := b64("ann:" + password)
	long := strings.Repeat("x", 72)
	maxs := b64("max:" + long)
	require.True(t, strings.HasSuffix(maxs, "=="))
	users := auth.Basic{Users: map[string]string{"ann": staff.Users["ann"], "bob": staff.Users["bob"], "zoë": staff.Users["zoë"], "max": cheapBcrypt(long), "eve": cheapArgon(long + "y")}}
	tests := map[string]struct {
		r      *http.Request
		status int
	}{
		"Argon2id":               {withBasic("ann", password), 200},
		"bcrypt":                 {withBasic("bob", password), 200},
		"UTF-8":                  {withBasic("zoë", "x"), 200},
		"bcrypt, 72 bytes":       {withBasic("max", long), 200},
		"Argon2id, 73 bytes":     {withBasic("eve", long+"y"), 200},
		"scheme in lower case":   {withAuthorization("basic " + right), 200},
		"spaces":                 {withAuthorization("BASIC   " + right), 200},
		"none":                   {withKeys(), 401},
		"unknown user":           {withBasic("dan", password), 401},
		"empty user":             {withBasic("", password), 401},
		"another user's":         {withBasic("zoë", password), 401},
		"user in another case":   {withBasic("Ann", password), 401},
		"wrong password":         {withBasic("ann", "wrong"), 401},
		"empty password":         {withBasic("ann", ""), 401},
		"a prefix":               {withBasic("ann", password[:5]), 401},
		"longer":                 {withBasic("ann", password+"x"), 401},
		"the hash":               {withBasic("ann", users.Users["ann"]), 401},
		"bcrypt, 73 bytes":       {withBasic("max", long+"y"), 401},
		"bcrypt, NUL":            {withBasic("bob", password+"\x00"), 401},
		"control in the name":    {withBasic("ann\n", password), 401},
		"Latin-1":                {withBasic("zo\xeb", "x"), 401},
		"no colon":               {withAuthorization("Basic " + b64("ann")), 401},
		"nothing":                {withAuthorization("Basic"), 401},
		"no base64":              {withAuthorization("Basic ann:" + password), 401},
		"base64url":              {withAuthorization("Basic " + base64.URLEncoding.EncodeToString([]byte("ann:???>>>"))), 401},
		"no padding":             {withAuthorization("Basic " + strings.TrimRight(maxs, "=")), 401},
		"a line break":           {withAuthorization("Basic " + right[:4] + "\n" + right[4:]), 401},
		"a parameter":            {withAuthorization("Basic " + right + ", realm=x"), 401},
		"not canonical":          {withAuthorization("Basic " + maxs[:len(maxs)-3] + nextInAlphabet(maxs[len(maxs)-3]) + "=="), 401},
		"huge":                   {withBasic("ann", strings.Repeat("x", 1<<20)), 401},
		"another scheme":         {withAuthorization("Bearer " + right), 401},
		"a longer scheme":        {withAuthorization("Basics " + right), 401},
		"twice":                  {withAuthorization("Basic "+right, "Basic "+right), 400},
		"and another credential": {withAuthorization("Basic "+right, "Bearer x"), 400},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			for _, mw := range []func(http.Handler) http.Handler{auth.Require(users), auth.Require(auth.AuthenticatorFunc(users.Authenticate), users)} {
				w := answer(mw, test.r.Clone(t.Context()))
				assert.Equal(t, test.status, w.Code)
				if test.status == http.StatusOK {
					continue
				}
				assert.Contains(t, w.Header().Values("Www-Authenticate"), `Basic realm="gateway", charset="UTF-8"`)
				assert.NotContains(t, w.Body.String(), "horse")
			}
		})
	}
}

func TestBasicAnswersAlikeWhetherTheUserIsKnown(t *testing.T) {
	guard := auth.Require(staff)
	known, unknown := answer(guard, withBasic("ann", "wrong")), answer(guard, withBasic("dan", "wrong"))
	assert.Equal(t, known.Body, unknown.Body)
	assert.Equal(t, known.Header(), unknown.Header())
	_, errKnown := staff.Authenticate(withBasic("ann", "wrong"))
	_, errUnknown := staff.Authenticate(withBasic("dan", "wrong"))
	assert.EqualError(t, errKnown, errUnknown.Error())
	assert.NotContains(t, errKnown.Error(), "ann")
}

// The least of several is what the machine's other work disturbs least.
func TestBasicTakesAsLongForUnknownUsers(t *testing.T) {
	hash := must(argon2id.CreateHash(password, &argon2id.Params{Memory: 8 << 10, Iterations: 2, Parallelism: 1, SaltLength: 16, KeyLength: 32}))
	find := func(_ context.Context, user string) (string, *auth.Principal, error) {
		if user == "ann" {
			return hash, nil, nil
		}
		return "", nil, nil
	}
	for name, b := range map[string]auth.Basic{"Users": {Users: map[string]string{"ann": hash}}, "Find": {Find: find}} {
		guard := auth.Require(b)
		least := map[string]time.Duration{"ann": math.MaxInt64, "dan": math.MaxInt64}
		for range 5 {
			for _, user := range []string{"ann", "dan"} {
				start := time.Now()
				require.Equal(t, 401, answer(guard, withBasic(user, "wrong")).Code)
				least[user] = min(least[user], time.Since(start))
			}
		}
		ratio := float64(least["dan"]) / float64(least["ann"])
		assert.Greater(t, ratio, 0.4, "%s: %v", name, least)
		assert.Less(t, ratio, 2.5, "%s: %v", name, least)
	}
}

func TestBasicFindsUsers(t *testing.T) {
	failure := error(nil)
	b := auth.Basic{
		Users: map[string]string{"ann": cheapBcrypt("of the list")},
		Find: func(_ context.Context, user string) (string, *auth.Principal, error) {
			switch user {
			case "bob":
				return cheapBcrypt("bob's"), &auth.Principal{Subject: "u7", Scopes: []string{"read"}}, failure
			case "ann", "dan":
				return cheapBcrypt("found"), nil, failure
			case "broken":
				return "s3cret in the clear", nil, failure
			case "greedy":
				return strings.Replace(cheapArgon("x"), "m=64,", "m=99999999,", 1), nil, failure
			}
			return "", &auth.Principal{Subject: "not known at all"}, failure
		},
	}
	guard := auth.Require(b)
	for _, test := range []struct {
		user, password, want string
		status               int
	}{
		{"bob", "bob's", "hello u7", 200},
		{"dan", "found", "hello dan", 200},
		{"ann", "of the list", "hello ann", 200},
		{"ann", "found", "", 401},
		{"eve", "found", "", 401},
		{"eve", "", "", 401},
		{"broken", "s3cret in the clear", "", 503},
		{"greedy", "x", "", 503},
	} {
		w := answer(guard, withBasic(test.user, test.password))
		assert.Equal(t, test.status, w.Code, "%+v", test)
		if test.want != "" {
			assert.Equal(t, test.want, w.Body.String())
		}
	}
	_, err := b.Authenticate(withBasic("broken", "x"))
	assert.NotContains(t, err.Error(), "s3cret")
	failure = errors.New("dial tcp 10.0.0.1: refused")
	w := answer(guard, withBasic("dan", "found"))
	assert.Equal(t, 503, w.Code, "what is remembered is asked for as well")
	assert.Equal(t, "1", w.Header().Get("Retry-After"))
	assert.NotContains(t, w.Body.String(), "10.0.0.1")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	assert.Equal(t, 499, answer(guard, withBasic("dan", "found").WithContext(ctx)).Code)
}

func TestBasicDoesNotChangeWhomFindReturns(t *testing.T) {
	shared := &auth.Principal{Subject: "u7"}
	guard := auth.Require(auth.Basic{Find: func(context.Context, string) (string, *auth.Principal, error) { return cheapBcrypt("x"), shared, nil }})
	assert.Empty(t, seen(t, guard, withBasic("bob", "x")))
	assert.Equal(t, &auth.Principal{Subject: "u7"}, shared)
}

func TestBasicForgetsAPasswordThatIsChanged(t *testing.T) {
	hash := cheapBcrypt("old")
	guard := auth.Require(auth.Basic{Remember: time.Hour, Find: func(context.Context, string) (string, *auth.Principal, error) { return hash, nil, nil }})
	assert.Equal(t, 200, answer(guard, withBasic("ann", "old")).Code)
	assert.Equal(t, 200, answer(guard, withBasic("ann", "old")).Code)
	hash = cheapBcrypt("new")
	assert.Equal(t, 401, answer(guard, withBasic("ann", "old")).Code)
	assert.Equal(t, 200, answer(guard, withBasic("ann", "new")).Code)
	hash = ""
	assert.Equal(t, 401, answer(guard, withBasic("ann", "new")).Code)
}

func TestBasicKeepsPasswordsFromBackends(t *testing.T) {
	assert.Empty(t, seen(t, auth.Require(staff), withBasic("ann", password)))
	assert.Empty(t, seen(t, auth.Require(auth.AuthenticatorFunc(staff.Authenticate)), withBasic("ann", password)))
	forward := staff
	forward.Forward = true
	assert.NotEmpty(t, seen(t, auth.Require(forward), withBasic("ann", password)).Get("Authorization"))
}

func TestBasicStandsBesideTokens(t *testing.T) {
	guard := auth.Require(annJWT, staff)
	assert.Equal(t, "hello ann", answer(guard, withBasic("ann", password)).Body.String())
	assert.Equal(t, "hello ann", answer(guard, withBearer(signRSA(rs256, ann))).Body.String())
	assert.Len(t, answer(guard, withKeys()).Header().Values("Www-Authenticate"), 2)
}

func TestBasicRefusesBadLiteralsAtStartUp(t *testing.T) {
	argon := cheapArgon("s3cret")
	with := func(hash string) auth.Basic { return auth.Basic{Users: map[string]string{"ann": hash}} }
	parameters := func(p string) auth.Basic { return with(strings.Replace(argon, "m=64,t=1,p=1", p, 1)) }
	tests := map[string]struct {
		literal auth.Basic
		fault   string
	}{
		"nobody":                {auth.Basic{}, "neither Users nor Find"},
		"a colon":               {auth.Basic{Users: map[string]string{"a:b": argon}}, `user "a:b"`},
		"a control":             {auth.Basic{Users: map[string]string{"a\n": argon}}, `user "a\n"`},
		"no UTF-8":              {auth.Basic{Users: map[string]string{"\xff": argon}}, "not UTF-8"},
		"the password":          {with("s3cret"), `user "ann": the hash is neither`},
		"no hash":               {with(""), "neither"},
		"SHA":                   {with("$6$s3cret$s3cret"), "neither"},
		"argon2i":               {with(strings.Replace(argon, "argon2id", "argon2i", 1)), "neither"},
		"an older version":      {with(strings.Replace(argon, "v=19", "v=16", 1)), "neither"},
		"more behind it":        {with(argon + "\n"), "neither"},
		"4 GiB":                 {parameters("m=4194304,t=1,p=1"), "takes more than"},
		"4 GiB in passes":       {parameters("m=262144,t=16,p=1"), "takes more than"},
		"a million passes":      {parameters("m=64,t=999999,p=1"), "takes more than"},
		"no pass":               {parameters("m=64,t=0,p=1"), "neither"},
		"no lane":               {parameters("m=64,t=1,p=0"), "neither"},
		"300 lanes":             {parameters("m=65536,t=1,p=300"), "too many lanes"},
		"lanes without memory":  {parameters("m=64,t=1,p=9"), "too many lanes"},
		"an overflow":           {parameters("m=4294967360,t=1,p=1"), "neither"},
		"no tag":                {with(argon[:strings.LastIndex(argon, "$")+1]), "neither"},
		"a short tag":           {with(argon[:strings.LastIndex(argon, "$")+5]), "neither"},
		"a tag not in base64":   {with(argon[:len(argon)-1] + "B"), "not base64"},
		"bcrypt, cost of hours": {with(strings.Replace(cheapBcrypt("s3cret"), "$04$", "$31$", 1)), "costs less"},
		"bcrypt, no cost":       {with(strings.Replace(cheapBcrypt("s3cret"), "$04$", "$00$", 1)), "costs less"},
		"bcrypt, cut":           {with(cheapBcrypt("s3cret")[:59]), "neither"},
		"bcrypt, of another":    {with(strings.Replace(cheapBcrypt("s3cret"), "$2a$", "$2x$", 1)), "neither"},
		"realm":                 {auth.Basic{Realm: `a"b`, Users: staff.Users}, "invalid Realm"},
		"realm injection":       {auth.Basic{Realm: "a\r\nb", Users: staff.Users}, "invalid Realm"},
		"negative":              {auth.Basic{Timeout: -1, Users: staff.Users}, "negative"},
		"all are named":         {auth.Basic{Realm: `"`, MaxConcurrent: -1}, "neither Users nor Find\ninvalid Realm\nnegative"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			err := panics(t, func() { auth.Require(test.literal) })
			require.ErrorContains(t, err, test.fault)
			assert.NotContains(t, err.Error(), "s3cret")
			assert.NotContains(t, err.Error(), argon[len(argon)-8:])
			_, err = test.literal.Authenticate(withBasic("ann", "x"))
			require.ErrorContains(t, err, test.fault)
		})
	}
}

func TestBasicShowsNoHashes(t *testing.T) {
	hash := staff.Users["ann"]
	for _, v := range []any{staff, &staff, struct{ B auth.Basic }{staff}, []any{staff}, auth.Require(staff)} {
		var out bytes.Buffer
		fmt.Fprintf(&out, "%v %+v %#v %s", v, v, v, v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("config", "auth", v)
		data, _ := json.Marshal(map[string]any{"v": fmt.Sprint(v)})
		out.Write(data)
		assert.NotContains(t, out.String(), hash[len(hash)-10:])
	}
	data, err := json.Marshal(staff)
	require.NoError(t, err)
	assert.Equal(t, `"auth.Basic{Realm: \"\", 4 users redacted}"`, string(data))
}

func TestHashPasswordMakesWhatBasicTakes(t *testing.T) {
	hash, err := auth.HashPassword(password)
	require.NoError(t, err)
	assert.True(t, strings.HasPrefix(hash, "$argon2id$v=19$m=65536,t=3,p=4$"), "as documented")
	guard := auth.Require(auth.Basic{Users: map[string]string{"ann": hash}})
	assert.Equal(t, 200, answer(guard, withBasic("ann", password)).Code)
	for _, bad := range []string{"", strings.Repeat("x", 1025), "a\nb", "\x00", "\x7f", "\xff"} {
		_, err := auth.HashPassword(bad)
		require.Error(t, err)
		if len(bad) > 1 {
			assert.NotContains(t, err.Error(), bad)
		}
	}
}

// Credentials of a user who is gone are wrong ones: not none, which another could pass.
func TestBasicForgetsAUserWhoIsGone(t *testing.T) {
	hash := cheapBcrypt("pw")
	gone := false
	mw := auth.Require(auth.Basic{Find: func(context.Context, string) (string, *auth.Principal, error) {
		if gone {
			return "", nil, nil // the decoy is the hash that Find returned last: this one
		}
		return hash, nil, nil
	}}, auth.Anonymous)
	assert.Equal(t, http.StatusOK, answer(mw, withBasic("ann", "pw")).Code)
	gone = true
	assert.Equal(t, http.StatusUnauthorized, answer(mw, withBasic("ann", "pw")).Code)
}
