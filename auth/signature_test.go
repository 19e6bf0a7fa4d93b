package auth

import (
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dunglas/httpsfv"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/internal/exchange"
	"github.com/gatewright/gateway/internal/rawpath"
)

var partnerSecret = []byte("shared-with-acme-and-nobody-else-at-all")

func partner() Signature {
	return Signature{Keys: map[string]SignatureKey{"acme-1": {Key: partnerSecret, Principal: &Principal{Subject: "acme"}}}}
}

const (
	usual     = `("@method" "@authority" "@path" "@query")`
	usualBody = `("@method" "@authority" "@path" "@query" "content-digest")`
)

// ordered is a request as a partner would send it, with a body if there is one.
func ordered(body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/orders?id=1", http.NoBody)
	if body != "" {
		r = httptest.NewRequest(http.MethodPost, "/orders?id=1", strings.NewReader(body))
		r.Header.Set("Content-Digest", digest(body))
	}
	r.Host = "shop.test"
	return r
}

func digest(body string) string {
	sum := sha256.Sum256([]byte(body))
	return "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
}

// now returns the parameters that every signature has.
func now(more string) string {
	return fmt.Sprintf(`;created=%d;keyid="acme-1"%s`, time.Now().Unix(), more)
}

// signAs signs r with any list of components and parameters, right or wrong. Where there
// is no base that could be signed, the signature is of something else.
func signAs(r *http.Request, label, list string) {
	base := "nothing"
	if d, err := httpsfv.UnmarshalDictionary([]string{label + "=" + list}); err == nil {
		m, _ := d.Get(label)
		inner, _ := m.(httpsfv.InnerList)
		if components, err := parseComponents(inner.Items); err == nil {
			params, _ := httpsfv.Marshal(inner)
			base, _ = received(r).base(components, params)
		}
	}
	mac := hmac.New(sha256.New, partnerSecret)
	mac.Write([]byte(base))
	r.Header.Add("Signature-Input", label+"="+list)
	r.Header.Add("Signature", label+"=:"+base64.StdEncoding.EncodeToString(mac.Sum(nil))+":")
}

// served is what became of a request behind Require.
type served struct {
	*httptest.ResponseRecorder
	err    error         // for the log
	passed *http.Request // what the handler got; nil: it was not called
	body   string        // that the handler read
}

func serve(a Authenticator, r *http.Request) served { return serveBy(Require(a), r) }

func serveBy(mw gateway.Middleware, r *http.Request) (s served) {
	s.ResponseRecorder = httptest.NewRecorder()
	x, r := exchange.Join(s, r)
	mw(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		s.passed = r
		data, _ := io.ReadAll(r.Body)
		s.body = string(data)
	})).ServeHTTP(x, r)
	s.err = x.Err
	return s
}

// refusedSignature asserts that r is answered with 401 for that cause.
func refusedSignature(t *testing.T, s served, cause string) {
	t.Helper()
	assert.Equal(t, http.StatusUnauthorized, s.Code)
	assert.Equal(t, `Signature realm="gateway"`, s.Header().Get("Www-Authenticate"))
	assert.Nil(t, s.passed)
	assert.JSONEq(t, `{"type":"about:blank","title":"Unauthorized","status":401,"detail":"The signature is not valid."}`, s.Body.String())
	require.Error(t, s.err)
	assert.ErrorContains(t, s.err, cause)
	assert.Less(t, len(s.err.Error()), 400)
}

