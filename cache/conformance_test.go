package cache_test

import (
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway/cache"
)

// rule is one requirement of a standard, in our words, and a conversation that shows that
// it is kept.
type rule struct {
	section string
	level   string // MUST, MUST NOT, SHOULD, SHOULD NOT, MAY; or ours, for what is chosen
	says    string // as it is the subtest's name, without a slash
	why     string // of what is ours
	shows   func(c *conversation)
}

// standard is a document with its rules.
type standard struct {
	name  string // as the test's: RFC9111
	title string
	rules []rule
}

var standards = []standard{rfc9111, rfc9110, rfc5861, rfc9211, rfc9213, rfc9875}

func TestRFC9111(t *testing.T) { rfc9111.holds(t) }
func TestRFC9110(t *testing.T) { rfc9110.holds(t) }
func TestRFC5861(t *testing.T) { rfc5861.holds(t) }
func TestRFC9211(t *testing.T) { rfc9211.holds(t) }
func TestRFC9213(t *testing.T) { rfc9213.holds(t) }
func TestRFC9875(t *testing.T) { rfc9875.holds(t) }

func (s standard) holds(t *testing.T) {
	for _, r := range s.rules {
		t.Run(r.section+" "+r.says, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { r.shows(converse(t)) })
		})
	}
}

var update = flag.Bool("update", false, "write CONFORMANCE.md anew")

// TestTheTableOfRequirementsIsTrue has CONFORMANCE.md be what is tested, and nothing else.
func TestTheTableOfRequirementsIsTrue(t *testing.T) {
	var b strings.Builder
	b.WriteString("# What the cache keeps\n\nEach row has a test, which `go test -run 'TestRFC9111/3.5' ./cache` finds by its section.\n" +
		"This file is written by `go test -run Table ./cache -update`, and compared with the tests by that without `-update`.\n" +
		"`ours` marks a choice of this package where the standard leaves one, or where we are stricter, with the reason.\n")
	for _, s := range standards {
		fmt.Fprintf(&b, "\n## %s: %s\n\n| section | level | requirement | test |\n|---|---|---|---|\n", s.name, s.title)
		seen := map[string]bool{}
		for _, r := range s.rules {
			test := "Test" + s.name + "/" + strings.ReplaceAll(r.section+" "+r.says, " ", "_")
			require.NotContains(t, r.says, "/", test)
			require.False(t, seen[test], "twice: %s", test)
			require.Equal(t, r.level == "ours", r.why != "", test)
			seen[test] = true
			says := r.says
			if r.why != "" {
				says += ": " + r.why
			}
			fmt.Fprintf(&b, "| %s | %s | %s | `%s` |\n", r.section, r.level, strings.ReplaceAll(says, "|", `\|`), test)
		}
	}
	const file = "CONFORMANCE.md"
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(b.String()), 0o644)) //nolint:gosec // a document
	}
	known, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, b.String(), string(known), "write it anew with -update")
}

// conversation is requests to a cache, with an origin behind it that says what it is told.
type conversation struct {
	*testing.T
	rt     *cache.Transport
	origin *origin
	status int
	lines  []string
	body   string // empty: the number of the request
}

func converse(t *testing.T) *conversation {
	c := &conversation{T: t, origin: &origin{}, status: 200}
	c.origin.serve = func(w http.ResponseWriter, _ *http.Request) {
		add(w.Header(), c.lines)
		w.WriteHeader(c.status)
		if c.status == http.StatusNotModified || c.status == http.StatusNoContent {
			return
		}
		body := c.body
		if body == "" {
			body = fmt.Sprintf("answer %d", c.origin.calls())
		}
		_, _ = io.WriteString(w, body)
	}
	c.rt = over(c.origin)
	return c
}

// answers tells the origin what to say from now on.
func (c *conversation) answers(status int, lines ...string) { c.status, c.lines = status, lines }

func (c *conversation) says(lines ...string) { c.answers(200, lines...) }

// sent is "METHOD path", and the fields.
func (c *conversation) sent(line string, lines ...string) reply {
	c.Helper()
	method, path, _ := strings.Cut(line, " ")
	return do(c.T, c.rt, request(method, path, lines...))
}

// reused demands that the origin is not asked.
func (c *conversation) reused(lines ...string) reply {
	c.Helper()
	return c.reusedFor("GET /", lines...)
}

func (c *conversation) reusedFor(line string, lines ...string) reply {
	c.Helper()
	before := c.origin.calls()
	res := c.sent(line, lines...)
	require.Equal(c, before, c.origin.calls(), "the origin was asked: %s", res.status())
	return res
}

// asked demands that the origin is.
func (c *conversation) asked(lines ...string) reply {
	c.Helper()
	return c.askedFor("GET /", lines...)
}

func (c *conversation) askedFor(line string, lines ...string) reply {
	c.Helper()
	before := c.origin.calls()
	res := c.sent(line, lines...)
	require.Equal(c, before+1, c.origin.calls(), "the origin was not asked: %s", res.status())
	return res
}

// isStored and isNotStored are about what was answered to a GET.
func (c *conversation) isStored(lines ...string) {
	c.Helper()
	c.says(lines...)
	c.asked()
	c.reused()
}

func (c *conversation) isNotStored(lines ...string) {
	c.Helper()
	c.says(lines...)
	c.asked()
	require.Equal(c, 504, c.reused("Cache-Control: only-if-cached, max-stale").StatusCode)
}

// has has something stored that is fresh for a minute.
func (c *conversation) has(lines ...string) {
	c.Helper()
	c.says(append([]string{"Cache-Control: max-age=60"}, lines...)...)
	c.asked()
}

func (c *conversation) later(seconds int) { c.wait(time.Duration(seconds) * time.Second) }

func (c *conversation) wait(d time.Duration) { time.Sleep(d) }

func (c *conversation) fails() {
	c.rt.Base = roundTrip(func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF })
}
