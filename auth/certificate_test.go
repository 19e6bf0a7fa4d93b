package auth_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway/auth"
	"github.com/gatewright/gateway/internal/exchange"
)

// authority is a certificate and its key, that may sign others.
type authority struct {
	*x509.Certificate
	key *ecdsa.PrivateKey
}

func (a authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.Certificate)
	return p
}

// issue has a sign what the template says. Unless that says otherwise it is good for an
// hour, or if it is an authority's until 2100.
func (a authority) issue(template x509.Certificate) authority {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	if template.SerialNumber == nil {
		template.SerialNumber = big.NewInt(0xbeef)
	}
	if template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Minute), time.Now().Add(time.Hour)
		if template.IsCA { // in the time of bubbles too
			template.NotBefore, template.NotAfter = time.Unix(0, 0), time.Unix(4102444800, 0)
		}
	}
	if template.ExtKeyUsage == nil && !template.IsCA {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}
	parent, signer := a.Certificate, a.key
	if parent == nil {
		parent, signer = &template, key
	}
	der := must(x509.CreateCertificate(rand.Reader, &template, parent, &key.PublicKey, signer))
	return authority{must(x509.ParseCertificate(der)), key}
}

func newAuthority(name string) authority { return authority{}.issue(ofAuthority(name)) }

func ofAuthority(name string) x509.Certificate {
	return x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
}

var shopCA = newAuthority("shop root")

func named(name string) x509.Certificate {
	return x509.Certificate{Subject: pkix.Name{CommonName: name, Organization: []string{"Shop"}}}
}

func spiffe(ids ...string) (c x509.Certificate) {
	for _, id := range ids {
		c.URIs = append(c.URIs, must(url.Parse(id)))
	}
	return c
}

// over returns a request over a connection whose client has shown certificates, which its
// server has not verified.
func over(chain ...authority) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "https://shop.test/", nil)
	for _, c := range chain {
		r.TLS.PeerCertificates = append(r.TLS.PeerCertificates, c.Certificate)
	}
	return r
}

// verified returns over's request from a server that has verified the certificates.
func verified(chain ...authority) *http.Request {
	r := over(chain...)
	r.TLS.VerifiedChains = [][]*x509.Certificate{append(r.TLS.PeerCertificates, shopCA.Certificate)}
	return r
}

func sfv(c authority) string { return ":" + base64.StdEncoding.EncodeToString(c.Raw) + ":" }

// proxied returns a request from a proxy that is trusted, if it is.
func proxied(trusted bool, certs ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	_, r = exchange.Join(httptest.NewRecorder(), r)
	exchange.From(r.Context()).Trusted = trusted
	if certs != nil {
		r.Header["Client-Cert"] = certs
	}
	return r
}