func TestSignatureRefusesHostileRequests(t *testing.T) {
	set := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	edit := func(name, from, to string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, strings.Replace(r.Header.Get(name), from, to, 1)) }
	}
	at := func(d time.Duration) string { return strconv.FormatInt(time.Now().Add(d).Unix(), 10) }
	created := func(v string) string { return usual + `;created=` + v + `;keyid="acme-1"` }
	covering := func(list string) string { return "(" + list + ")" + now("") }
	tests := map[string]struct {
		body, list string              // list empty: the usual
		change     func(*http.Request) // after it was signed
		cause      string
	}{
		"another method":          {change: func(r *http.Request) { r.Method = http.MethodDelete }, cause: "does not verify"},
		"method in other case":    {change: func(r *http.Request) { r.Method = "post" }, cause: "does not verify"},
		"another path":            {change: func(r *http.Request) { r.URL.Path = "/admin" }, cause: "does not verify"},
		"path encoded otherwise":  {change: func(r *http.Request) { r.URL.RawPath = "/%6frders" }, cause: "does not verify"},
		"another query":           {change: func(r *http.Request) { r.URL.RawQuery = "id=2" }, cause: "does not verify"},
		"more query":              {change: func(r *http.Request) { r.URL.RawQuery += "&admin=1" }, cause: "does not verify"},
		"another host":            {change: func(r *http.Request) { r.Host = "evil.test" }, cause: "does not verify"},
		"another port":            {change: func(r *http.Request) { r.Host = "shop.test:8080" }, cause: "does not verify"},
		"no host":                 {change: func(r *http.Request) { r.Host = "" }, cause: "no host"},
		"query set, was empty":    {list: `("@method" "@authority" "@path")` + now(""), cause: `"@query" is not covered`},
		"a covered field changed": {list: covering(`"@method" "@target-uri" "x-amount"`), change: set("X-Amount", "2"), cause: "does not verify"},
		"a covered field gone":    {list: covering(`"@method" "@target-uri" "x-amount"`), change: func(r *http.Request) { r.Header.Del("X-Amount") }, cause: "not in the request"},
		"a covered field twice":   {list: covering(`"@method" "@target-uri" "x-amount"`), change: func(r *http.Request) { r.Header.Add("X-Amount", "2") }, cause: "does not verify"},
		"a line added to a field": {list: covering(`"@method" "@target-uri" "x-amount"`), change: set("X-Amount", "1\n\"x\": y"), cause: "control character"},

		"nothing covered":             {list: covering(``), cause: `"@method" is not covered`},
		"no method covered":           {list: covering(`"@target-uri"`), cause: `"@method" is not covered`},
		"no host covered":             {list: covering(`"@method" "@request-target"`), cause: `"@authority" is not covered`},
		"no path covered":             {list: covering(`"@method" "@authority" "@query"`), cause: `"@path" is not covered`},
		"a component twice":           {list: covering(`"@method" "@target-uri" "@method"`), cause: "component 2 is there twice"},
		"a component twice, reversed": {list: covering(`"@method" "@target-uri" "priority";sf;key="u" "priority";key="u";sf`), cause: "component 3 is there twice"},
		"an unknown component":        {list: covering(`"@method" "@target-uri" "@body"`), cause: "component 2: unknown"},
		"@status":                     {list: covering(`"@method" "@target-uri" "@status"`), cause: "component 2: unknown"},
		"of the request, for it is":   {list: covering(`"@method";req "@target-uri"`), cause: "component 0: a parameter"},
		"a trailer":                   {list: covering(`"@method" "@target-uri" "x-amount";tr`), cause: "component 2: a parameter"},
		"65 components":               {list: covering(`"@method" "@target-uri"` + many65()), cause: "more than 64 components"},
		"a field without a type":      {list: covering(`"@method" "@target-uri" "x-amount";sf`), cause: "not known to be structured"},

		"too old":                {list: created(at(-time.Minute - time.Second)), cause: "too long ago"},
		"in the future":          {list: created(at(time.Minute + 2*time.Second)), cause: "in the future"},
		"created missing":        {list: usual + `;keyid="acme-1"`, cause: "no created"},
		"created negative":       {list: created("-1"), cause: "no created"},
		"created decimal":        {list: created(at(0) + ".5"), cause: "no created"},
		"created string":         {list: created(`"` + at(0) + `"`), cause: "no created"},
		"created date":           {list: created("@" + at(0)), cause: "no created"},
		"created true":           {list: usual + `;created;keyid="acme-1"`, cause: "no created"},
		"created zero":           {list: created("0"), cause: "too long ago"},
		"created 1e300":          {list: created("1e300"), cause: "no dictionary"},
		"created of 15 digits":   {list: created("999999999999999"), cause: "no created"},
		"created of 16 digits":   {list: created("9999999999999999"), cause: "no dictionary"},
		"created in the year -1": {list: created("-99999999999999"), cause: "no created"},
		"created twice":          {list: created("0") + ";created=" + at(0), cause: "there twice"},
		"expired":                {list: created(at(-10*time.Second)) + ";expires=" + at(-time.Second), cause: "too long ago"},
		"expires now":            {list: created(at(-10*time.Second)) + ";expires=" + at(0), cause: "too long ago"},
		"expires before created": {list: created(at(20*time.Second)) + ";expires=" + at(10*time.Second), cause: "expires before"},
		"expires a string":       {list: usual + now(`;expires="never"`), cause: "expires before"},

		"alg none":                {list: usual + now(`;alg="none"`), cause: "alg is not"},
		"alg of another key":      {list: usual + now(`;alg="ed25519"`), cause: "alg is not"},
		"alg in other case":       {list: usual + now(`;alg="HMAC-SHA256"`), cause: "alg is not"},
		"alg a token":             {list: usual + now(`;alg=hmac-sha256`), cause: "alg is not"},
		"unknown keyid":           {list: usual + `;created=` + at(0) + `;keyid="acme-2"`, cause: "no signature by a known key"},
		"keyid in other case":     {list: usual + `;created=` + at(0) + `;keyid="ACME-1"`, cause: "no signature by a known key"},
		"keyid a path":            {list: usual + `;created=` + at(0) + `;keyid="../../acme-1"`, cause: "no signature by a known key"},
		"keyid a URL":             {list: usual + `;created=` + at(0) + `;keyid="https://evil.test/jwks"`, cause: "no signature by a known key"},
		"keyid a token":           {list: usual + `;created=` + at(0) + `;keyid=acme-1`, cause: "no signature by a known key"},
		"keyid bytes":             {list: usual + `;created=` + at(0) + `;keyid=:YWNtZS0x:`, cause: "no signature by a known key"},
		"keyid empty":             {list: usual + `;created=` + at(0) + `;keyid=""`, cause: "no signature by a known key"},
		"keyid missing":           {list: usual + `;created=` + at(0), cause: "no signature by a known key"},
		"keyid twice":             {list: usual + `;keyid="acme-2"` + now(""), cause: "there twice"},
		"keyid changed in flight": {change: edit("Signature-Input", "acme-1", "acme-9"), cause: "no signature by a known key"},
		"parameter added":         {change: edit("Signature-Input", ";keyid", `;nonce="x";keyid`), cause: "does not verify"},
		"component removed":       {list: covering(`"@method" "@target-uri" "x-amount"`), change: edit("Signature-Input", ` "x-amount"`, ""), cause: "does not verify"},
		"components swapped":      {change: edit("Signature-Input", `"@method" "@authority"`, `"@authority" "@method"`), cause: "does not verify"},

		"signature empty":              {change: set("Signature", "sig=::"), cause: "does not verify"},
		"signature shorter":            {change: edit("Signature", "=:", ":"), cause: "no dictionary"},
		"signature cut off":            {change: set("Signature", "sig=:AAAA:"), cause: "does not verify"},
		"signature longer":             {change: set("Signature", "sig=:"+strings.Repeat("AAAA", 1000)+":"), cause: "does not verify"},
		"signature not base64":         {change: set("Signature", "sig=:!!!!:"), cause: "Signature: no dictionary"},
		"signature without end":        {change: set("Signature", "sig=:AAAA"), cause: "Signature: no dictionary"},
		"signature a string":           {change: set("Signature", `sig="AAAA"`), cause: "byte sequence"},
		"signature true":               {change: set("Signature", `sig`), cause: "byte sequence"},
		"signature a list":             {change: set("Signature", `sig=(:AAAA:)`), cause: "byte sequence"},
		"signature of another label":   {change: edit("Signature", "sig=", "gis="), cause: "byte sequence"},
		"signature field missing":      {change: func(r *http.Request) { r.Header.Del("Signature") }, cause: "not one for each"},
		"signature field empty":        {change: set("Signature", ""), cause: "not one for each"},
		"signature of draft-cavage":    {change: set("Signature", `keyId="acme-1",algorithm="hmac-sha256",signature="AAAA"`), cause: "Signature: no dictionary"},
		"input missing":                {change: func(r *http.Request) { r.Header.Del("Signature-Input") }, cause: "not one for each"},
		"input garbage":                {change: set("Signature-Input", "\x00\xff=(("), cause: "Signature-Input: no dictionary"},
		"input a token":                {change: set("Signature-Input", "sig=x"), cause: "no inner list"},
		"input true":                   {change: set("Signature-Input", "sig"), cause: "no inner list"},
		"input without a bracket":      {change: set("Signature-Input", `sig=("@method"`), cause: "Signature-Input: no dictionary"},
		"a comma behind":               {change: edit("Signature", ":", ":,:"), cause: "Signature: no dictionary"},
		"a label twice":                {change: func(r *http.Request) { r.Header.Add("Signature-Input", `sig=()`+now("")) }, cause: "Signature-Input: a member"},
		"a label twice, signature":     {change: func(r *http.Request) { r.Header.Add("Signature", `sig=:AAAA:`) }, cause: "Signature: a member"},
		"a label twice, odd quotes":    {change: set("Signature-Input", `sig=%"\", sig=()`+now("")+`;x=%"\"`), cause: "there twice"},
		"another of ours":              {change: func(r *http.Request) { signAs(r, "two", usual+now("")) }, cause: "several signatures"},
		"a megabyte of input":          {change: set("Signature-Input", "sig=("+strings.Repeat(`"a" `, 1<<18)+")"), cause: "longer than"},
		"a megabyte of signature":      {change: set("Signature", "sig=:"+strings.Repeat("A", 1<<20)+":"), cause: "longer than"},
		"a megabyte in lines":          {change: func(r *http.Request) { r.Header["Signature"] = make([]string, 1<<19) }, cause: "longer than"},
		"a thousand labels":            {change: func(r *http.Request) { labels(r, 1000) }, cause: "more than 8"},
		"nine labels, one of them our": {change: func(r *http.Request) { labels(r, 8) }, cause: "more than 8"},

		"another body of same length": {body: "amount=1", change: func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("amount=9")) }, cause: "sha-256 is not that"},
		"a body cut off":              {body: "amount=1", change: func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("amount=")) }, cause: "sha-256 is not that"},
		"a body added":                {change: func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("x")) }, cause: `"content-digest" is not covered`},
		"a body added, with a digest": {change: func(r *http.Request) { *r = *withBody(r, "x") }, cause: `"content-digest" is not covered`},
		"a body, digest not covered":  {body: "amount=1", list: usual + now(""), cause: `"content-digest" is not covered`},
		"a body, one member covered":  {body: "amount=1", list: covering(`"@method" "@target-uri" "content-digest";key="sha-256"`), cause: `"content-digest" is not covered`},
		"digest and body exchanged":   {body: "amount=1", change: func(r *http.Request) { *r = *withBody(r, "amount=9") }, cause: "does not verify"},
		"digest gone":                 {body: "amount=1", change: func(r *http.Request) { r.Header.Del("Content-Digest") }, cause: "not in the request"},
		"body gone":                   {body: "amount=1", change: func(r *http.Request) { r.Body = http.NoBody }, cause: "sha-256 is not that"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := ordered(test.body)
			r.Header.Set("X-Amount", "1")
			r.Header.Set("Priority", "u=1")
			list := test.list
			switch {
			case list == "" && test.body != "":
				list = usualBody + now("")
			case list == "":
				list = usual + now("")
			}
			signAs(r, "sig", list)
			if test.change != nil {
				test.change(r)
			}
			remembered := 0
			a := partner()
			a.Seen = func(context.Context, string, time.Duration) (bool, error) { remembered++; return false, nil }
			refusedSignature(t, serve(a, r), test.cause)
			assert.Zero(t, remembered, "only what was verified gets into the memory")
		})
	}
}

