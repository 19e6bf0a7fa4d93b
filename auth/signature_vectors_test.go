package auth

import (
	"bufio"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"net/http"
	"strings"
	"testing"

	"github.com/dunglas/httpsfv"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The keys of RFC 9421 appendix B.1.
const (
	rfcRSA = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAr4tmm3r20Wd/PbqvP1s2+QEtvpuRaV8Yq40gjUR8y2Rjxa6dpG2GXHbPfvMs8ct+Lh1GH45x28Rw3Ry53mm+" +
		"oAXjyQ86OnDkZ5N8lYbggD4O3w6M6pAvLkhk95AndTrifbIFPNU8PPMO7OyrFAHqgDsznjPFmTOtCEcN2Z1FpWgchwuYLPL+Wokqltd11nqqzi+bJ9cvSKADYdUAAN5W" +
		"Utzdpiy6LbTgSxP7ociU4Tn0g5I6aDZJ7A8Lzo0KSyZYoA485mqcO0GVAdVw9lq4aOT9v6d+nb4bnNkQVklLQ3fVAvJm+xdDOp9LCNCN48V2pnDOkFV6+U9nV5oyc6XI2wIDAQAB"
	rfcP256    = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqIVYZVLCrPZHGHjP17CTW0/+D9Lfw0EkjqF7xB4FivAxzic30tMM4GF+hR6Dxh71Z50VGGdldkkDXZCnTNnoXQ=="
	rfcEd25519 = "MCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs="
	rfcSecret  = "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ=="
)

func rfcKeys(t *testing.T) map[string]*signatureKey {
	t.Helper()
	public := func(s string) any {
		key, err := x509.ParsePKIXPublicKey(unbase64(t, s))
		require.NoError(t, err)
		return key
	}
	keys := map[string]SignatureKey{
		"test-key-rsa-pss":   {Key: public(rfcRSA)},
		"test-key-ecc-p256":  {Key: public(rfcP256)},
		"test-key-ed25519":   {Key: public(rfcEd25519)},
		"test-shared-secret": {Key: unbase64(t, rfcSecret)},
	}
	for id, k := range keys {
		k.Principal = &Principal{Subject: id}
		keys[id] = k
	}
	compiled, err := compileKeys(keys, false)
	require.NoError(t, err)
	return compiled
}

func unbase64(t *testing.T, s string) []byte {
	t.Helper()
	if block, _ := pem.Decode([]byte(s)); block != nil {
		return block.Bytes
	}
	data, err := base64.StdEncoding.DecodeString(s)
	require.NoError(t, err)
	return data
}

// readRequest returns what net/http's server makes of text.
func readRequest(t *testing.T, text string) *http.Request {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(strings.ReplaceAll(text, "\n", "\r\n"))))
	require.NoError(t, err)
	return r
}

// rfcRequest is the test-request of RFC 9421 appendix B.2.
const rfcRequest = `POST /foo?param=Value&Pet=dog HTTP/1.1
Host: example.com
Date: Tue, 20 Apr 2021 02:07:55 GMT
Content-Type: application/json
Content-Digest: sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:
Content-Length: 18

{"hello": "world"}`

const rfcDigest = `sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:`

