package auth

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
)

func TestDigestsDecide(t *testing.T) {
	const body = "amount=1"
	tests := map[string]struct {
		fields []string
		ok     bool
	}{
		"right":                   {[]string{digest(body)}, true},
		"two, both right":         {[]string{digest(body) + ", sha-512=:" + sha512Of(body) + ":"}, true},
		"two lines, both right":   {[]string{digest(body), "sha-512=:" + sha512Of(body) + ":"}, true},
		"two lines, one wrong":    {[]string{digest(body), "sha-512=:" + sha512Of("x") + ":"}, false},
		"two lines, same":         {[]string{digest(body), digest(body)}, false},
		"one that does not count": {[]string{"md5=:AAAA:, " + digest(body)}, true},
		"only such":               {[]string{"md5=:AAAA:", "sha=:AAAA:, adler=1, id-sha-256=:AAAA:"}, false},
		"in other case":           {[]string{strings.Replace(digest(body), "sha", "SHA", 1)}, false},
		"none":                    {nil, false},
		"empty":                   {[]string{""}, false},
		"too short":               {[]string{"sha-256=:AAAA:"}, false},
		"of nothing":              {[]string{"sha-256=::"}, false},
		"in hexadecimal":          {[]string{"sha-256=abcdef"}, false},
		"a string":                {[]string{`sha-256="` + strings.Trim(digest(body)[8:], ":") + `"`}, false},
		"a list":                  {[]string{"sha-256=(" + digest(body)[8:] + ")"}, false},
		"of the other algorithm":  {[]string{"sha-512=" + digest(body)[8:]}, false},
		"as the Digest field was": {[]string{"SHA-256=" + strings.Trim(digest(body)[8:], ":")}, false},
		"huge":                    {[]string{digest(body) + ", x=:" + strings.Repeat("A", 1<<20) + ":"}, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, test.ok, checkDigest(test.fields, []byte(body)) == nil)
		})
	}
}

func TestSignatureBoundsBodies(t *testing.T) {
	endless := io.MultiReader(strings.NewReader("amount=1"), iotest.ErrReader(io.ErrUnexpectedEOF))
	tests := map[string]struct {
		body   io.Reader
		length int64
		status int
	}{
		"as large as it may":   {strings.NewReader("12345678"), 8, 200},
		"larger, announced":    {iotest.ErrReader(errors.New("read")), 9, 413},
		"larger, chunked":      {strings.NewReader("123456789"), -1, 413},
		"never ends":           {zeros{}, -1, 413},
		"shorter than it said": {strings.NewReader("1234567"), 8, 401},
		"breaks off":           {endless, -1, 400},
		"too slow":             {iotest.ErrReader(slowError{}), -1, 408},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			a := partner()
			a.MaxBody = 8
			r := ordered("12345678")
			signAs(r, "sig", usualBody+now(""))
			r.Body, r.ContentLength = io.NopCloser(test.body), test.length
			s := serve(a, r)
			assert.Equal(t, test.status, s.Code, s.err)
			assert.Equal(t, test.status == 200, s.passed != nil)
		})
	}
}

// zeros is a body that never ends.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// slowError is what a read returns when the server's time for it is over.
type slowError struct{}

func (slowError) Error() string   { return "i/o timeout" }
func (slowError) Timeout() bool   { return true }
func (slowError) Temporary() bool { return true }

func TestSignatureDoesNotReadTheBodyOfAWrongOne(t *testing.T) {
	r := ordered("amount=1")
	signAs(r, "sig", usualBody+now(""))
	r.Header.Set("Signature", "sig=:AAAA:")
	r.Body = io.NopCloser(iotest.ErrReader(errors.New("it was read")))
	refusedSignature(t, serve(partner(), r), "does not verify")
}
