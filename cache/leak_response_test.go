package cache_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/cache"
)

func TestLeakSetCookieInAnySpelling(t *testing.T) {
	for _, h := range []http.Header{
		{"Set-Cookie": {"s=1"}},
		{"set-cookie": {"s=1"}},
		{"SET-COOKIE": {""}},
		{"Set-Cookie2": {"s=1"}},
		{"set-cookie": {"s=1"}, "Connection": {"Set-Cookie"}},
		{"Set-Cookie2": {"s=1"}, "cache-control": {`private="set-cookie"`}},
	} {
		h["Cache-Control"] = append(h["Cache-Control"], "public, max-age=60")
		rt := over(&origin{serve: func(w http.ResponseWriter, _ *http.Request) {
			for name, values := range h {
				w.Header()[name] = values
			}
		}})
		get(t, rt, "/")
		second := get(t, rt, "/")
		require.NotContains(t, second.status(), "hit", "%v", h)
	}
}

func TestLeakACookieThatIsPrivateIsTheFirstClients(t *testing.T) {
	rt := over(says(`Cache-Control: max-age=60, private="Set-Cookie"`, "Set-Cookie: s=1"))
	require.Equal(t, "s=1", get(t, rt, "/").Header.Get("Set-Cookie"))
	hit := get(t, rt, "/")
	require.Contains(t, hit.status(), "hit")
	require.Empty(t, hit.Header["Set-Cookie"])
}

// together has two requests ask for one thing at once: the second comes when the first has
// reached the origin, which answers only then. It returns what each got.
func together(t *testing.T, base roundTrip, first, second *http.Request, before ...*http.Request) (a, b reply) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var slow bool
		rt := over(roundTrip(func(r *http.Request) (*http.Response, error) {
			if slow {
				time.Sleep(time.Second)
			}
			return base(r)
		}))
		for _, r := range before {
			do(t, rt, r)
			time.Sleep(2 * time.Minute) // it is stale by then
		}
		slow = true
		done := make(chan reply)
		go func() { done <- do(t, rt, first) }()
		synctest.Wait()
		b = do(t, rt, second)
		a = <-done
		// Connections and flights end.
		synctest.Wait()
	})
	return a, b
}

func TestLeakTheCookieOfATrailerIsTheFirstClients(t *testing.T) {
	n := 0
	base := func(r *http.Request) (*http.Response, error) {
		n++
		res := &http.Response{
			StatusCode: 200, Header: http.Header{"Cache-Control": {"max-age=60"}}, ContentLength: -1, Request: r,
			TransferEncoding: []string{"chunked"},
		}
		// net/http adds trailers that were not announced at the end of the body.
		res.Body = &whenRead{strings.NewReader("x"), func() { res.Trailer = http.Header{"Set-Cookie": {fmt.Sprint("s=", n)}} }}
		return res, nil
	}
	a, b := together(t, base, request("GET", "/"), request("GET", "/"))
	require.Equal(t, 1, n, "they were served by one fetch")
	require.Equal(t, "s=1", a.Trailer.Get("Set-Cookie"))
	require.Empty(t, b.Trailer)

	rt := over(roundTrip(base))
	get(t, rt, "/")
	require.NotContains(t, get(t, rt, "/").status(), "hit")
}

// whenRead is a body that does something when it has come to its end.
type whenRead struct {
	io.Reader
	do func()
}

func (b *whenRead) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		b.do()
	}
	return n, err
}

func (b *whenRead) Close() error { return nil }

func TestLeakA304ForOneIsForNobodyElse(t *testing.T) {
	for _, line := range []string{"Set-Cookie: s=first", "Cache-Control: private", "Cache-Control: no-store", "Vary: *"} {
		t.Run(line, func(t *testing.T) {
			n := 0
			base := gateway.Local(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Etag", `"1"`)
				w.Header().Set("Cache-Control", "max-age=60")
				if r.Header.Get("If-None-Match") == "" {
					return
				}
				if n++; n == 1 {
					name, value, _ := strings.Cut(line, ": ")
					w.Header().Set(name, value)
					w.Header().Set("X-For", "first")
				}
				w.WriteHeader(304)
			})).RoundTrip
			a, b := together(t, base, request("GET", "/"), request("GET", "/"), request("GET", "/"))
			require.Equal(t, "first", a.Header.Get("X-For"))
			require.Empty(t, b.Header["X-For"])
			require.Empty(t, b.Header["Set-Cookie"])
		})
	}
}