// Those of the appendix that are about requests. The time is left out: created is 2021.
func TestSignaturesOfRFC9421Verify(t *testing.T) {
	tests := map[string]struct{ request, input, signature, base string }{
		"B.2.1 minimal": {
			rfcRequest,
			`sig-b21=();created=1618884473;keyid="test-key-rsa-pss";nonce="b3k2pp5k7z-50gnwp.yemd"`,
			`sig-b21=:d2pmTvmbncD3xQm8E9ZV2828BjQWGgiwAaw5bAkgibUopemLJcWDy/lkbbHAve4cRAtx31Iq786U7it++wgGxbtRxf8Udx7zFZsckzXaJMkA7ChG52eSkFxykJeNqsrWH5S+oxNFlD4dzVuwe8DhTSja8xxbR/Z2cOGdCbzR72rgFWhzx2VjBqJzsPLMIQKhO4DGezXehhWwE56YCE+O6c0mKZsfxVrogUvA4HELjVKWmAvtl6UnCh8jYzuVG5WSb/QEVPnP5TmcAnLH1g+s++v6d4s8m0gCw1fV5/SITLq9mhho8K3+7EPYTU8IU1bLhdxO5Nyt8C8ssinQ98Xw9Q==:`,
			"",
		},
		"B.2.2 selective": {
			rfcRequest,
			`sig-b22=("@authority" "content-digest" "@query-param";name="Pet");created=1618884473;keyid="test-key-rsa-pss";tag="header-example"`,
			`sig-b22=:LjbtqUbfmvjj5C5kr1Ugj4PmLYvx9wVjZvD9GsTT4F7GrcQEdJzgI9qHxICagShLRiLMlAJjtq6N4CDfKtjvuJyE5qH7KT8UCMkSowOB4+ECxCmT8rtAmj/0PIXxi0A0nxKyB09RNrCQibbUjsLS/2YyFYXEu4TRJQzRw1rLEuEfY17SARYhpTlaqwZVtR8NV7+4UKkjqpcAoFqWFQh62s7Cl+H2fjBSpqfZUJcsIk4N6wiKYd4je2U/lankenQ99PZfB4jY3I5rSV2DSBVkSFsURIjYErOs0tFTQosMTAoxk//0RoKUqiYY8Bh0aaUEb0rQl3/XaVe4bXTugEjHSw==:`,
			"\"@authority\": example.com\n\"content-digest\": " + rfcDigest + "\n\"@query-param\";name=\"Pet\": dog\n",
		},
		"B.2.3 full": {
			rfcRequest,
			`sig-b23=("date" "@method" "@path" "@query" "@authority" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-rsa-pss"`,
			`sig-b23=:bbN8oArOxYoyylQQUU6QYwrTuaxLwjAC9fbY2F6SVWvh0yBiMIRGOnMYwZ/5MR6fb0Kh1rIRASVxFkeGt683+qRpRRU5p2voTp768ZrCUb38K0fUxN0O0iC59DzYx8DFll5GmydPxSmme9v6ULbMFkl+V5B1TP/yPViV7KsLNmvKiLJH1pFkh/aYA2HXXZzNBXmIkoQoLd7YfW91kE9o/CCoC1xMy7JA1ipwvKvfrs65ldmlu9bpG6A9BmzhuzF8Eim5f8ui9eH8LZH896+QIF61ka39VBrohr9iyMUJpvRX2Zbhl5ZJzSRxpJyoEZAFL2FUo5fTIztsDZKEgM4cUA==:`,
			"\"date\": Tue, 20 Apr 2021 02:07:55 GMT\n\"@method\": POST\n\"@path\": /foo\n\"@query\": ?param=Value&Pet=dog\n\"@authority\": example.com\n" +
				"\"content-type\": application/json\n\"content-digest\": " + rfcDigest + "\n\"content-length\": 18\n",
		},
		"B.2.5 hmac-sha256": {
			rfcRequest,
			`sig-b25=("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret"`,
			`sig-b25=:pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=:`,
			"\"date\": Tue, 20 Apr 2021 02:07:55 GMT\n\"@authority\": example.com\n\"content-type\": application/json\n",
		},
		"B.2.6 ed25519": {
			rfcRequest,
			`sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519"`,
			`sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:`,
			"\"date\": Tue, 20 Apr 2021 02:07:55 GMT\n\"@method\": POST\n\"@path\": /foo\n\"@authority\": example.com\n\"content-type\": application/json\n\"content-length\": 18\n",
		},
		"B.3 a proxy that ends TLS, P-256": {
			"POST /foo?param=Value&Pet=dog HTTP/1.1\nHost: service.internal.example\nContent-Length: 0\nClient-Cert: " + rfcClientCert + "\n\n",
			`ttrp=("@path" "@query" "@method" "@authority" "client-cert");created=1618884473;keyid="test-key-ecc-p256"`,
			`ttrp=:xVMHVpawaAC/0SbHrKRs9i8I3eOs5RtTMGCWXm/9nvZzoHsIg6Mce9315T6xoklyy0yzhD9ah4JHRwMLOgmizw==:`,
			"\"@path\": /foo\n\"@query\": ?param=Value&Pet=dog\n\"@method\": POST\n\"@authority\": service.internal.example\n\"client-cert\": " + rfcClientCert + "\n",
		},
		"B.4 as it was sent":        transformed("GET /demo?name1=Value1&Name2=value2 HTTP/1.1\nHost: example.org\nDate: Fri, 15 Jul 2022 14:24:55 GMT\nAccept: application/json\nAccept: */*\n\n"),
		"B.4 with what is not in":   transformed("GET /demo?name1=Value1&Name2=value2&param=added HTTP/1.1\nHost: example.org\nAccept: application/json\nAccept: */*\nAccept-Language: en-US,en;q=0.5\n\n"),
		"B.4 fields combined":       transformed("GET /demo?name1=Value1&Name2=value2 HTTP/1.1\nHost: example.org\nReferer: https://developer.example.org/demo\nAccept: application/json, */*\n\n"),
		"B.4 fields in a new order": transformed("GET /demo?name1=Value1&Name2=value2 HTTP/1.1\nAccept: application/json\nAccept: */*\nDate: Fri, 15 Jul 2022 14:24:55 GMT\nHost: example.org\n\n"),
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			base, err := verifyVector(t, test.request, test.input, test.signature)
			require.NoError(t, err)
			params := test.input[strings.IndexByte(test.input, '=')+1:]
			assert.Equal(t, test.base+`"@signature-params": `+params, base)
		})
	}
}