func TestCertificateRefusesWhatDoesNotHold(t *testing.T) {
	stranger := newAuthority("stranger")
	middle := shopCA.issue(ofAuthority("middle"))
	past, ahead, server := named("ann"), named("ann"), named("ann")
	past.NotBefore, past.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Second)
	ahead.NotBefore, ahead.NotAfter = time.Now().Add(time.Minute), time.Now().Add(time.Hour)
	server.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	oldMiddle := ofAuthority("old")
	oldMiddle.NotBefore, oldMiddle.NotAfter = past.NotBefore, past.NotAfter
	old := shopCA.issue(oldMiddle)
	own := auth.Certificate{Roots: shopCA.pool()}
	long := []authority{middle.issue(named("ann")), middle}
	for range 10 {
		long = append(long, stranger)
	}
	tests := map[string]struct {
		a      auth.Certificate
		r      *http.Request
		status int
	}{
		"no TLS":                        {auth.Certificate{}, withKeys(), 401},
		"no certificate":                {auth.Certificate{}, over(), 401},
		"not verified by the server":    {auth.Certificate{}, over(shopCA.issue(named("ann"))), 401},
		"expired on an open connection": {auth.Certificate{}, verified(shopCA.issue(past)), 401},
		"of a stranger":                 {own, over(stranger.issue(named("ann"))), 401},
		"of a stranger, verified":       {own, verified(stranger.issue(named("ann"))), 401},
		"self-signed":                   {own, over(authority{}.issue(named("ann"))), 401},
		"a namesake of the root":        {own, over(newAuthority("shop root").issue(named("ann"))), 401},
		"the root with its chain":       {own, over(stranger.issue(named("ann")), stranger), 401},
		"expired":                       {own, over(shopCA.issue(past)), 401},
		"not valid yet":                 {own, over(shopCA.issue(ahead)), 401},
		"an authority that has expired": {own, over(old.issue(named("ann")), old), 401},
		"for servers":                   {own, over(shopCA.issue(server)), 401},
		"signed by no authority":        {own, over(shopCA.issue(named("eve")).issue(named("ann")), shopCA.issue(named("eve"))), 401},
		"without its intermediate":      {own, over(middle.issue(named("ann"))), 401},
		"a long chain":                  {own, over(long...), 401},
		"not on the list":               {auth.Certificate{DNS: []string{"a.test"}}, verified(shopCA.issue(named("a.test"))), 403},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := answer(auth.Require(test.a), test.r)
			assert.Equal(t, test.status, w.Code)
			want := `Certificate realm="gateway"`
			if test.status == http.StatusForbidden {
				want = ""
			}
			assert.Equal(t, want, w.Header().Get("Www-Authenticate"))
		})
	}
}

func TestCertificateErrorsQuoteNoNames(t *testing.T) {
	eve := named("eve\nlevel=INFO msg=fine")
	_, err := auth.Certificate{Roots: shopCA.pool()}.Authenticate(over(newAuthority("level=INFO").issue(eve)))
	require.Error(t, err)
	assert.NotContains(t, err.Error(), "level=INFO")
}

func TestCertificateIsNotValidOutsideOfItsTimeWhoeverVerified(t *testing.T) {
	for _, begin := range []time.Duration{-2 * time.Hour, time.Hour} {
		c := named("ann")
		c.NotBefore, c.NotAfter = time.Now().Add(begin), time.Now().Add(begin+time.Hour)
		ann := shopCA.issue(c)
		for _, r := range []*http.Request{verified(ann), proxied(true, sfv(ann))} {
			_, err := auth.Certificate{FromProxies: true}.Authenticate(r)
			assert.ErrorContains(t, err, "expired or is not valid yet")
		}
	}
}

func TestCertificateRefusesKeysThatAreWorkToVerifyWith(t *testing.T) {
	for bits, want := range map[uint]string{8192: "CN=ann,O=Shop", 8193: ""} {
		key := &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), bits-1), E: 65537}
		template := named("ann")
		template.SerialNumber, template.NotAfter = big.NewInt(1), time.Now().Add(time.Hour)
		der := must(x509.CreateCertificate(rand.Reader, &template, shopCA.Certificate, key, shopCA.key))
		p, err := auth.Certificate{FromProxies: true}.Authenticate(proxied(true, ":"+base64.StdEncoding.EncodeToString(der)+":"))
		if want == "" {
			assert.ErrorContains(t, err, "RSA key of more than 8192 bits")
			continue
		}
		require.NoError(t, err)
		assert.Equal(t, want, p.Subject)
	}
}

func TestCertificateReadsWholeNamesInTheirOrder(t *testing.T) {
	unit := func(name string) []pkix.AttributeTypeAndValue {
		return []pkix.AttributeTypeAndValue{{Type: []int{2, 5, 4, 11}, Value: name}}
	}
	guard := auth.Require(auth.Certificate{Subjects: []string{"OU=b,OU=a"}})
	for _, test := range []struct {
		name   pkix.RDNSequence
		status int
	}{
		{pkix.RDNSequence{unit("a"), unit("b")}, 200},
		{pkix.RDNSequence{unit("b"), unit("a")}, 403},
		{pkix.RDNSequence{append(unit("a"), unit("b")...)}, 403},
		{pkix.RDNSequence{unit("a,OU=b")}, 403},
	} {
		c := shopCA.issue(x509.Certificate{RawSubject: must(asn1.Marshal(test.name))})
		assert.Equal(t, test.status, answer(guard, verified(c)).Code, test.name)
	}
}