func TestLeakFollowersAreJudgedByTheirOwnCredentials(t *testing.T) {
	for _, control := range []string{"max-age=60", "private, max-age=60", "no-store"} {
		base := gateway.Local(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Cache-Control", control)
			_, _ = io.WriteString(w, r.Header.Get("Cookie"))
		})).RoundTrip
		for _, first := range []*http.Request{request("GET", "/"), request("GET", "/", "Cookie: ann")} {
			_, b := together(t, base, first, request("GET", "/", "Cookie: bob"))
			require.Equal(t, "bob", b.body, control)
		}
	}
}

func TestLeakConnectionCannotHideWhatDecides(t *testing.T) {
	// RFC 9110 section 7.6.1: Cache-Control is never right in Connection. Whoever strips it
	// there, and judges what is left, stores anything for everybody.
	for _, connection := range []string{"Cache-Control", "close, cache-control", "Vary", "CDN-Cache-Control", "Expires"} {
		o := reflects(fieldOf("X-User"), "Connection: "+connection)
		o.serve = withHeader(o.serve, http.Header{
			"Cache-Control": {"private"}, "Vary": {"X-User"}, "Cdn-Cache-Control": {"private"}, "Expires": {"0"},
			"Last-Modified": {"Sun, 06 Nov 1994 08:49:37 GMT"},
		})
		bothSides(t, o, func(t *testing.T, h http.Handler) { leavesAlone(t, h, "/", "X-User: ann") })
	}
	for _, hide := range []string{"Connection: Vary", `Cache-Control: no-cache="vary"`, `Cache-Control: private="VARY, etag"`} {
		t.Run(hide, func(t *testing.T) {
			o := reflects(fieldOf("X-User"), "Vary: X-User", hide)
			bothSides(t, o, func(t *testing.T, h http.Handler) { leavesAlone(t, h, "/", "X-User: ann") })
		})
	}
}

// withHeader returns next with the fields in place of what it sets.
func withHeader(next http.HandlerFunc, h http.Header) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body := &strings.Builder{}
		next(instead{w, body}, r)
		for name, values := range h {
			w.Header()[name] = values
		}
		_, _ = io.WriteString(w, body.String())
	}
}

type instead struct {
	http.ResponseWriter
	io.Writer
}

func (d instead) Write(p []byte) (int, error) { return d.Writer.Write(p) }

func TestLeakA304CannotHideWhatDecides(t *testing.T) {
	o := &origin{serve: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Etag", `"1"`)
		w.Header().Set("Cache-Control", "max-age=0")
		if r.Header.Get("If-None-Match") != "" {
			w.Header().Set("Connection", "cache-control")
			w.Header().Set("Cache-Control", "no-store")
			w.WriteHeader(304)
		}
	}}
	rt := over(o)
	get(t, rt, "/")
	get(t, rt, "/")
	get(t, rt, "/")
	require.Empty(t, o.last().Header["If-None-Match"], "what became no-store is not there to be validated")
}

func TestLeakPrivateNamesNoFieldThatCouldBeAll(t *testing.T) {
	for _, control := range []string{`private="*"`, `private="a b"`, `private=""`, `private=x`, `private="x`, `private="a;b"`, "PRIVATE", "private ", "\tprivate", `x="a,b", private`} {
		require.False(t, isStored(t, says("Cache-Control: max-age=60, "+control), request("GET", "/")), control)
	}
}

func TestLeakVaryBombs(t *testing.T) {
	for name, vary := range map[string][]string{
		"star":              {"*"},
		"star in a list":    {"Accept,\t*\t, X"},
		"star in a line":    {"Accept", "*"},
		"star with a space": {" * "},
		"no name":           {"Accept;q=1"},
		"ten thousand":      {strings.Repeat("X-A, ", 10) + strings.Join(manyOf(10_000), ", ")},
		"in many lines":     manyOf(1000),
	} {
		t.Run(name, func(t *testing.T) {
			o := says("Cache-Control: max-age=60")
			next := o.serve
			o.serve = func(w http.ResponseWriter, r *http.Request) {
				w.Header()["Vary"] = vary
				next(w, r)
			}
			require.False(t, isStored(t, o, request("GET", "/")))
		})
	}
}

func manyOf(n int) (names []string) {
	for i := range n {
		names = append(names, fmt.Sprint("X-", i))
	}
	return names
}