const rfcClientCert = `:MIIBqDCCAU6gAwIBAgIBBzAKBggqhkjOPQQDAjA6MRswGQYDVQQKDBJMZXQncyBBdXRoZW50aWNhdGUxGzAZBgNVBAMMEkxBIEludGVybWVkaWF0ZSBDQTAeFw0yMDAxMTQyMjU1MzNaFw0yMTAxMjMyMjU1MzNaMA0xCzAJBgNVBAMMAkJDMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE8YnXXfaUgmnMtOXU/IncWalRhebrXmckC8vdgJ1p5Be5F/3YC8OthxM4+k1M6aEAEFcGzkJiNy6J84y7uzo9M6NyMHAwCQYDVR0TBAIwADAfBgNVHSMEGDAWgBRm3WjLa38lbEYCuiCPct0ZaSED2DAOBgNVHQ8BAf8EBAMCBsAwEwYDVR0lBAwwCgYIKwYBBQUHAwIwHQYDVR0RAQH/BBMwEYEPYmRjQGV4YW1wbGUuY29tMAoGCCqGSM49BAMCA0gAMEUCIBHda/r1vaL6G3VliL4/Di6YK0Q6bMjeSkC3dFCOOB8TAiEAx/kHSB4urmiZ0NX5r5XarmPk0wmuydBVoU4hBVZ1yhk=:`

func transformed(request string) struct{ request, input, signature, base string } {
	return struct{ request, input, signature, base string }{
		request,
		`transform=("@method" "@path" "@authority" "accept");created=1618884473;keyid="test-key-ed25519"`,
		`transform=:ZT1kooQsEHpZ0I1IjCqtQppOmIqlJPeo7DHR3SoMn0s5JZ1eRGS0A+vyYP9t/LXlh5QMFFQ6cpLt2m0pmj3NDA==:`,
		"\"@method\": GET\n\"@path\": /demo\n\"@authority\": example.org\n\"accept\": application/json, */*\n",
	}
}

func TestSignaturesOfRFC9421DoNotVerifyWhatWasChanged(t *testing.T) {
	for name, request := range map[string]string{
		"B.4 another method and host": "POST /demo?name1=Value1&Name2=value2 HTTP/1.1\nHost: example.com\nAccept: application/json\nAccept: */*\n\n",
		"B.4 fields swapped":          "GET /demo?name1=Value1&Name2=value2 HTTP/1.1\nHost: example.org\nAccept: */*\nAccept: application/json\n\n",
	} {
		t.Run(name, func(t *testing.T) {
			test := transformed(request)
			_, err := verifyVector(t, test.request, test.input, test.signature)
			require.ErrorContains(t, err, "does not verify")
		})
	}
}

// verifyVector goes the way of Authenticate but for the clock, what has to be covered,
// and the body.
func verifyVector(t *testing.T, request, input, signature string) (string, error) {
	t.Helper()
	r := readRequest(t, request)
	r.Header.Set("Signature-Input", input)
	r.Header.Set("Signature", signature)
	v := &signatureVerifier{keys: rfcKeys(t)}
	s, err := v.choose(r)
	require.NoError(t, err)
	base, err := received(r).base(s.components, s.params)
	require.NoError(t, err)
	return base, s.key.verify(base, s.value)
}

// RFC 9530 appendix B, but for the examples whose base64 is not well-formed.
func TestDigestsOfRFC9530AreRight(t *testing.T) {
	const hello = "{\"hello\": \"world\"}\n"
	brotli := "\x0b\x09\x80{\"hello\": \"world\"}\n\x03"
	for name, test := range map[string]struct{ body, digest string }{
		"B.1":         {hello, "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"},
		"B.2":         {"", "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"},
		"B.3":         {"\"world\"}\n", "sha-256=:jjcgBDWNAtbYUXI37CVG3gRuGOAjaaDRGpIUFsdyepQ=:"},
		"B.6":         {brotli, "sha-256=:d435Qo+nKZ+gLcUHn7GQtQ72hiBVAgqoLsZnZPiTGPk=:, sha-512=:db7fdBbgZMgX1Wb2MjA8zZj+rSNgfmDCEEXM8qLWfpfoNY0sCpHAzZbj09X1/7HAb7Od5Qfto4QpuBsFbUO3dQ==:"},
		"B.7":         {"{\"title\": \"New Title\"}\n", "sha-256=:mEkdbO7Srd9LIOegftO0aBX+VPTVz7/CSHes2Z27gc4=:"},
		"of RFC 9421": {`{"hello": "world"}`, rfcDigest},
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, checkDigest([]string{test.digest}, []byte(test.body)))
			require.Error(t, checkDigest([]string{test.digest}, []byte(test.body+" ")))
		})
	}
}