func TestCertificateMakesThePrincipal(t *testing.T) {
	c := named("ann")
	c.DNSNames, c.EmailAddresses = []string{"a.shop.test", "b.shop.test"}, []string{"ann@shop.test"}
	issued := shopCA.issue(c)
	for _, a := range []auth.Certificate{{}, {Roots: shopCA.pool()}} {
		p, err := a.Authenticate(verified(issued))
		require.NoError(t, err)
		assert.Equal(t, "CN=ann,O=Shop", p.Subject)
		assert.Equal(t, issued.NotAfter, p.Expires)
		sum := p.Claims["x5t#S256"]
		assert.Len(t, sum, 43)
		assert.Equal(t, map[string]any{
			"subject": "CN=ann,O=Shop", "issuer": "CN=shop root", "serial": "beef", "x5t#S256": sum,
			"dns": []any{"a.shop.test", "b.shop.test"}, "emails": []any{"ann@shop.test"},
		}, p.Claims)
	}
}

func TestCertificateExpiresWithTheFirstOfItsChain(t *testing.T) {
	short := ofAuthority("short")
	short.NotBefore, short.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Minute).Truncate(time.Second)
	middle := shopCA.issue(short)
	p, err := auth.Certificate{Roots: shopCA.pool()}.Authenticate(over(middle.issue(named("ann")), middle))
	require.NoError(t, err)
	assert.WithinDuration(t, short.NotAfter, p.Expires, 0)
}

