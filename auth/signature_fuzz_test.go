package auth

import (
	"net/http"
	"strings"
	"testing"

	"github.com/dunglas/httpsfv"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// FuzzSignature takes anything for the two fields. What is not what we have signed must not
// get in, and what is read at all must be read in one way only.
func FuzzSignature(f *testing.F) {
	for _, seed := range [][2]string{
		{"", ""}, {"sig", "sig"}, {"sig=()", "sig=::"}, {`sig=("@method");created=1`, "sig=:AAAA:"}, {`a=(), b=()`, `a=:AA==:, b=:AA==:`},
		{`sig=("x";sf;key="y" "x";bs);created=1;keyid="acme-1"`, "sig=:AAAA:"}, {`sig=%"\", sig=()`, "sig=:AAAA:"}, {`sig=(@1 1.5 ?1 tok);x="\\\""`, `sig=:AAAA:;x`},
	} {
		f.Add(seed[0], seed[1])
	}
	a, err := partner().build()
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, input, signature string) {
		r := ordered("")
		r.Header["Signature-Input"], r.Header["Signature"] = []string{input}, []string{signature}
		p, err := a.Authenticate(r)
		require.Error(t, err)
		assert.Nil(t, p)
		assert.Less(t, len(err.Error()), 500)

		d, err := dictionary([]string{input})
		if err != nil {
			return
		}
		text, err := httpsfv.Marshal(d)
		require.NoError(t, err)
		again, err := dictionary([]string{text})
		require.NoError(t, err, "%q is %q", input, text)
		assert.Equal(t, d.Names(), again.Names())
	})
}

func FuzzContentDigest(f *testing.F) {
	for _, seed := range []string{"", digest("body"), digest("x"), rfcDigest, "md5=:AAAA:", "sha-256", "sha-256=(:AA==:)", digest("body") + ", " + digest("x")} {
		f.Add(seed, "body")
	}
	f.Fuzz(func(t *testing.T, field, body string) {
		if checkDigest([]string{field}, []byte(body)) != nil {
			return
		}
		sum := strings.Trim(digest(body), "sha-256=:")
		assert.True(t, strings.Contains(field, sum) || strings.Contains(field, sha512Of(body)), "%q for %q", field, body)
		require.Error(t, checkDigest([]string{field}, []byte(body+"x")))
	})
}

// FuzzSignatureBase looks for two requests with one base: whatever is covered differs if
// the bases do not, and nothing that is put in can end a line.
func FuzzSignatureBase(f *testing.F) {
	f.Add("x-a", "1", "x-b", "2", "/p", "q=1", "GET", "shop.test")
	f.Add("x-a", "1\n\"x-b\": 2", "x-a", "", "/p%0a", "\n", "GET\n", "shop.test\n")
	f.Add(`x-a": 1`, "", "@method", "a, b", "//", "", "", "")
	f.Add("@query-param;name=\"a\n\"", "", "priority;key=\"u\"", "u=1", "/", "a%0A=b", "M", "h")
	f.Fuzz(func(t *testing.T, one, v1, two, v2, path, query, method, host string) {
		var components []component
		for _, name := range []string{"@method", "@authority", "@path", "@query", one, two} {
			if c, err := parseComponent(name); err == nil {
				components = append(components, c)
			}
		}
		r := &http.Request{Method: method, Host: host, Header: http.Header{}, URL: ordered("").URL}
		r.URL.Path, r.URL.RawPath, r.URL.RawQuery = path, path, query
		r.Header.Add(one, v1)
		r.Header.Add(two, v2)
		m := received(r)
		base, err := m.base(components, "()")
		if err != nil {
			return
		}
		lines := strings.Split(base, "\n")
		require.Len(t, lines, len(components)+1, "one line each")
		for i, c := range components {
			v, err := m.value(c)
			require.NoError(t, err)
			assert.Equal(t, c.id+": "+v, lines[i])
			// What comes before the value can be read off, so that the line has one meaning.
			item, err := httpsfv.UnmarshalItem([]string{strings.TrimSuffix(lines[i], ": "+v)})
			require.NoError(t, err)
			assert.Equal(t, c.item, item)
		}
	})
}