func many65() string {
	var b strings.Builder
	for i := range 63 {
		b.WriteString(` "x-` + strconv.Itoa(i) + `"`)
	}
	return b.String()
}

func labels(r *http.Request, n int) {
	for i := range n {
		r.Header.Add("Signature-Input", fmt.Sprintf("l%d=()", i))
		r.Header.Add("Signature", fmt.Sprintf("l%d=::", i))
	}
}

func withBody(r *http.Request, body string) *http.Request {
	other := *r
	other.Header = r.Header.Clone()
	other.Header.Set("Content-Digest", digest(body))
	other.Body, other.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
	return &other
}

func TestSignatureLetsInWhatIsRight(t *testing.T) {
	tests := map[string]struct {
		body, list string
		change     func(*http.Request)
	}{
		"usual":                 {list: usual + now("")},
		"with a body":           {body: "amount=1", list: usualBody + now("")},
		"the whole target":      {list: `("@method" "@target-uri")` + now("")},
		"alg given":             {list: usual + now(`;alg="hmac-sha256"`)},
		"unknown parameters":    {list: usual + now(`;x=1;y`)},
		"a strange host":        {list: usual + now(""), change: func(r *http.Request) { r.Host = "SHOP.test:80" }},
		"other fields change":   {list: usual + now(""), change: func(r *http.Request) { r.Header.Set("X-Other", "y") }},
		"spaces in between":     {list: usual + now(""), change: respaced},
		"another's signature":   {list: usual + now(""), change: func(r *http.Request) { labels(r, 7) }},
		"digest of no body":     {list: usualBody + now(""), change: nil},
		"digest, unknown first": {body: "amount=1", list: usualBody + now("")},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := ordered(test.body)
			switch name {
			case "digest of no body":
				r.Header.Set("Content-Digest", digest(""))
			case "digest, unknown first":
				r.Header.Set("Content-Digest", "md5=:AAAA:, "+digest(test.body)+", x=1")
			}
			signAs(r, "sig", test.list)
			if test.change != nil {
				test.change(r)
			}
			s := serve(partner(), r)
			require.NotNil(t, s.passed, s.err)
			assert.Equal(t, "acme", Subject(s.passed))
			assert.Equal(t, test.body, s.body)
			assert.NotContains(t, s.passed.Header, "Signature")
			assert.NotContains(t, s.passed.Header, "Signature-Input")
		})
	}
}