func TestCertificateRulesSayWhoMayCome(t *testing.T) {
	dns := func(names ...string) x509.Certificate { return x509.Certificate{DNSNames: names} }
	mail := func(names ...string) x509.Certificate { return x509.Certificate{EmailAddresses: names} }
	twoNames := named("")
	twoNames.Subject.ExtraNames = []pkix.AttributeTypeAndValue{
		{Type: []int{2, 5, 4, 3}, Value: "eve"}, {Type: []int{2, 5, 4, 3}, Value: "ann"},
	}
	svidOfCA := spiffe("spiffe://shop.test/a")
	svidOfCA.IsCA, svidOfCA.BasicConstraintsValid = true, true
	signer := spiffe("spiffe://shop.test/a")
	signer.KeyUsage = x509.KeyUsageCertSign
	tests := map[string]struct {
		a       auth.Certificate
		c       x509.Certificate
		subject string // empty: 403
	}{
		"no rule":                       {auth.Certificate{}, named("ann"), "CN=ann,O=Shop"},
		"no rule, SPIFFE":               {auth.Certificate{}, spiffe("spiffe://shop.test/a"), "spiffe://shop.test/a"},
		"no rule, DNS":                  {auth.Certificate{}, dns("a.test", "b.test"), "a.test"},
		"no rule, e-mail":               {auth.Certificate{}, mail("ann@a.test"), "ann@a.test"},
		"any list":                      {auth.Certificate{SPIFFE: []string{"spiffe://x/a"}, DNS: []string{"b.test"}}, dns("a.test", "b.test"), "b.test"},
		"SPIFFE":                        {auth.Certificate{SPIFFE: []string{"spiffe://shop.test/..."}}, spiffe("spiffe://shop.test/a/b"), "spiffe://shop.test/a/b"},
		"SPIFFE, two URIs":              {auth.Certificate{SPIFFE: []string{"spiffe://shop.test/..."}}, spiffe("spiffe://shop.test/a", "spiffe://shop.test/b"), ""},
		"SPIFFE, one and a URL":         {auth.Certificate{SPIFFE: []string{"spiffe://shop.test/..."}}, spiffe("spiffe://shop.test/a", "https://shop.test/"), ""},
		"SPIFFE, an authority":          {auth.Certificate{SPIFFE: []string{"spiffe://shop.test/..."}}, svidOfCA, ""},
		"SPIFFE, may sign others":       {auth.Certificate{SPIFFE: []string{"spiffe://shop.test/..."}}, signer, ""},
		"SPIFFE, escaped":               {auth.Certificate{SPIFFE: []string{"spiffe://shop.test/a"}}, spiffe("spiffe://shop.test/%61"), ""},
		"SPIFFE, with a query":          {auth.Certificate{SPIFFE: []string{"spiffe://shop.test/a"}}, spiffe("spiffe://shop.test/a?b"), ""},
		"SPIFFE, with an empty query":   {auth.Certificate{SPIFFE: []string{"spiffe://shop.test/a"}}, spiffe("spiffe://shop.test/a?"), ""},
		"SPIFFE, with a fragment":       {auth.Certificate{SPIFFE: []string{"spiffe://shop.test/a"}}, spiffe("spiffe://shop.test/a#b"), ""},
		"SPIFFE, with a user":           {auth.Certificate{SPIFFE: []string{"spiffe://shop.test/a"}}, spiffe("spiffe://eve@shop.test/a"), ""},
		"SPIFFE, with a port":           {auth.Certificate{SPIFFE: []string{"spiffe://shop.test/a"}}, spiffe("spiffe://shop.test:1/a"), ""},
		"SPIFFE, in a DNS name":         {auth.Certificate{SPIFFE: []string{"spiffe://shop.test/a"}}, named("spiffe://shop.test/a"), ""},
		"DNS":                           {auth.Certificate{DNS: []string{"A.shop.test"}}, dns("a.SHOP.test"), "a.SHOP.test"},
		"DNS, another":                  {auth.Certificate{DNS: []string{"a.shop.test"}}, dns("b.shop.test"), ""},
		"DNS, by wildcard":              {auth.Certificate{DNS: []string{"*.shop.test"}}, dns("a.shop.test"), "a.shop.test"},
		"DNS, wildcard of two labels":   {auth.Certificate{DNS: []string{"*.shop.test"}}, dns("a.b.shop.test"), ""},
		"DNS, wildcard of no label":     {auth.Certificate{DNS: []string{"*.shop.test"}}, dns("shop.test"), ""},
		"DNS, suffix":                   {auth.Certificate{DNS: []string{"*.shop.test"}}, dns("a.evilshop.test"), ""},
		"DNS, certificate for wildcard": {auth.Certificate{DNS: []string{"*.shop.test"}}, dns("*.shop.test"), ""},
		"DNS, certificate for all":      {auth.Certificate{DNS: []string{"a.test"}}, dns("*.test"), ""},
		"DNS, common name":              {auth.Certificate{DNS: []string{"a.test"}}, named("a.test"), ""},
		"e-mail":                        {auth.Certificate{Emails: []string{"ann@shop.test"}}, mail("ann@SHOP.test"), "ann@SHOP.test"},
		"e-mail, local part's case":     {auth.Certificate{Emails: []string{"ann@shop.test"}}, mail("Ann@shop.test"), ""},
		"e-mail, longer":                {auth.Certificate{Emails: []string{"ann@shop.test"}}, mail("ann@shop.test.evil"), ""},
		"common name":                   {auth.Certificate{Subjects: []string{"ann"}}, named("ann"), "CN=ann,O=Shop"},
		"common name, another":          {auth.Certificate{Subjects: []string{"ann"}}, named("ANN"), ""},
		"common name, two":              {auth.Certificate{Subjects: []string{"ann"}}, twoNames, ""},
		"common name, none":             {auth.Certificate{Subjects: []string{"ann"}}, dns("ann"), ""},
		"whole name":                    {auth.Certificate{Subjects: []string{"CN=ann,O=Shop"}}, named("ann"), "CN=ann,O=Shop"},
		"whole name, in a common name":  {auth.Certificate{Subjects: []string{"CN=ann,O=Shop"}}, x509.Certificate{Subject: pkix.Name{CommonName: "CN=ann,O=Shop"}}, ""},
		"whole name, written into one":  {auth.Certificate{Subjects: []string{"CN=ann,O=Shop"}}, x509.Certificate{Subject: pkix.Name{CommonName: "ann,O=Shop"}}, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := answer(auth.Require(test.a), verified(shopCA.issue(test.c)))
			if test.subject == "" {
				assert.Equal(t, http.StatusForbidden, w.Code)
				return
			}
			assert.Equal(t, "hello "+test.subject, w.Body.String())
		})
	}
}