func TestComponentsOfRFC9421HaveTheirValues(t *testing.T) {
	fields := "GET /parameters?var=this%20is%20a%20big%0Amultiline%20value&bar=with+plus+whitespace&fa%C3%A7ade%22%3A%20=something&qux=&*-._~=1 HTTP/1.1\n" +
		"Host: WWW.example.com:80\nX-OWS-Header:   Leading and trailing whitespace.   \nX-Obs-Fold-Header: Obsolete\n    line folding.\n" +
		"Cache-Control: max-age=60\nX-Empty-Header:\nCache-Control:    must-revalidate\nPriority:  u=1,    i;x=1;y=2,   c=(a   b    c), d\n" +
		"Example-Header: value, with, lots\nExample-Header: of, commas\nX-Bytes: \x80\nAccept-Ch: a ,b\nClient-Cert: :AA==: \n\n"
	for component, want := range map[string]string{
		"cache-control":               "max-age=60, must-revalidate",
		"x-ows-header":                "Leading and trailing whitespace.",
		"x-obs-fold-header":           "Obsolete line folding.",
		"x-empty-header":              "",
		"x-bytes":                     "\x80",
		"priority":                    "u=1,    i;x=1;y=2,   c=(a   b    c), d",
		"priority;sf":                 "u=1, i;x=1;y=2, c=(a b c), d",
		`priority;key="u"`:            "1",
		`priority;key="i"`:            "?1;x=1;y=2",
		`priority;sf;key="d"`:         "?1",
		`priority;key="c"`:            "(a b c)",
		"accept-ch;sf":                "a, b",
		"client-cert;sf":              ":AA==:",
		"example-header":              "value, with, lots, of, commas",
		"example-header;bs":           ":dmFsdWUsIHdpdGgsIGxvdHM=:, :b2YsIGNvbW1hcw==:",
		"host":                        "WWW.example.com:80",
		"@method":                     "GET",
		"@scheme":                     "http",
		"@authority":                  "www.example.com",
		"@path":                       "/parameters",
		`@query-param;name="var"`:     "this%20is%20a%20big%0Amultiline%20value",
		`@query-param;name="bar"`:     "with%20plus%20whitespace",
		`@query-param;name="qux"`:     "",
		`@query-param;name="*-._%7E"`: "1",
		`@query-param;name="fa%C3%A7ade%22%3A%20"`: "something",
	} {
		c, err := parseComponent(component)
		require.NoError(t, err, component)
		got, err := received(readRequest(t, fields)).value(c)
		require.NoError(t, err, component)
		assert.Equal(t, want, got, component)
	}
}

func TestTargetsHaveTheirValues(t *testing.T) {
	tests := map[string]struct{ line, path, query, target, uri string }{
		"plain":          {"GET /a?b=c HTTP/1.1", "/a", "?b=c", "/a?b=c", "http://shop.test/a?b=c"},
		"no query":       {"GET /a HTTP/1.1", "/a", "?", "/a", "http://shop.test/a"},
		"empty query":    {"GET /a? HTTP/1.1", "/a", "?", "/a?", "http://shop.test/a?"},
		"absolute form":  {"GET http://shop.test/a?b HTTP/1.1", "/a", "?b", "/a?b", "http://shop.test/a?b"},
		"without a path": {"GET http://shop.test HTTP/1.1", "/", "?", "/", "http://shop.test/"},
		"bytes as sent":  {"GET /a%2Fb%25/%7e/;x?q=a%20b&u=/x&;%zz+ HTTP/1.1", "/a%2Fb%25/%7e/;x", "?q=a%20b&u=/x&;%zz+", "/a%2Fb%25/%7e/;x?q=a%20b&u=/x&;%zz+", "http://shop.test/a%2Fb%25/%7e/;x?q=a%20b&u=/x&;%zz+"},
		"asterisk":       {"OPTIONS * HTTP/1.1", "*", "?", "*", "http://shop.test*"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			m := received(readRequest(t, test.line+"\nHost: shop.test\n\n"))
			for id, want := range map[string]string{"@path": test.path, "@query": test.query, "@request-target": test.target, "@target-uri": test.uri} {
				got, err := m.value(mustComponent(id))
				require.NoError(t, err)
				assert.Equal(t, want, got, id)
			}
		})
	}
}