// The other side signs what it writes, and what the gateway forwards is that.
func TestSignatureTakesPathsAsTheClientWritesThem(t *testing.T) {
	for _, path := range []string{"/a|b", "/a|b%2fc", "/a%2Fb", `/"<>^{}`, "/\xc3\xa9"} {
		for component, value := range map[string]string{
			"@path": path, "@request-target": path + "?x=|", "@target-uri": "http://shop.test" + path + "?x=|",
		} {
			t.Run(component+" "+path, func(t *testing.T) {
				target, err := url.ParseRequestURI(path + "?x=|")
				require.NoError(t, err)
				r := httptest.NewRequest(http.MethodGet, "/", nil)
				r.URL, r.Host = target, "shop.test"
				list := `("` + component + `")` + now("")
				mac := hmac.New(sha256.New, partnerSecret)
				mac.Write([]byte(`"` + component + `": ` + value + "\n" + `"@signature-params": ` + list))
				r.Header.Set("Signature-Input", "sig="+list)
				r.Header.Set("Signature", "sig=:"+base64.StdEncoding.EncodeToString(mac.Sum(nil))+":")
				a := partner()
				a.Components = []string{component}
				s := serve(a, r)
				require.NotNil(t, s.passed, s.err)
				assert.Equal(t, path+"?x=|", rawpath.Target(s.passed.URL))
			})
		}
	}
}

