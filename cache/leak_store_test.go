package cache_test

import (
	"bytes"
	"context"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway/cache"
)

// shared is a store of bytes that others can reach into.
type shared struct {
	mu   sync.Mutex
	vals map[string][]byte
}

func (s *shared) Get(_ context.Context, key string) ([]byte, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	val, ok := s.vals[key]
	return val, ok, nil
}

func (s *shared) Set(_ context.Context, key string, val []byte, _ time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.vals[key] = val
	return nil
}

func (s *shared) Delete(_ context.Context, key string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.vals, key)
	return nil
}

// each changes every value.
func (s *shared) each(change func(key string, val []byte) []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, val := range s.vals {
		s.vals[key] = change(key, val)
	}
}

func TestLeakWhatTheStoreReturnsInsteadOfAnEntry(t *testing.T) {
	// The values of two URLs, of which one varies, and of another cache are exchanged in every way.
	fill := func(name string, s cache.Cache) *cache.Transport {
		rt := &cache.Transport{Base: reflects(func(r *http.Request) string { return name + r.URL.Path + r.Header.Get("X-V") }), Store: s, Name: name}
		vary := rt.Base.(*origin)
		vary.serve = addVary(vary.serve)
		get(t, rt, "/plain")
		get(t, rt, "/vary", "X-V: 1")
		get(t, rt, "/vary", "X-V: 2")
		require.NoError(t, rt.Purge(t.Context(), "/none"))
		return rt
	}
	s := &shared{vals: map[string][]byte{}}
	fill("a", s)
	fill("b", s)
	records := maps.Clone(s.vals)
	require.Len(t, records, 10)
	for _, other := range records {
		s.vals = map[string][]byte{}
		for key := range records {
			s.vals[key] = other // so all but one are others'
		}
		rt := &cache.Transport{Base: reflects(func(r *http.Request) string { return "a" + r.URL.Path + r.Header.Get("X-V") }), Store: s, Name: "a"}
		rt.Base.(*origin).serve = addVary(rt.Base.(*origin).serve)
		require.Equal(t, "a/plain", get(t, rt, "/plain").body)
		require.Equal(t, "a/vary1", get(t, rt, "/vary", "X-V: 1").body)
		require.Equal(t, "a/vary2", get(t, rt, "/vary", "X-V: 2").body)
	}
}

// addVary has /vary vary.
func addVary(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/vary" {
			w.Header().Set("Vary", "X-V")
		}
		next(w, r)
	}
}

func TestLeakRecordsThatAreNot(t *testing.T) {
	for name, change := range map[string]func(string, []byte) []byte{
		"another version's": func(_ string, v []byte) []byte { return append([]byte("GWC1"), v[4:]...) },
		"empty":             func(string, []byte) []byte { return []byte{} },
		"only a head":       func(_ string, v []byte) []byte { return v[:8] },
		"a body of another": func(_ string, v []byte) []byte { return bytes.Replace(v, []byte("answer 1"), []byte("answer 9"), 1) },
		"a longer body":     func(_ string, v []byte) []byte { return append(bytes.Clone(v), 'x') },
		"the key":           func(k string, _ []byte) []byte { return []byte(k) },
		"html":              func(string, []byte) []byte { return []byte("<html>") },
	} {
		t.Run(name, func(t *testing.T) {
			s := &shared{vals: map[string][]byte{}}
			rt := &cache.Transport{Base: says("Cache-Control: max-age=60"), Store: s}
			get(t, rt, "/")
			s.each(change)
			require.Equal(t, "answer 2", get(t, rt, "/").body)
			require.Contains(t, get(t, rt, "/").status(), "hit", "and it is stored anew")
		})
	}
}

func TestLeakWhatOneClientDoesToABodyReachesNoOther(t *testing.T) {
	rt := over(says("Cache-Control: max-age=60", "X-List: a"))
	get(t, rt, "/")
	res, err := rt.RoundTrip(request("GET", "/"))
	require.NoError(t, err)
	res.Header["X-List"][0] = "evil"
	res.Header.Add("X-Evil", "1")
	res.Header["Cache-Status"][0] = "evil; hit"
	_, err = io.Copy(overwriting{}, res.Body)
	require.NoError(t, err)
	next := get(t, rt, "/")
	require.Equal(t, "a", next.Header.Get("X-List"))
	require.Empty(t, next.Header["X-Evil"])
	require.NotContains(t, next.status(), "evil")
}