func TestComponentsThatAreNoneAreRefused(t *testing.T) {
	for _, id := range []string{
		`"@status"`, `"@signature-params"`, `"@unknown"`, `"@Method"`, `"@"`, `""`, `"Date"`, `"da te"`, `"date:"`, `date`, `1`, `:ZGF0ZQ==:`,
		`"date";req`, `"date";tr`, `"date";x`, `"date";sf=?0`, `"date";sf=1`, `"date";bs=?0`, `"date";key`, `"date";key=x`, `"date";name="x"`,
		`"date";bs;sf`, `"date";sf;bs`, `"date";bs;key="x"`, `"date";key="x";bs`,
		`"@method";req`, `"@path";sf`, `"@query-param"`, `"@query-param";name`, `"@query-param";name=x`, `"@query-param";name="x";sf`, `"@query";name="x"`,
	} {
		item, err := httpsfv.UnmarshalItem([]string{id})
		require.NoError(t, err, id)
		_, err = parseComponents([]httpsfv.Item{item})
		assert.Error(t, err, id)
	}
}

func TestComponentsWithoutAValueAreRefused(t *testing.T) {
	text := "GET /?a=1&b=1&b=2&c=%ff&d=%zz HTTP/1.1\nHost: shop.test\nDate: now\nPriority: u=1, u=2\nX-Dict: a=%\"x\"\n\n"
	for _, id := range []string{
		"x-missing", `@query-param;name="missing"`, `@query-param;name="b"`, `@query-param;name="c"`, `@query-param;name="d"`,
		"date;sf", `date;key="x"`, "priority;sf", `priority;key="u"`, `x-dict;key="a"`, "host;sf", "content-length",
	} {
		_, err := received(readRequest(t, text)).value(mustComponent(id))
		assert.Error(t, err, id)
	}
	r := readRequest(t, text)
	for _, host := range []string{"", "a/b", "a b", "a?b", "a#b", "user@a"} {
		r.Host = host
		_, err := received(r).value(mustComponent("@authority"))
		assert.Error(t, err, host)
	}
	r = readRequest(t, text)
	r.Header.Set("X-Line", "a\nb")
	r.URL.Opaque = "x"
	for _, id := range []string{"x-line", "@path", "@target-uri"} {
		_, err := received(r).base([]component{mustComponent(id)}, "()")
		assert.Error(t, err, id)
	}
}

func TestWhatCoversWhat(t *testing.T) {
	tests := map[string]struct {
		have, want []string
		ok         bool
	}{
		"default":                        {[]string{"@method", "@authority", "@path", "@query"}, nil, true},
		"target-uri":                     {[]string{"@method", "@target-uri"}, nil, true},
		"request-target":                 {[]string{"@authority", "@request-target", "@method"}, nil, true},
		"request-target alone":           {[]string{"@method", "@request-target"}, nil, false},
		"no query":                       {[]string{"@method", "@authority", "@path"}, nil, false},
		"a parameter of the query":       {[]string{"@method", "@authority", "@path", `@query-param;name="a"`}, nil, false},
		"no path":                        {[]string{"@method", "@authority", "@query"}, nil, false},
		"no method":                      {[]string{"@target-uri"}, nil, false},
		"the Host field":                 {[]string{"@method", "host", "@path", "@query"}, nil, false},
		"nothing asked":                  {nil, []string{}, true},
		"nothing covered":                {nil, nil, false},
		"bs":                             {[]string{"date;bs"}, []string{"Date"}, true},
		"sf":                             {[]string{"priority;sf"}, []string{"priority"}, true},
		"a member only":                  {[]string{`content-digest;key="sha-256"`}, []string{"content-digest"}, false},
		"the member":                     {[]string{`priority;key="u"`}, []string{`Priority;key="u"`}, true},
		"another member":                 {[]string{`priority;key="v"`}, []string{`priority;key="u"`}, false},
		"a parameter is in the query":    {[]string{"@query"}, []string{`@query-param;name="a"`}, true},
		"another parameter of the query": {[]string{`@query-param;name="b"`}, []string{`@query-param;name="a"`}, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			want, err := parseCover(test.want)
			require.NoError(t, err)
			have, err := parseCover(append([]string{}, test.have...))
			require.NoError(t, err)
			v := &signatureVerifier{cover: want}
			_, err = v.covers(have, &http.Request{})
			assert.Equal(t, test.ok, err == nil, err)
		})
	}
}