// respaced is what an intermediary may do to a structured field.
func respaced(r *http.Request) {
	r.Header.Set("Signature-Input", strings.Replace(r.Header.Get("Signature-Input"), ` "@`, `   "@`, 2))
}

func TestSignatureLeavesRequestsWithoutOneToOthers(t *testing.T) {
	s := serve(partner(), ordered(""))
	assert.Equal(t, http.StatusUnauthorized, s.Code)
	assert.Equal(t, `Signature realm="gateway"`, s.Header().Get("Www-Authenticate"))
	assert.NotNil(t, serveBy(Require(partner(), Anonymous), ordered("x")).passed)
}

func TestSignatureKeepsItsFieldsFromBackends(t *testing.T) {
	r := ordered("x")
	signAs(r, "sig", usualBody+now(""))
	r.Header["signature_input"] = []string{"x"}
	assert.Equal(t, http.Header{"Content-Digest": {digest("x")}}, serve(partner(), r).passed.Header)

	forwarding := partner()
	forwarding.Forward = true
	r = ordered("")
	signAs(r, "sig", usual+now(""))
	assert.Len(t, serve(forwarding, r).passed.Header, 2)

	wrapped := partner()
	wrapped.Seen = newShared().seen
	r = ordered("")
	signAs(r, "sig", usual+now(""))
	assert.Empty(t, serve(AuthenticatorFunc(wrapped.Authenticate), r).passed.Header, "also when it is wrapped")
}