func TestCertificateRefusesBadRulesAtStartUpAllAtOnce(t *testing.T) {
	err := panics(t, func() {
		auth.Require(auth.Certificate{
			SPIFFE: []string{"shop.test/a"}, DNS: []string{"a.*.test", "*", "a.test."}, Emails: []string{"@shop.test", "ann", "a@b@c"}, Subjects: []string{""},
		})
	})
	for _, fault := range []string{`"shop.test/a"`, `"a.*.test"`, `"*"`, `"a.test."`, `"@shop.test"`, `"ann"`, `"a@b@c"`, "an empty name in Subjects"} {
		require.ErrorContains(t, err, fault)
	}
}

func TestCertificateBelievesTrustedProxiesOnlyIfAsked(t *testing.T) {
	fromProxies := auth.Certificate{FromProxies: true}
	ann := sfv(shopCA.issue(named("ann")))
	past := named("ann")
	past.NotBefore, past.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Second)
	withConnection := proxied(true)
	withConnection.TLS = verified(shopCA.issue(named("proxy"))).TLS
	untrusted := proxied(false, ann)
	untrusted.TLS = verified(shopCA.issue(named("bob"))).TLS
	tests := map[string]struct {
		a      auth.Certificate
		r      *http.Request
		status int
		body   string
	}{
		"trusted":                     {fromProxies, proxied(true, ann), 200, "hello CN=ann,O=Shop"},
		"not trusted":                 {fromProxies, proxied(false, ann), 401, ""},
		"not asked":                   {auth.Certificate{}, proxied(true, ann), 401, ""},
		"a bare request":              {fromProxies, func() *http.Request { r := withKeys(); r.Header.Set("Client-Cert", ann); return r }(), 401, ""},
		"none but the proxy's own":    {fromProxies, withConnection, 401, ""},
		"a direct client's own":       {fromProxies, untrusted, 200, "hello CN=bob,O=Shop"},
		"twice":                       {fromProxies, proxied(true, ann, ann), 400, ""},
		"two in one":                  {fromProxies, proxied(true, ann+", "+ann), 401, ""},
		"expired":                     {fromProxies, proxied(true, sfv(shopCA.issue(past))), 401, ""},
		"empty":                       {fromProxies, proxied(true, ""), 401, ""},
		"empty sequence":              {fromProxies, proxied(true, "::"), 401, ""},
		"a token":                     {fromProxies, proxied(true, "abc"), 401, ""},
		"a string":                    {fromProxies, proxied(true, `"`+ann+`"`), 401, ""},
		"no certificate":              {fromProxies, proxied(true, ":aGVsbG8=:"), 401, ""},
		"PEM in a sequence":           {fromProxies, proxied(true, ":LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t:"), 401, ""},
		"more than one in a sequence": {fromProxies, proxied(true, ":"+base64.StdEncoding.EncodeToString(append(shopCA.Raw[:len(shopCA.Raw):len(shopCA.Raw)], shopCA.Raw...))+":"), 401, ""},
		"huge":                        {fromProxies, proxied(true, ":"+strings.Repeat("A", 1<<20)+":"), 401, ""},
		"with a parameter":            {fromProxies, proxied(true, ann+";x=1"), 200, "hello CN=ann,O=Shop"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := answer(auth.Require(test.a), test.r)
			assert.Equal(t, test.status, w.Code)
			if test.body != "" {
				assert.Equal(t, test.body, w.Body.String())
			}
		})
	}
}

