package cache_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

var testTime = time.Date(1999, time.June, 1, 12, 0, 0, 0, time.UTC)

// versioned is an origin with one document, which is conditional as it should be.
type versioned struct {
	origin
	tag, body string
	lines     []string
}

func newVersioned(lines ...string) *versioned {
	v := &versioned{tag: `"1"`, body: "one", lines: lines}
	v.serve = func(w http.ResponseWriter, r *http.Request) {
		add(w.Header(), v.lines)
		if v.tag != "" {
			w.Header().Set("Etag", v.tag)
		}
		http.ServeContent(w, r, "x.txt", testTime, strings.NewReader(v.body))
	}
	return v
}

func TestAStaleResponseIsValidatedAndFreshened(t *testing.T) { // RFC 9111 sections 4.3.1 and 4.3.4
	synctest.Test(t, func(t *testing.T) {
		v := newVersioned("Cache-Control: max-age=60", "X-Version: 1")
		rt := over(v)
		get(t, rt, "/")
		time.Sleep(61 * time.Second)
		v.lines = []string{"Cache-Control: max-age=120", "X-Version: 2", "Content-Encoding: x", "Keep-Alive: 1"}
		for _, want := range []string{"gateway; fwd=stale; fwd-status=304", "gateway; hit; ttl=120"} {
			res := get(t, rt, "/")
			require.Equal(t, 200, res.StatusCode)
			require.Equal(t, want, res.status())
			require.Equal(t, "one", res.body)
			require.Equal(t, "2", res.Header.Get("X-Version"))
			require.Equal(t, "0", res.Header.Get("Age"))
			require.Empty(t, res.Header["Content-Encoding"], "the body stored has none")
			require.Empty(t, res.Header["Keep-Alive"])
		}
		require.Equal(t, `"1"`, v.last().Header.Get("If-None-Match"))
		require.Equal(t, testTime.Format(http.TimeFormat), v.last().Header.Get("If-Modified-Since"))
	})
}

func TestAChangedResponseReplacesTheStored(t *testing.T) {
	v := newVersioned("Cache-Control: max-age=60")
	rt := over(v)
	get(t, rt, "/")
	v.tag, v.body = `"2"`, "two"
	require.Equal(t, "two", get(t, rt, "/", "Cache-Control: no-cache").body)
	require.Equal(t, "two", get(t, rt, "/").body)
	require.Equal(t, 2, v.calls())
}

func TestAnotherVersionThatMayNotBeStoredEndsTheStored(t *testing.T) {
	v := newVersioned("Cache-Control: max-age=60")
	rt := over(v)
	get(t, rt, "/")
	v.tag, v.body, v.lines = `"2"`, "two", []string{"Cache-Control: private"}
	get(t, rt, "/", "Cache-Control: no-cache")
	v.body = "three"
	require.Equal(t, "three", get(t, rt, "/").body)
}

func TestA304ThatForbidsSharingEndsTheStored(t *testing.T) {
	for _, line := range []string{"Cache-Control: private", "Set-Cookie: session=ann"} {
		v := newVersioned("Cache-Control: max-age=60")
		rt := over(v)
		get(t, rt, "/")
		v.lines = append(v.lines, line)
		ann := get(t, rt, "/", "Cache-Control: no-cache")
		require.Equal(t, "one", ann.body)
		v.lines = []string{"Cache-Control: max-age=60"}
		bob := get(t, rt, "/")
		require.Equal(t, "gateway; fwd=uri-miss", bob.status())
		require.Empty(t, bob.Header["Set-Cookie"])
	}
}

func TestA304OfAnotherRepresentationIsNotUsed(t *testing.T) {
	// A backend of several that are not in step: 304 whatever it is asked by, with
	// a tag of its own.
	o := &origin{}
	o.serve = func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Etag", map[bool]string{true: `"new"`, false: `"old"`}[o.calls() > 1])
		if r.Header.Get("If-None-Match") != "" {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		_, _ = io.WriteString(w, w.Header().Get("Etag"))
	}
	rt := over(o)
	require.Equal(t, `"old"`, get(t, rt, "/").body)
	require.Equal(t, `"new"`, get(t, rt, "/").body)
	require.Equal(t, 3, o.calls())
}

func TestAnOriginThatFailsToValidateIsNotHidden(t *testing.T) {
	v := newVersioned("Cache-Control: max-age=60")
	rt := over(v)
	get(t, rt, "/")
	v.serve, rt.Base = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }, v
	require.Equal(t, 503, get(t, rt, "/", "Cache-Control: no-cache").StatusCode)
	require.Equal(t, "one", get(t, rt, "/").body, "a failure says nothing of what is fresh")

	broken := errors.New("refused")
	rt.Base = roundTrip(func(*http.Request) (*http.Response, error) { return nil, broken })
	_, err := rt.RoundTrip(request("GET", "/", "Cache-Control: no-cache"))
	require.ErrorIs(t, err, broken)
}