func TestSignatureGoesByTheClock(t *testing.T) {
	tests := map[string]struct {
		created, window time.Duration
		ok              bool
	}{
		"now":             {0, 0, true},
		"59 s ago":        {-59 * time.Second, 0, true},
		"60 s ago":        {-60 * time.Second, 0, false},
		"60 s ahead":      {60 * time.Second, 0, true},
		"61 s ahead":      {61 * time.Second, 0, false},
		"4 min of 5":      {-4 * time.Minute, 5 * time.Minute, true},
		"6 min of 5":      {-6 * time.Minute, 5 * time.Minute, false},
		"2 s of 1 s":      {-2 * time.Second, time.Second, false},
		"ahead 2 s of 1s": {2 * time.Second, time.Second, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := partner()
				a.Window = test.window
				r := ordered("")
				signAs(r, "sig", fmt.Sprintf(`%s;created=%d;keyid="acme-1"`, usual, time.Now().Add(test.created).Unix()))
				s := serve(a, r)
				assert.Equal(t, test.ok, s.passed != nil, s.err)
			})
		})
	}
}

func TestSignatureChoosesByLabelAndTag(t *testing.T) {
	both := func() *http.Request {
		r := ordered("")
		signAs(r, "one", usual+now(`;tag="a"`))
		signAs(r, "two", usual+now(`;tag="b"`))
		return r
	}
	tests := map[string]struct {
		label, tag string
		cause      string // empty: it is let in
	}{
		"neither":              {"", "", "several signatures"},
		"label":                {"one", "", ""},
		"tag":                  {"", "b", ""},
		"both":                 {"one", "a", ""},
		"not together":         {"one", "b", "no signature by a known key"},
		"label that isn't":     {"three", "", "no signature by a known key"},
		"tag that isn't":       {"", "c", "no signature by a known key"},
		"tag in another case":  {"", "B", "no signature by a known key"},
		"label that comes off": {"on", "", "no signature by a known key"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			a := partner()
			a.Label, a.Tag = test.label, test.tag
			s := serve(a, both())
			if test.cause == "" {
				assert.NotNil(t, s.passed, s.err)
				return
			}
			refusedSignature(t, s, test.cause)
		})
	}
}

// A public key is known to all: it must not do as the secret of an HMAC.
func TestSignatureTakesNoPublicKeyForASecret(t *testing.T) {
	public := ed25519.PublicKey(partnerSecret[:32])
	a := Signature{Keys: map[string]SignatureKey{"acme-1": {Key: public, Principal: &Principal{Subject: "acme"}}}}
	for _, alg := range []string{"", `;alg="hmac-sha256"`, `;alg="ed25519"`} {
		r := ordered("")
		signAs(r, "sig", usual+now(alg))
		mac := hmac.New(sha256.New, public)
		base, err := received(r).base(targetCover, usual+now(alg))
		require.NoError(t, err)
		mac.Write([]byte(base))
		r.Header.Set("Signature", "sig=:"+base64.StdEncoding.EncodeToString(mac.Sum(nil))+":")
		s := serve(a, r)
		assert.Equal(t, http.StatusUnauthorized, s.Code)
		assert.Nil(t, s.passed)
	}
}