func TestLeakVariantsOfOneURLAreFew(t *testing.T) {
	mem := cache.Memory(1 << 30)
	rt := &cache.Transport{Base: says("Cache-Control: max-age=60", "Vary: X-Any"), Store: mem}
	for i := range 3000 {
		get(t, rt, "/", fmt.Sprint("X-Any: ", i))
	}
	hits := 0
	for i := range 3000 {
		if strings.Contains(do(t, rt, request("HEAD", "/", fmt.Sprint("X-Any: ", i), "Cache-Control: only-if-cached")).status(), "hit") {
			hits++
		}
	}
	require.Equal(t, 16, hits)
}

func TestLeakCodings(t *testing.T) {
	o := reflects(func(r *http.Request) string { return r.Header.Get("Accept-Encoding") }, "Vary: Accept-Encoding")
	rt := over(o)
	for range 2 {
		for _, accept := range []string{"gzip", "gzip;q=0", "br", "identity", "", "gzip, br", "gzip;q=0.5"} {
			require.Equal(t, accept, get(t, rt, "/", "Accept-Encoding: "+accept).body)
		}
		require.Empty(t, get(t, rt, "/").body)
	}
}

func TestLeakHeadersThatAreBombs(t *testing.T) {
	for name, h := range map[string]http.Header{
		"one value":  {"X": {strings.Repeat("x", 1<<20)}},
		"many":       {"X": make([]string, 100_000)},
		"groups":     {"Cache-Groups": {`"` + strings.Repeat(`a", "`, 200_000) + `"`}},
		"directives": {"X": {""}, "cache-control": {strings.Repeat("a,", 1<<19)}},
	} {
		t.Run(name, func(t *testing.T) {
			h["Cache-Control"] = append([]string{"max-age=60"}, h["cache-control"]...)
			rt := &cache.Transport{Base: plainly(200, h, "x", 1), Store: cache.Memory(64 << 20)}
			get(t, rt, "/")
			require.NotContains(t, get(t, rt, "/").status(), "hit")
		})
	}
}

// plainly answers with exactly this.
func plainly(status int, h http.Header, body string, length int64) roundTrip {
	return func(r *http.Request) (*http.Response, error) {
		return &http.Response{
			StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, Header: h.Clone(), ContentLength: length, Request: r,
			Body: io.NopCloser(strings.NewReader(body)),
		}, nil
	}
}

func TestLeakLengthsThatLie(t *testing.T) {
	for name, c := range map[string]struct {
		field  []string
		length int64
		body   string
		stored bool
	}{
		"shorter":            {[]string{"10"}, 10, "abc", false},
		"longer":             {[]string{"2"}, 2, "abc", false},
		"empty":              {[]string{"3"}, 3, "", false},
		"zero":               {[]string{"0"}, 0, "abc", false},
		"only the field":     {[]string{"10"}, -1, "abc", true}, // how much came is known by the chunks
		"two of them":        {[]string{"3", "5"}, 3, "abc", true},
		"a list":             {[]string{"3, 3"}, 3, "abc", true},
		"right":              {[]string{"3"}, 3, "abc", true},
		"larger than stored": {[]string{"9999999999"}, 9999999999, "abc", false},
	} {
		t.Run(name, func(t *testing.T) {
			rt := over(plainly(200, http.Header{"Cache-Control": {"max-age=60"}, "Content-Length": c.field}, c.body, c.length))
			for range 2 {
				res, err := rt.RoundTrip(request("GET", "/"))
				require.NoError(t, err)
				_, err = io.ReadAll(res.Body)
				_ = res.Body.Close()
				require.Equal(t, int64(len(c.body)) < c.length && c.length < 1<<20, err != nil, "what is cut looks cut")
			}
			require.Equal(t, c.stored, isHit(t, rt))
			if c.stored {
				res := get(t, rt, "/")
				require.Equal(t, []string{"3"}, res.Header["Content-Length"])
				require.EqualValues(t, 3, res.ContentLength)
			}
		})
	}
}

func TestLeakStatusesThatAreNoAnswer(t *testing.T) {
	for _, status := range []int{100, 101, 103, 206, 304, 416} {
		for _, r := range []*http.Request{request("GET", "/"), request("GET", "/", "Range: bytes=0-0"), request("GET", "/", `If-None-Match: "x"`)} {
			rt := over(plainly(status, http.Header{"Cache-Control": {"max-age=60"}, "Content-Range": {"bytes 0-0/2"}, "Etag": {`"x"`}}, "a", 1))
			require.Equal(t, status, do(t, rt, r).StatusCode)
			if status != 416 || r.Header["Range"] != nil {
				require.NotContains(t, get(t, rt, "/").status(), "hit", "%d %v", status, r.Header)
			}
		}
	}
}