func TestTheClientsConditionsAreAnsweredFromTheStore(t *testing.T) { // RFC 9111 section 4.3.2
	at := func(d time.Duration) string { return "If-Modified-Since: " + testTime.Add(d).Format(http.TimeFormat) }
	for _, c := range []struct {
		name  string
		lines []string
		want  int
	}{
		{"the tag", []string{`If-None-Match: "1"`}, 304},
		{"weakly", []string{`If-None-Match: W/"1"`}, 304},
		{"in a list", []string{`If-None-Match: "a,b", W/"c" ,"1"`}, 304},
		{"in a second line", []string{`If-None-Match: "a"`, `If-None-Match: "1"`}, 304},
		{"any", []string{"If-None-Match: *"}, 304},
		{"another", []string{`If-None-Match: "2"`}, 200},
		{"part of another", []string{`If-None-Match: "x,"1",y"`}, 200},
		{"no tag", []string{"If-None-Match: 1"}, 200},
		{"since then", []string{at(0)}, 304},
		{"since later", []string{at(time.Second)}, 304},
		{"since before", []string{at(-time.Second)}, 200},
		{"since no date", []string{"If-Modified-Since: 1"}, 200},
		{"since two dates", []string{at(0), at(0)}, 200},
		{"the tag goes before", []string{`If-None-Match: "2"`, at(0)}, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := newVersioned("Cache-Control: max-age=60")
			rt := over(v)
			get(t, rt, "/")
			res := get(t, rt, "/", c.lines...)
			require.Equal(t, c.want, res.StatusCode)
			require.Equal(t, 1, v.calls())
			if c.want == 304 {
				require.Empty(t, res.body)
				require.Empty(t, res.Header["Content-Length"])
				require.Empty(t, res.Header["Content-Type"])
				require.Equal(t, `"1"`, res.Header.Get("Etag"))
			}
		})
	}
}

func TestTheClientsConditionsOnWhatIsNotStored(t *testing.T) {
	v := newVersioned("Cache-Control: max-age=60")
	rt := over(v)
	require.Equal(t, 304, get(t, rt, "/", `If-None-Match: "1"`).StatusCode)
	require.Equal(t, "one", get(t, rt, "/", `If-None-Match: "0"`).body, "a 304 is nothing to store")
	require.Equal(t, "one", get(t, rt, "/").body, "but a 200 is whole whoever asked")
	require.Equal(t, 2, v.calls())
}

func TestTheClientsConditionsOnWhatIsStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVersioned("Cache-Control: max-age=60")
		rt := over(v)
		get(t, rt, "/")
		time.Sleep(time.Minute)
		res := get(t, rt, "/", `If-None-Match: "of the client"`)
		require.Equal(t, 200, res.StatusCode, "the origin was asked by the stored tag, and the client has another")
		require.Equal(t, "one", res.body)
		require.Equal(t, `"1"`, v.last().Header.Get("If-None-Match"))
		time.Sleep(time.Minute)
		require.Equal(t, 304, get(t, rt, "/", `If-None-Match: "1"`).StatusCode)
	})
}

func TestWithoutFreshnessAValidatorIsEnoughToStore(t *testing.T) {
	v := newVersioned()
	v.tag = ""
	rt := over(v)
	rt.Heuristic = -1
	get(t, rt, "/")
	require.Equal(t, "gateway; fwd=stale; fwd-status=304", get(t, rt, "/").status())
}

func TestAHeadFreshensWhatIsStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVersioned("Cache-Control: max-age=60")
		rt := over(v)
		get(t, rt, "/")
		time.Sleep(time.Minute)
		require.Equal(t, "gateway; fwd=stale", do(t, rt, request("HEAD", "/")).status())
		require.Equal(t, "gateway; hit; ttl=60", get(t, rt, "/").status())
	})
}

func TestA304ThatIsOldItselfMakesNothingYounger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // another cache between us and the origin
		v := newVersioned("Cache-Control: max-age=60")
		rt := over(v)
		get(t, rt, "/")
		time.Sleep(time.Minute)
		v.lines = append(v.lines, "Age: 40")
		require.Equal(t, "40", get(t, rt, "/").Header.Get("Age"))
		require.Equal(t, "gateway; hit; ttl=20", get(t, rt, "/").status())
	})
}