type overwriting struct{}

func (overwriting) Write(p []byte) (int, error) { return len(p), nil }

func TestLeakRangesThatAreGames(t *testing.T) {
	const body = "0123456789"
	for line, want := range map[string]string{
		"bytes=2-3":                         "206 23",
		"bytes=-2":                          "206 89",
		"bytes=8-":                          "206 89",
		"bytes=8-99999999":                  "206 89",
		"bytes=0-0,5-6":                     "200 " + body, // one part, or all
		"bytes=0-5,3-9":                     "200 " + body,
		"bytes=" + strings.Repeat("0-,", 9): "200 " + body,
		"bytes=5-2":                         "200 " + body,
		"bytes=-0":                          "416 ",
		"bytes=10-":                         "416 ",
		"bytes=11-":                         "416 ",
		"bytes=999999999999999999-":         "416 ",
		"bytes=9999999999999999999999-":     "416 ",
		"bytes=-9999999999999999999999":     "206 " + body,
		"bytes=0-18446744073709551615":      "206 " + body,
		"bytes=-1-2":                        "200 " + body,
		"bytes=--2":                         "200 " + body,
		"bytes=+1-2":                        "200 " + body,
		"bytes=0x1-2":                       "200 " + body,
		"bytes=1_0-":                        "200 " + body,
		"bytes=":                            "200 " + body,
		"bytes":                             "200 " + body,
		"lines=0-1":                         "200 " + body,
		"":                                  "200 " + body,
	} {
		t.Run(line, func(t *testing.T) {
			o := reflects(func(*http.Request) string { return body }, `Etag: "1"`)
			rt := over(o)
			get(t, rt, "/")
			part := get(t, rt, "/", "Range: "+line)
			require.Equal(t, want, part.Status[:4]+part.body)
			require.EqualValues(t, len(part.body), part.ContentLength)
			require.Equal(t, body, get(t, rt, "/").body)
			require.Equal(t, 1, o.calls())
		})
	}
}

func TestLeakAPartIsNeverTheWhole(t *testing.T) {
	for _, c := range []struct {
		status int
		ranges string
	}{{206, "bytes 0-1/10"}, {206, "bytes 0-9/10"}, {206, ""}, {416, "bytes */10"}} {
		for _, lines := range [][]string{{"Range: bytes=0-1"}, {"Range: bytes=0-1", `If-Range: "1"`}, {`If-Range: "1"`}, {}} {
			n := 0
			rt := over(&origin{serve: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Cache-Control", "max-age=60")
				w.Header().Set("Etag", `"1"`)
				if n++; n == 1 {
					w.Header().Set("Content-Range", c.ranges)
					w.WriteHeader(c.status)
				}
				_, _ = io.WriteString(w, "01")
			}})
			get(t, rt, "/", lines...)
			if c.status == 416 && !strings.HasPrefix(strings.Join(lines, ""), "Range") {
				continue // to a request without Range that is an error as any other
			}
			require.Equal(t, 200, get(t, rt, "/").StatusCode, "%v %v", c, lines)
		}
	}
}

func TestLeakHeadsThatLie(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			name   string
			header http.Header
			body   string // of a GET after it
		}{
			{"another length", http.Header{"Content-Length": {"3"}}, "two"},
			{"another tag", http.Header{"Etag": {`"2"`}}, "two"},
			{"another date", http.Header{"Etag": nil, "Last-Modified": {"Sun, 06 Nov 1994 08:49:37 GMT"}}, "two"},
			{"a coding", http.Header{"Content-Encoding": {"gzip"}}, "first"},
			{"a cookie", http.Header{"Set-Cookie": {"s=1"}}, "two"},
			{"private", http.Header{"Cache-Control": {"private, max-age=60"}}, "two"},
		} {
			n := 0
			rt := over(roundTrip(func(r *http.Request) (*http.Response, error) {
				n++
				h := http.Header{"Cache-Control": {"max-age=60"}, "Etag": {`"1"`}}
				body := "first"
				if r.Method == "HEAD" {
					maps.Copy(h, c.header)
					body = ""
				} else if n > 1 {
					h["Etag"], body = []string{`"3"`}, "two"
				}
				length := int64(len(body))
				if r.Method == "HEAD" {
					length = 5
					if c.header["Content-Length"] != nil {
						length = 3
					}
				}
				return &http.Response{StatusCode: 200, Header: h, Body: io.NopCloser(strings.NewReader(body)), ContentLength: length, Request: r}, nil
			}))
			get(t, rt, "/")
			time.Sleep(2 * time.Minute)
			head := do(t, rt, request("HEAD", "/"))
			require.Empty(t, head.body)
			after := get(t, rt, "/")
			require.Equal(t, c.body, after.body, c.name)
			require.Empty(t, after.Header["Content-Encoding"], c.name)
			require.Empty(t, after.Header["Set-Cookie"], c.name)
			synctest.Wait()
		}
	})
}