func TestSignatureGoesByTheSchemeOfTrustedProxies(t *testing.T) {
	sign := func() *http.Request {
		r := ordered("")
		r.TLS = httptest.NewRequest(http.MethodGet, "https://x", nil).TLS
		r.Host = "shop.test:443"
		signAs(r, "sig", `("@method" "@target-uri" "@scheme" "@authority")`+now(""))
		r.TLS = nil
		return r
	}
	tests := map[string]struct {
		trusted bool
		proto   []string
		ok      bool
	}{
		"trusted":                {true, []string{"HTTPS"}, true},
		"trusted, says http":     {true, []string{"http"}, false},
		"trusted, says nothing":  {true, nil, false},
		"trusted, says it twice": {true, []string{"https", "http"}, false},
		"trusted, says rubbish":  {true, []string{"https://evil.test"}, false},
		"not trusted":            {false, []string{"https"}, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := sign()
			r.Header["X-Forwarded-Proto"] = test.proto
			r = r.WithContext(exchange.With(r.Context(), &exchange.State{Trusted: test.trusted}))
			s := serve(partner(), r)
			assert.Equal(t, test.ok, s.passed != nil, s.err)
		})
	}
}

func TestSignatureRefusesBadLiteralsAtStartUp(t *testing.T) {
	holder := &Principal{Subject: "x"}
	keys := func(k SignatureKey) Signature { return Signature{Keys: map[string]SignatureKey{"id": k}} }
	for fault, literal := range map[string]Signature{
		"neither Keys nor Find":         {},
		"less than 32 bytes":            keys(SignatureKey{Key: []byte("short"), Principal: holder}),
		`key "id": no Principal`:        keys(SignatureKey{Key: partnerSecret}),
		"key of type <nil>":             keys(SignatureKey{Principal: holder}),
		"key of type string":            keys(SignatureKey{Key: string(partnerSecret), Principal: holder}),
		"no algorithm allowed fits":     keys(SignatureKey{Key: partnerSecret, PKCS1: true, Principal: holder}),
		"keyid that is not 1 to 256":    {Keys: map[string]SignatureKey{"": {Key: partnerSecret, Principal: holder}}},
		"impossible Label":              {Label: "Sig 1"},
		"less than a second of Window":  {Window: time.Millisecond},
		"negative MaxBody":              {MaxBody: -1},
		"negative MaxRemembered":        {MaxRemembered: -1},
		"both MaxRemembered and Seen":   {MaxRemembered: 1, Seen: newShared().seen},
		`component "@status": unknown`:  {Components: []string{"@method", "@status"}},
		`component "a b": unknown`:      {Components: []string{"a b"}},
		`component "": unknown`:         {Components: []string{""}},
		`component "a\"": no component`: {Components: []string{`a"`}},
	} {
		t.Run(fault, func(t *testing.T) {
			defer func() {
				err, _ := recover().(error)
				require.ErrorContains(t, err, fault)
				assert.NotContains(t, err.Error(), string(partnerSecret))
				assert.NotContains(t, err.Error(), "short")
			}()
			Require(literal)
		})
	}
}

func TestSignatureByItselfRefusesToForgetReplays(t *testing.T) {
	r := ordered("")
	signAs(r, "sig", usual+now(""))
	p, err := partner().Authenticate(r)
	assert.Nil(t, p)
	require.ErrorContains(t, err, "neither Require nor Seen")
	_, err = Signature{Seen: newShared().seen}.Authenticate(r)
	require.ErrorContains(t, err, "neither Keys nor Find")
}

// Who has no key can have a signature base made, and that must not cost more for more that
// it is said to cover.
func TestSignatureOverAHostileQueryCostsLittle(t *testing.T) {
	for _, pairs := range []int{100, 900, 100_000} {
		var query, list strings.Builder
		for i := range 60 {
			fmt.Fprintf(&query, "p%d&", i)
			fmt.Fprintf(&list, ` "@query-param";name="p%d"`, i)
		}
		query.WriteString(strings.Repeat("%61&", pairs))
		best := time.Hour
		for range 5 {
			r := ordered("")
			r.URL.RawQuery = query.String()
			r.Header.Set("Signature-Input", `sig=("@method" "@authority" "@path" "@query"`+list.String()+")"+now(""))
			r.Header.Set("Signature", "sig=:AAAA:")
			start := time.Now()
			s := serve(partner(), r)
			best = min(best, time.Since(start))
			cause := "does not verify"
			if pairs >= maxQuery {
				cause = "a query of more than 1000 parameters"
			}
			refusedSignature(t, s, cause)
		}
		t.Log(pairs, best)
		assert.Less(t, best, 20*time.Millisecond, "with the race detector; some 1 ms without")
	}
}