func TestCertificateVerifiesForAProxyIfThereAreRoots(t *testing.T) {
	middle := shopCA.issue(ofAuthority("middle"))
	ann := sfv(middle.issue(named("ann")))
	many := strings.TrimSuffix(strings.Repeat(sfv(middle)+", ", 11), ", ")
	tests := map[string]struct {
		chain  []string
		status int
	}{
		"whole":            {[]string{sfv(middle)}, 200},
		"in two lines":     {[]string{sfv(shopCA), sfv(middle)}, 200},
		"with a stranger":  {[]string{sfv(newAuthority("x")) + ", " + sfv(middle)}, 200},
		"none":             {nil, 401},
		"of a stranger":    {[]string{sfv(newAuthority("middle"))}, 401},
		"too many":         {[]string{many}, 401},
		"no list":          {[]string{"("}, 401},
		"no sequence":      {[]string{"1"}, 401},
		"an inner list":    {[]string{"(" + sfv(middle) + ")"}, 401},
		"no certificate":   {[]string{":aGVsbG8=:, " + sfv(middle)}, 401},
		"huge":             {[]string{":" + strings.Repeat("A", 1<<20) + ":"}, 401},
		"trailing comma":   {[]string{sfv(middle) + ","}, 401},
		"broken in base64": {[]string{":!:"}, 401},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := proxied(true, ann)
			if test.chain != nil {
				r.Header["Client-Cert-Chain"] = test.chain
			}
			a := auth.Certificate{Roots: shopCA.pool(), FromProxies: true}
			assert.Equal(t, test.status, answer(auth.Require(a), r).Code)
		})
	}
}

func TestCertificateRemovesWhatBackendsWouldBelieve(t *testing.T) {
	for _, a := range [][]auth.Authenticator{
		{auth.Certificate{}, auth.Anonymous},
		{auth.Certificate{FromProxies: true}, auth.Anonymous},
		{auth.Anonymous, auth.Certificate{FromProxies: true}}, // never asked
	} {
		for _, trusted := range []bool{true, false} {
			r := proxied(trusted, sfv(shopCA.issue(named("ann"))))
			for _, name := range []string{"Client_cert", "client-cert", "Client-Cert-Chain", "Client_cert-Chain"} {
				r.Header[name] = []string{sfv(shopCA)}
			}
			assert.Empty(t, seen(t, auth.Require(a...), r))
		}
	}
}

func TestCertificateIsAskedWhetherItIsRevoked(t *testing.T) {
	ann := shopCA.issue(named("ann"))
	down := errors.New("dial tcp 10.0.0.1: refused")
	var revoked bool
	var failure error
	a := auth.Require(auth.Certificate{Revoked: func(_ context.Context, p *auth.Principal) (bool, error) {
		assert.Equal(t, "beef", p.Claims["serial"])
		return revoked, failure
	}})
	assert.Equal(t, 200, answer(a, verified(ann)).Code)
	revoked = true
	assert.Equal(t, 401, answer(a, verified(ann)).Code, "what is remembered is asked about as well")
	revoked, failure = false, down
	w := answer(a, verified(ann))
	assert.Equal(t, 503, w.Code)
	assert.NotContains(t, w.Body.String(), "10.0.0.1")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	assert.Equal(t, 499, answer(a, verified(ann).WithContext(ctx)).Code)
}

func TestCertificateIsRememberedNoLongerThanItIsValid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := newAuthority("root")
		ann := root.issue(named("ann"))
		for _, a := range []auth.Certificate{{}, {Roots: root.pool()}, {FromProxies: true}} {
			require := auth.Require(a)
			ask := func() int {
				r := verified(ann)
				if a.FromProxies {
					r = proxied(true, sfv(ann))
				}
				return answer(require, r).Code
			}
			assert.Equal(t, 200, ask())
			assert.Equal(t, 200, ask())
			assert.Equal(t, 401, answer(require, over(newAuthority("eve").issue(named("ann")))).Code)
		}
		guard := auth.Require(auth.Certificate{Roots: root.pool()})
		assert.Equal(t, 200, answer(guard, over(ann)).Code)
		time.Sleep(time.Hour + time.Second)
		assert.Equal(t, 401, answer(guard, over(ann)).Code)
	})
}