func TestLeakAgesAndDatesFromNowhere(t *testing.T) {
	for name, c := range map[string]struct {
		lines []string
		hit   bool
	}{
		"Age of for ever":         {[]string{"Age: 99999999999999999999999999"}, false},
		"Age that is no number":   {[]string{"Age: evil"}, true}, // RFC 9111 section 5.1
		"negative Age":            {[]string{"Age: -1"}, true},
		"Age in a list":           {[]string{"Age: 100, 0"}, false},
		"Date long past":          {[]string{"Date: Sun, 06 Nov 1994 08:49:37 GMT"}, false},
		"Date far ahead":          {[]string{"Date: Fri, 06 Nov 2093 08:49:37 GMT"}, true}, // but no longer than max-age from now
		"no Date":                 {[]string{"Date: rubbish"}, true},
		"max-age of for ever":     {[]string{"Cache-Control: max-age=99999999999999999999999999"}, true},
		"max-age below zero":      {[]string{"Cache-Control: max-age=-1"}, false},
		"Expires before the Date": {[]string{"Cache-Control: x", "Expires: Sun, 06 Nov 1994 08:49:37 GMT"}, false},
		"Expires: 0":              {[]string{"Cache-Control: x", "Expires: 0"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := &origin{serve: func(w http.ResponseWriter, _ *http.Request) {
					if !strings.HasPrefix(c.lines[0], "Cache-Control") {
						w.Header().Set("Cache-Control", "max-age=60")
					}
					add(w.Header(), c.lines)
				}}
				rt := over(o)
				get(t, rt, "/")
				hit := get(t, rt, "/")
				require.Equal(t, c.hit, strings.Contains(hit.status(), "hit"))
				require.NotContains(t, hit.Header.Get("Age"), "-")
				if !strings.Contains(c.lines[0], "999") {
					time.Sleep(61 * time.Second)
					require.NotContains(t, get(t, rt, "/").status(), "hit")
				}
				synctest.Wait()
			})
		})
	}
}

func TestLeakCacheStatusIsNobodysElse(t *testing.T) {
	// What a client says there is not repeated; what the origin says comes before ours.
	rt := over(says("Cache-Control: max-age=60", `Cache-Status: evil; hit, gateway; hit`))
	for range 2 {
		r := request("GET", "/", "Cache-Status: client; hit")
		r.URL.RawQuery = `x="; gateway; hit`
		res := do(t, rt, r)
		require.NotContains(t, res.status(), "client")
		lines := res.Header["Cache-Status"]
		require.Equal(t, "evil; hit, gateway; hit", lines[0])
		require.Len(t, lines, 2)
		require.NotContains(t, lines[1], `"`)
	}
}

func TestLeakVaryWithQuotesAndCommas(t *testing.T) {
	o := reflects(fieldOf("X-V"), "Vary: X-V")
	rt := over(o)
	for _, v := range []string{`a, b`, `"a, b"`, `"a,b"`, `a", "b`, `a,b,`, `,a,b`, `A,b`, `a b`, `X-V:"a"`} {
		require.Equal(t, v, get(t, rt, "/", "X-V: "+v).body)
	}
	require.Empty(t, get(t, rt, "/").body)
	require.Equal(t, "gateway; fwd=vary-miss", get(t, rt, "/", "X-V: ").status(), "empty is not absent")
}