func TestCertificateIsVerifiedOnceByEachRequire(t *testing.T) {
	middle := shopCA.issue(ofAuthority("middle"))
	ann := middle.issue(named("ann"))
	a := auth.Certificate{Roots: shopCA.pool()}
	guard := auth.Require(a)
	assert.Equal(t, 401, answer(guard, over(ann)).Code)
	assert.Equal(t, 200, answer(guard, over(ann, middle)).Code)
	assert.Equal(t, 200, answer(guard, over(ann)).Code, "its chain is no more asked for")
	assert.Equal(t, 401, answer(auth.Require(a), over(ann)).Code)
	wrapped := auth.Require(auth.AuthenticatorFunc(a.Authenticate))
	assert.Equal(t, 200, answer(wrapped, over(ann, middle)).Code)
	assert.Equal(t, 401, answer(wrapped, over(ann)).Code)
}

func TestCertificateRememberedIsNotTakenUnverified(t *testing.T) {
	ann := shopCA.issue(named("ann"))
	guard := auth.Require(auth.Certificate{})
	assert.Equal(t, 200, answer(guard, verified(ann)).Code)
	assert.Equal(t, 401, answer(guard, over(ann)).Code)
}

func TestCertificateKeepsItsOwnCopyOfRoots(t *testing.T) {
	roots, late := shopCA.pool(), newAuthority("late")
	guard := auth.Require(auth.Certificate{Roots: roots})
	roots.AddCert(late.Certificate)
	assert.Equal(t, 401, answer(guard, over(late.issue(named("ann")))).Code)
}

func TestCertificateThroughARealHandshake(t *testing.T) {
	for name, test := range map[string]struct {
		a    auth.Certificate
		mode tls.ClientAuthType
	}{
		"verified by the server":  {auth.Certificate{}, tls.VerifyClientCertIfGiven},
		"verified by the gateway": {auth.Certificate{Roots: shopCA.pool()}, tls.RequestClientCert},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewUnstartedServer(auth.Require(test.a)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(w, auth.Subject(r))
			})))
			s.TLS = &tls.Config{ClientAuth: test.mode, ClientCAs: shopCA.pool()}
			s.StartTLS()
			defer s.Close()
			middle := shopCA.issue(ofAuthority("middle"))
			ann := middle.issue(spiffe("spiffe://shop.test/ann"))
			assert.Equal(t, "spiffe://shop.test/ann", get(t, s, tls.Certificate{Certificate: [][]byte{ann.Raw, middle.Raw}, PrivateKey: ann.key}))
			assert.Contains(t, get(t, s, tls.Certificate{}), "needs credentials")
		})
	}
}

func get(t *testing.T, s *httptest.Server, c tls.Certificate) string {
	t.Helper()
	config := s.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &c, nil }
	transport := &http.Transport{TLSClientConfig: config}
	defer transport.CloseIdleConnections()
	res, err := (&http.Client{Transport: transport}).Get(s.URL)
	require.NoError(t, err)
	defer res.Body.Close()
	return string(must(io.ReadAll(res.Body)))
}

// An authority may let its people choose a DNS name, and not look at its form.
func TestCertificateTakesNoNameThatReadsLikeOneOfAnotherKind(t *testing.T) {
	for name, want := range map[string]string{
		"CN=admin,O=Shop": "", "spiffe://shop.test/admin": "", "root@shop.test": "", "*.shop.test": "", "a..b": "", "Web.Shop.test": "Web.Shop.test",
	} {
		leaf := shopCA.issue(x509.Certificate{DNSNames: []string{name}})
		p, err := auth.Certificate{Roots: shopCA.pool()}.Authenticate(over(leaf))
		require.NoError(t, err, name)
		assert.Equal(t, want, p.Subject)
	}
	for email, want := range map[string]string{"ann@shop.test": "ann@shop.test", "CN=admin@shop.test": "", "@shop.test": "", "spiffe://a@shop.test": "", "ann": ""} {
		leaf := shopCA.issue(x509.Certificate{EmailAddresses: []string{email}})
		p, err := auth.Certificate{Roots: shopCA.pool()}.Authenticate(over(leaf))
		require.NoError(t, err, email)
		assert.Equal(t, want, p.Subject)
	}
}
